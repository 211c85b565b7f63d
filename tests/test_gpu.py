"""What needs a GPU: every command on one, numbers beside those of the CPU, recorded steps, another
GPU, too little memory.

Tolerances. Two devices sum in other orders, so one in 10^5 pixels is rounded to another of its 256
values: that moves f of the embedded pair by up to 2.5e-3. Where no pixel is rounded, a relative
error of 1e-4 is left.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import seeded
from PIL import Image
from test_passes import narrow, problem
from torch import Tensor
from typed import typed

from invset import Generator, InverseSetSampler, Neuron, Problem, mini_generator, mini_network
from invset.errors import InvsetError
from invset.nets.caffe.caffenet import CaffeNet
from invset.nets.network import Network
from invset.problem.graphs import SEEN
from invset.problem.runtime import Runtime
from invset.samplers.base import Status
from invset.samplers.stream import Stream

DEVICE = "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]

#: Of f, where pixels are rounded to 8 bits by another device's generator.
ROUNDED = 1e-2
#: Of f, for the same pixels.
SAME = 1e-4

RUN = ["run", "network=mini", "neuron=horse", "n=6", "K=3", "progress=false", "animation=false"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of noise, with 32 pixels a side."""
    rng = np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(20):
            x = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            x[..., channel] += 100
            Image.fromarray(x).save(tmp_path / "data" / name / f"{number}.png")
    return tmp_path / "data"


def on_the_gpu(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    assert typed(monkeypatch, *words, f"device={DEVICE}") == 0


# commands


@pytest.mark.parametrize(
    "words",
    [
        ["sampler=stream", "z1=4", "z2=6"],
        ["sampler=stream", "z1=4", "z2=6", "robust=4"],
        ["sampler=two_stage", "z1=4", "z2=6"],
        ["sampler=ppgn", "z1=4", "z2=20", "sampler.n_iters=30"],
        ["sampler=stream", "z1=4", "z2=6", "runtime.autocast=bf16"],
        ["sampler=stream", "z1=4", "z2=6", "runtime.cuda_graphs=true"],
        ["sampler=stream", "z1=4", "z2=6", "runtime.autocast=tf32", "runtime.cuda_graphs=true"],
    ],
)
def test_samples_of_a_run_are_in_the_set_on_the_cpu(
    words: Sequence[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    on_the_gpu(monkeypatch, *RUN, *words, f"hydra.run.dir={folder}")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["status"] == "reached"
    if "robust=4" in words:  # its views are measured, not the whole picture
        return
    rows = csv.DictReader((folder / "activations.csv").read_text(encoding="utf-8").splitlines())
    told = torch.tensor([float(row["fc8:8 horse"]) for row in rows])
    found = horse(sorted((folder / "samples").glob("*.png")))
    torch.testing.assert_close(found, told, rtol=SAME, atol=SAME)
    if "sampler=ppgn" not in words:  # a sample is what its chains visit, in the range or not
        assert (found >= 4 - SAME).all()


def horse(files: Sequence[Path]) -> Tensor:
    """f of pictures, on the CPU."""
    x = torch.stack([torch.from_numpy(np.array(Image.open(file))) for file in files])
    network = mini_network()
    with torch.no_grad():
        return network.taps(x.permute(0, 3, 1, 2).float() / 255, ["fc8"])["fc8"][:, 7]


def test_the_same_seed_draws_the_same_codes_on_each_device() -> None:
    found = {}
    for device in ("cpu", DEVICE):
        net, generator = mini_network(device=device), mini_generator(device=device)
        question = Problem(net, generator, neurons=[Neuron("fc8", "horse", (4.0, 6.0))])
        target = question.target(question.region())
        state = Stream(K=8, n=8).init(target, seeded())
        found[device] = target.look(state.u).f.cpu()
    torch.testing.assert_close(found[DEVICE], found["cpu"], rtol=0, atol=ROUNDED)


def test_other_commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path) -> None:
    few = ["neurons=[{layer: fc8, neuron: [8]}]", "~fractions.low", "~fractions.top", "n=4"]
    on_the_gpu(monkeypatch, "compare", *few, "judge=null", f"out={tmp_path}/compare")
    assert (tmp_path / "compare" / "summary.md").exists()
    probe = ["probe", "network=mini", "neuron=horse", "codes=8", "starts=2", "steps=2"]
    on_the_gpu(
        monkeypatch, *probe, f"images={pictures}", "progress=false", f"hydra.run.dir={tmp_path}/p"
    )
    fit = ["network=mini", f"data={pictures}"]
    on_the_gpu(monkeypatch, "fit", "prior", *fit, f"out={tmp_path}/prior.safetensors")
    on_the_gpu(
        monkeypatch, "fit", "reference", *fit, "judge=null", f"out={tmp_path}/real.safetensors"
    )
    words = [f"generator.prior={tmp_path}/prior.safetensors", "prior=natural", "z1=-6", "z2=0"]
    real = f"reference={tmp_path}/real.safetensors"
    on_the_gpu(monkeypatch, *RUN, *words, real, f"hydra.run.dir={tmp_path}/run")


def test_trainings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path) -> None:
    data = [f"data.train={pictures}", f"data.val={pictures}"]
    small = ["model.widths=[8,8,8,8,8]", "model.fc6=16", "model.fc7=16", "settings.epochs=2"]
    out = f"out={tmp_path}/network"
    on_the_gpu(monkeypatch, "train", "network", *data, *small, "settings.batch_size=20", out)
    first, second = logged(tmp_path / "network")
    assert second["train_loss"] < first["train_loss"]
    maker = ["network=mini", "model.hidden=[16]", "model.start=8", "discriminator=[4,4,4]"]
    maker += ["model.widths=[[8,8],[8,8],[4,4]]", "settings.steps=4", "settings.batch_size=8"]
    on_the_gpu(monkeypatch, "train", "generator", *data, *maker, f"out={tmp_path}/generator")
    assert np.isfinite([list(row.values()) for row in logged(tmp_path / "generator")]).all()


def logged(folder: Path) -> list[dict[str, float]]:
    """The rows of a training's log."""
    lines = (folder / "log.csv").read_text(encoding="utf-8").splitlines()
    return [{name: float(x) for name, x in row.items()} for row in csv.DictReader(lines)]


# recorded steps


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("push_every", [1, 2])
def test_recorded_steps_are_those_that_are_not(p: int, push_every: int) -> None:
    sampler = Stream(K=6, n=10**4, push_every=push_every)
    targets = []
    for graphs in (False, True):
        net, generator = mini_network(device=DEVICE), mini_generator(device=DEVICE)
        runtime = Runtime(cuda_graphs=graphs)
        neurons = [Neuron("fc8", 8, (4.0, 6.0)), Neuron("fc8", 9, (4.0, 6.0))][:p]
        asked = Problem(net, generator, neurons=neurons, eight_bit=False, runtime=runtime)
        targets.append(asked.target(asked.region()))
    plain, recorded = targets
    rngs = seeded(1), seeded(1)
    state = sampler.init(plain, rngs[0])
    rngs[1].set_state(rngs[0].get_state())
    for _ in range(2 * SEEN + 6):
        again, offer = sampler.step(recorded, state, rngs[1])
        state, expected = sampler.step(plain, state, rngs[0])
        near(offer.seen.f, expected.seen.f)
        same = offer.chosen == expected.chosen
        assert same.float().mean() > 0.8  # a code at the edge of its level may be taken or not
        near(again.u[same], state.u[same])
    assert recorded.meter == plain.meter


def near(found: Tensor, expected: Tensor) -> None:
    assert (found - expected).norm() <= 1e-2 * expected.norm()


def test_a_run_with_recorded_steps_shrinks_to_its_end() -> None:
    ends = narrow()
    sampler = InverseSetSampler(sampler=Stream(K=8, n=30))
    result = sampler.run(problem(ends, device=DEVICE, cuda_graphs=True))
    assert result.status is Status.REACHED
    assert result.in_range.all()


# precision


@pytest.mark.parametrize(("autocast", "far"), [("off", 1e-3), ("tf32", 0.05), ("bf16", 0.3)])
def test_gradients_of_caffenet_are_near_the_cpus(autocast: str, far: float) -> None:
    found = []
    for device, chosen in (("cpu", "off"), (DEVICE, autocast)):
        torch.manual_seed(0)
        net = CaffeNet(n_out=10, widths=(12, 32, 48, 48, 32), fc=(64, 32), size=67)
        network = Network(net, image_size=67, output="fc8", encoder="fc6", device=device)
        maker = torch.nn.Sequential(torch.nn.Linear(16, 3 * 67 * 67), torch.nn.Sigmoid())
        made = torch.nn.Sequential(*maker, torch.nn.Unflatten(1, (3, 67, 67)))
        asked = Problem(
            network,
            Generator(made, 16, device=device),
            neurons=[Neuron("fc8", 1, (0.0, 1.0))],
            eight_bit=False,
            runtime=Runtime(autocast=chosen),
        )
        u = torch.randn(4, 16, generator=seeded()).to(device).requires_grad_()
        f, e = asked.evaluate(u)
        (gradient,) = torch.autograd.grad(f.sum() + e.square().sum(), u)
        found.append(gradient.cpu())
    assert (found[1] - found[0]).norm() <= far * found[0].norm()


# devices and memory


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("graphs", [False, True])
def test_another_gpu(graphs: bool) -> None:
    result = InverseSetSampler(sampler=Stream(K=4, n=20)).run(
        problem(narrow(), device="cuda:1", cuda_graphs=graphs)
    )
    assert result.status is Status.REACHED
    assert result.in_range.all()


def test_too_many_codes_for_the_memory_are_told() -> None:
    many = 10**6  # some 2.6 MB each
    with pytest.raises(InvsetError, match="memory"):
        InverseSetSampler(sampler=Stream(K=many, n=many)).run(
            Problem(
                mini_network(device=DEVICE),
                mini_generator(device=DEVICE),
                neurons=[Neuron("fc8", 8, (4.0, 6.0))],
                runtime=Runtime(micro_batch=None),
            )
        )
