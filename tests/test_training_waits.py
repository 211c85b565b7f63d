"""Steps of trainings wait for no device, and learn on it what they learn on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fake_device import FakeCuda, on_host
from toys import seeded, two_classes

from invset.nets.mini import LAYER_ALIASES, MiniNet
from invset.nets.network import Network
from invset.nets.upconv import UpConv
from invset.training.checkpoint import Resumable, check_finite
from invset.training.classification import NetworkSettings, NetworkTraining, accuracy
from invset.training.comparator import Comparator
from invset.training.discriminator import Discriminator
from invset.training.generator_settings import GeneratorSettings
from invset.training.inversion import GeneratorTraining

DATA = two_classes()
SIDES = {"widths": (4,) * 5, "fc6": 8, "fc7": 8, "size": 8}


def classifier(device: str, autocast: str) -> Resumable:
    torch.manual_seed(0)
    net = MiniNet(**SIDES, n_out=2, batch_norm=True)
    settings = NetworkSettings(
        epochs=9, batch_size=16, lr=0.05, crop=1, cutout=2, zoom=0.5, autocast=autocast
    )
    return NetworkTraining(net, settings, 2, device)


def network(seed: int, device: str) -> Network:
    torch.manual_seed(seed)
    net = MiniNet(**SIDES)
    return Network(
        net, image_size=8, aliases=LAYER_ALIASES, output="fc8", encoder="fc6", device=device
    )


def inverter(device: str, autocast: str, compared: bool = False) -> Resumable:
    net = network(0, device)
    maker = UpConv(8, 8, (12,), 6, ((6, 6),)).initialize(seeded())
    settings = GeneratorSettings(
        batch_size=8,
        warmup=1,
        layers=("conv2", "fc6"),
        zoom=0.5,
        jitter=0.2,
        decision=0.1,
        autocast=autocast,
    )
    comparator = Comparator(network(1, device), ["conv1"]) if compared else None
    if comparator is not None:
        comparator.measure((DATA.images / 255).to(device), seeded())
    return GeneratorTraining(net, "fc6", maker, Discriminator(8, (6,)), settings, comparator)


def compared(device: str, autocast: str) -> Resumable:
    run = inverter(device, autocast, True)
    run.balance(DATA.images[:8])
    return run


def steps(run: Resumable) -> None:
    """Two of them."""
    if isinstance(run, NetworkTraining):
        run.net.train()
        run._train_on(DATA, torch.arange(32))
    else:
        for images in DATA.images[:16].split(8):
            run.train_step(images)


@pytest.mark.parametrize("autocast", ["off", "bf16"])
@pytest.mark.parametrize("make", [classifier, inverter, compared])
def test_steps_of_a_training_do_not_wait(
    make: Callable[[str, str], Resumable], autocast: str
) -> None:
    with FakeCuda() as cuda:
        run = make("cuda", autocast)
        for _ in range(2):
            cuda.clear()
            steps(run)
        assert not cuda.waits
        assert not cuda.to_host
        assert sum(cuda.from_host.values()) <= 2 * 6  # pictures and draws of a step
        learnt = on_host(run.average.state_dict())
    told = make("cpu", autocast)
    for _ in range(2):
        steps(told)
    expected = told.average.state_dict()
    assert int(learnt["n_averaged"]) == 4
    if autocast == "off":  # autocast on CUDA takes other operators in bfloat16
        assert all(torch.equal(learnt[name], one) for name, one in expected.items())


def test_measurements_are_read_once() -> None:
    with FakeCuda() as cuda:
        net, maker = classifier("cuda", "off"), inverter("cuda", "off")
        net.average.eval()
        for read in (
            lambda: accuracy(net.average.module, DATA),
            lambda: maker.validate(DATA, batch_size=16),
            lambda: maker.pictures(DATA),
            lambda: check_finite({}, maker.averaged, "step 1", Path("checkpoint.pt")),
        ):
            cuda.clear()
            read()
            assert sum(cuda.waits.values()) == 1
