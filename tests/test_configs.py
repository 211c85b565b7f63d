"""Every option of every group composes and instantiates; every key is explained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from caffe_files import write_caffemodel
from caffe_oracle import Layer, caffenet_layers, generator_layers, random_blobs
from omegaconf import DictConfig, OmegaConf
from typed import typed

from invset.analysis.reference import Reference
from invset.cli import COMMANDS
from invset.config import build
from invset.config.compose import SHORT, compose, config_dir, samplers
from invset.config.validate import check_config
from invset.nets.embedded import ALONE, EMBEDDED, embedded
from invset.problem.neuron import Neuron, find
from invset.samplers.fooling import Fooling
from invset.samplers.map_elites import MapElites

CONFIGS = config_dir()
FILES = sorted(CONFIGS.rglob("*.yaml"))
EXPERIMENTS = sorted(
    p.relative_to(CONFIGS / "experiment").with_suffix("").as_posix()
    for p in (CONFIGS / "experiment").rglob("*.yaml")
)


def config(name: str, *overrides: str) -> DictConfig:
    return compose(name, overrides)


def layers_for(n_out: int) -> list[Layer]:
    """A narrow network with as many outputs, and as many channels in conv5, as the published
    ones.
    """
    wide = {"conv5": (256, 12, 3, 3), "fc6": (256, 256 * 36)}
    return [
        replace(l, weights=wide.get(l.name, l.weights))
        for l in caffenet_layers("pool-norm", 6, n_out)
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in the form of the published ones: networks and a generator of 256 numbers."""
    folder = tmp_path_factory.mktemp("small")
    for seed, (name, n_out) in enumerate({"caffenet": 1000, "places205": 205}.items()):
        write_caffemodel(
            folder / f"{name}.caffemodel", random_blobs(layers_for(n_out), seed, bias=1.0)
        )
    write_caffemodel(folder / "g.caffemodel", random_blobs(generator_layers(16), seed=2, bias=1.0))
    return folder


def weights(folder: Path, network: str = "caffenet") -> list[str]:
    return [
        f"network.weights={folder}/{network}.caffemodel",
        f"generator.weights={folder}/g.caffemodel",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_every_file_begins_with_its_command(path: Path) -> None:
    first = next(
        line for line in path.read_text().splitlines() if not line.startswith("# @package")
    )
    assert first.startswith("# invset ")


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if "experiment" not in p.parts],
    ids=lambda p: p.name,
)
def test_every_key_is_explained(path: Path) -> None:
    silent = []
    for line in path.read_text().split("\nhydra:")[0].splitlines():
        words = line.split("#")[0].strip()
        structure = (
            words.endswith(":")
            or words.startswith(("- ", "_target_", "{_target_", "defaults: ["))
            or "${" in words
        )
        if words and not structure and "  # " not in line:
            silent.append(line)
    assert not silent


@pytest.mark.parametrize("command", [c for _, c, _ in COMMANDS.values() if c])
def test_every_command_composes(command: str) -> None:
    assert config(command)


def test_the_default_run() -> None:
    cfg = config("run")
    assert (cfg.network.name, cfg.network.weights, cfg.network.fc6) == ("caffenet", None, "after")
    assert (cfg.generator.name, cfg.generator.weights, cfg.generator.clip) == (
        "ppgn_generator",
        None,
        [0, 30],
    )
    assert cfg.sampler._target_ == "invset.samplers.stream.Stream"
    plain = {
        k: v
        for k, v in OmegaConf.to_container(cfg).items()
        if k not in ("network", "generator", "sampler")
    }  # type: ignore[union-attr]
    assert plain == {
        **dict.fromkeys(
            (
                "neuron",
                "z1",
                "z2",
                "range",
                "layer",
                "direction",
                "bias",
                "sae",
                "feature",
                "top_k",
                "neurons",
                "encoder",
                "encoder_network",
                *SHORT,
            )
        ),
        "position": "center",
        "prior": "auto",
        "clip": None,
        "starts": {
            "_target_": "invset.problem.start_codes.Starts",
            "count": 256,
            "z1": None,
            "z2": None,
        },
        "eight_bit": True,
        "clamp": True,
        "stochastic": False,
        "seed": 0,
        "device": "auto",
        "images": None,
        "limit": 2000,
        "reference": "auto",
        "judge": "auto",
        "animation": True,
        "report": True,
        "progress": True,
        "checkpoint_seconds": 30,
        "objective": None,
        "overwrite": False,
        "collect": None,
        "keep": "all",
        "gpu_jobs": 1,
        "together": 1,
        "retry": "failed",
        "limits": {
            "_target_": "invset.samplers.base.Limits",
            "code_steps": None,
            "patience": None,
            "seconds": None,
            "forwards": None,
        },
        "perturbed": {
            "_target_": "invset.problem.perturbing.Perturbing",
            "count": 0,
            "sd": 0.1,
            "quantile": 0.1,
            "scale": "both",
            "seed": 0,
        },
        "robust": {
            "_target_": "invset.problem.robust.Robust",
            "M": None,
            "range": "views",
            "smallest": 0.25,
            "largest": 1.0,
            "moving": 4,
            "size": None,
            "noise": 0.05,
            "jitter": 0.2,
            "seed": 0,
        },
        "runtime": {
            "_target_": "invset.problem.runtime.Runtime",
            "autocast": "off",
            "compile": False,
            "cuda_graphs": False,
            "micro_batch": "auto",
            "channels_last": "auto",
            "deterministic": False,
        },
    }


SAMPLERS = sorted(path.stem for path in (CONFIGS / "sampler").glob("*.yaml"))


@pytest.mark.parametrize("option", SAMPLERS)
def test_every_sampler_instantiates(option: str) -> None:
    several = "ranges" in (samplers()[option] or {})
    words = ["sampler.ranges=[[1,2],[3,4]]"] if several else ["n=7"]
    sampler = hydra.utils.instantiate(config("run", f"sampler={option}", "K=3", *words).sampler)
    assert sampler.K == 3
    assert sampler.n == (6 if several else 7)


@pytest.mark.parametrize(
    ("device", "n", "K"), [("cpu", 50, 10), ("cpu", 5, 5), ("cuda", 50, 50), ("cuda:1", 500, 100)]
)
def test_codes_at_a_time_follow_the_device(device: str, n: int, K: int) -> None:
    cfg = config("run", "network=mini", "neuron=1", "z1=3", "z2=4", "K=auto", f"n={n}")
    check_config(cfg)
    assert cfg.sampler == config("run", "network=mini", f"n={n}").sampler
    build.follow_device(cfg, torch.device(device))
    assert (cfg.sampler.K, cfg.K) == (K, None)  # as the run's folder holds it


def test_the_published_method_at_both_ends_differs_in_that_alone() -> None:
    one, both, paper = (
        hydra.utils.instantiate(config("run", f"sampler={name}").sampler)
        for name in ("paper_base", "paper_both", "paper")
    )
    assert one == paper
    assert (one.constraint, both.constraint) == ("paper", "both")
    assert replace(one, constraint="both") == both


OWN = """
from torch import nn
def network(): return nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.ReLU(), nn.Linear(6, 2))
def generator(): return nn.Unflatten(1, (3, 4, 4))
"""


def test_the_custom_and_trained_options_instantiate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own_modules.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    custom = config(
        "run",
        "network=custom",
        "network.module._target_=own_modules.network",
        "network.name=mine",
        "network.image_size=4",
    )
    network = hydra.utils.instantiate(custom.network, device="cpu")
    assert (network.name, network.output, network.encoder) == ("mine", "3", "3.input")
    words = [
        "generator.module._target_=own_modules.generator",
        "generator.code_dim=48",
        "generator.gaussian=true",
    ]
    generator = hydra.utils.instantiate(
        config("run", "generator=custom", *words).generator, device="cpu"
    )
    assert generator.code_dim == 48
    assert generator.prior is not None
    torchvision = config(
        "run", "network=torchvision", "network.name=squeezenet1_1", "network.weights=null"
    ).network
    assert hydra.utils.instantiate(torchvision, device="cpu").output
    trained = config(
        "run", "generator=upconv", f"generator.weights={embedded('mini', 'generator')}"
    ).generator
    assert hydra.utils.instantiate(trained, device="cpu").code_dim == 1024
    assert {p.stem for p in (CONFIGS / "network").glob("*.yaml")} == {
        *EMBEDDED,
        *ALONE,
        "custom",
        "table",
        "torchvision",
        *LIBRARIES,
        *LITE,
        "diabetes",
        "diabetes_trees",
        *AUTOENCODERS,
        *CAFFE["network"],
    }
    assert {p.stem for p in (CONFIGS / "generator").glob("*.yaml")} == {
        *EMBEDDED,
        *ALONE,
        "custom",
        "table",
        "upconv",
        "pixels",
        "fourier",
        "spectrum",
        "phase",
        "table_vae",
        "diffusers",
        "rae",
        "turbo",
        "biggan",
        *AUTOENCODERS,
        *CAFFE["generator"],
        *OF_A_NETWORK,
    }


#: Options of configs/network that are libraries -> module, and words for a small network of each.
LIBRARIES = {
    "timm": ("timm", ["network.name=test_convnext"]),
    "transformers": (
        "transformers",
        [
            "network.name=dinov2",
            "+network.config.hidden_size=16",
            "+network.config.num_hidden_layers=1",
            "+network.config.num_attention_heads=2",
            "+network.config.image_size=28",
        ],
    ),
    "open_clip": ("open_clip", ["network.name=tiny.json"]),
}

TINY_CLIP = """{"embed_dim": 8,
"vision_cfg": {"image_size": 16, "layers": 1, "width": 8, "patch_size": 8, "head_width": 8},
"text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}}"""


@pytest.mark.parametrize("option", LIBRARIES)
def test_a_library_instantiates(
    option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module, words = LIBRARIES[option]
    pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.json").write_text(TINY_CLIP)
    cfg = config("run", f"network={option}", "network.weights=null", *words)
    network = hydra.utils.instantiate(cfg.network, device="cpu")
    sides = {"timm": (160, 1000), "transformers": (28, 16), "open_clip": (16, 8)}
    assert (network.image_size, network.units(network.output)) == sides[option]


#: Encoders of autoencoders -> what builds their decoders (tests/test_pretrained_generators.py).
AUTOENCODERS = {"diffusers_encoder": "diffusers_generator", "rae_encoder": "rae_generator"}


@pytest.mark.parametrize("option", AUTOENCODERS)
def test_an_encoder_brings_its_decoder(option: str) -> None:
    cfg = config("run", f"network={option}", "network.weights=here", "network.subfolder=vae")
    assert cfg.generator._target_ == f"invset.nets.latents.{AUTOENCODERS[option]}"
    assert (cfg.generator.weights, cfg.generator.subfolder) == ("here", "vae")
    assert cfg.network._target_ == f"invset.nets.latents.{option}"


#: Options of configs/network that have the generator of another one.
OF_A_TABLE = ("diabetes", "diabetes_trees")
OF_DIGITS = ("mnist_encoder", "mnist_judge")

#: Options of configs/generator that are called as a network is, beside the embedded ones and custom
#: -> the name of what they build.
OF_A_NETWORK = {
    "caffenet": "ppgn_generator",
    "places205": "ppgn_generator",
    "alexnet": "ppgn_generator",
    "torchvision": "spectrum",
    "timm": "spectrum",
    "transformers": "spectrum",
    "open_clip": "spectrum",
    **dict.fromkeys(OF_A_TABLE, "diabetes"),
    **dict.fromkeys(OF_DIGITS, "mnist"),
    "efficientnet_lite0": "spectrum",
    "efficientnet_lite1": "spectrum",
}

#: Options of configs/network that are EfficientNet-Lites -> side of their pictures.
LITE = {"efficientnet_lite0": 224, "efficientnet_lite1": 240}


@pytest.mark.parametrize("option", OF_A_NETWORK)
def test_a_network_brings_its_generator(option: str, small: Path) -> None:
    words = {
        "torchvision": ["network.name=squeezenet1_1", "network.weights=null"],
        **{name: ["network.name=any"] for name in LIBRARIES},
        **{name: ["network.weights=null"] for name in LITE},
        **{name: [] for name in (*OF_DIGITS, *OF_A_TABLE)},
    }.get(option, [f"generator.weights={small}/g.caffemodel"])
    cfg = config("run", f"network={option}", *words)
    assert hydra.utils.instantiate(cfg.generator, device="cpu").name == OF_A_NETWORK[option]
    sides = {**dict.fromkeys(("torchvision", *LIBRARIES), 224), **LITE}
    assert cfg.generator.get("size") == sides.get(option)
    assert (
        config("run", f"network={option}", "generator=pixels").generator._target_
        == "invset.nets.pixels.pixels_generator"
    )


@pytest.mark.parametrize("option", LITE)
def test_efficientnet_lite_instantiates(option: str) -> None:
    cfg = config("run", f"network={option}", "network.weights=null")
    network = hydra.utils.instantiate(cfg.network, device="cpu")
    assert (network.name, network.image_size, network.output) == (option, LITE[option], "fc")
    assert find(network, Neuron("fc", "volcano")).index == 980


@pytest.mark.parametrize(
    ("option", "sides", "units"),
    [("mini", (3, 32, 32), 10), ("mini64", (3, 64, 64), 200), ("mnist", (1, 28, 28), 10)],
)
def test_an_embedded_network_brings_its_generator(
    option: str, sides: tuple[int, int, int], units: int
) -> None:
    cfg = config("run", f"network={option}")
    network, generator = (
        hydra.utils.instantiate(part, device="cpu") for part in (cfg.network, cfg.generator)
    )
    assert (network.name, network.image_size, network.shape("fc8"), len(network.labels)) == (
        option,
        sides[1],
        (units,),
        units,
    )
    assert network.medium.shape == sides
    assert generator.name == option
    assert generator(torch.zeros(1, *network.shape("fc6"))).shape == (1, *sides)
    assert generator.prior is not None
    assert Reference.load(embedded(option, "reference")).about["network"] == option


REGIONS: dict[str, tuple[str, tuple[float, float] | None]] = {
    "network=mini": ("natural", None),
    "network=mini generator=pixels generator.size=32": ("clip", (0, 1)),
    "network=mini generator=fourier generator.size=32": ("none", None),
    "generator=ppgn": ("clip", (0, 30)),
    "generator=ppgn generator.clip=null": ("none", None),
    "generator=ppgn generator.clip=null clip=[0,3]": ("clip", (0, 3)),
    "generator=ppgn clip=[0,3]": ("clip", (0, 3)),
}


@pytest.mark.parametrize("words", REGIONS)
def test_prior_auto_is_the_first_that_the_generator_has(words: str, small: Path) -> None:
    files = [] if "network=mini" in words else [*weights(small), "network.labels=null"]
    cfg = config("run", *words.split(), *files, "neuron=1", "z1=0", "z2=1", "device=cpu")
    problem = build.problem(cfg)
    region = problem.region(
        cfg.prior,
        torch.Generator().manual_seed(0),
        build.bounds(cfg.clip, problem.generator.code_dim),
    )
    name, ends = REGIONS[words]
    assert region.name == name
    if ends:
        assert (region.low, region.high) == ends


#: Published options of configs/network and configs/generator, and what they are.
CAFFE = {
    "network": {
        "caffenet": ("pool-norm", "volcano", 1000),
        "places205": ("pool-norm", "phone_booth", 205),
        "alexnet": ("norm-pool", "volcano", 1000),
    },
    "generator": ("ppgn", "deepsim_fc6"),
}


@pytest.mark.parametrize("option", CAFFE["network"])
def test_published_networks_instantiate(option: str, tmp_path: Path) -> None:
    order, name, n_out = CAFFE["network"][option]
    layers = caffenet_layers(order, 6, n_out)
    write_caffemodel(tmp_path / "net.caffemodel", random_blobs(layers, seed=0, bias=1.0))
    network = hydra.utils.instantiate(
        config("run", f"network={option}", f"network.weights={tmp_path}/net.caffemodel").network,
        device="cpu",
    )
    assert (network.name, network.resolve("fc6"), network.output) == (option, "relu6", "fc8")
    assert [
        name for name, _ in network.module.named_children() if name not in ("data", "flatten")
    ] == [l.name for l in layers]
    assert find(network, Neuron("fc8", name)).index == {"volcano": 980, "phone_booth": 140}[name]


@pytest.mark.parametrize("option", CAFFE["generator"])
def test_published_generators_instantiate(option: str, tmp_path: Path) -> None:
    write_caffemodel(tmp_path / "g.caffemodel", random_blobs(generator_layers(8), seed=0, bias=1.0))
    words = [f"generator={option}", f"generator.weights={tmp_path}/g.caffemodel"]
    generator = hydra.utils.instantiate(config("run", *words).generator, device="cpu")
    assert (generator.code_dim, generator.picture, generator.display) == (128, "mean", None)
    assert generator(torch.zeros(1, 128)).shape == (1, 3, 227, 227)


def test_settings_of_training_instantiate() -> None:
    for command in ("train_network", "train_generator", "train_autoencoder"):
        assert hydra.utils.instantiate(config(command).settings)


@pytest.mark.parametrize("option", ["mini", "mini64", "pixels", "fourier", "spectrum", "phase"])
def test_generators_instantiate(option: str) -> None:
    generator = hydra.utils.instantiate(
        config("run", f"generator={option}").generator, device="cpu"
    )
    assert generator.code_dim >= 1024


@pytest.mark.parametrize("option", EXPERIMENTS)
def test_every_experiment_composes(option: str) -> None:
    cfg = config("run", f"experiment={option}")
    assert hydra.utils.instantiate(cfg.sampler).K >= 1


def sampled(monkeypatch: pytest.MonkeyPatch, out: Path, *words: str) -> dict[str, Any]:
    """The summary of a run that does very little."""
    little = [
        *(["K=2"] if "ladder" in words[0] or "hidden" in words[0] else ["n=4", "K=2"]),
        *(["inner_steps=2"] if "paper" in words[0] else []),
        "animation=false",
        "progress=false",
        f"hydra.run.dir={out}",
    ]
    code = typed(monkeypatch, "run", *words, *little)
    summary = json.loads((out / "summary.json").read_text())
    assert (code, summary["status"]) in ((0, "reached"), (3, "budget"), (3, "unreachable"))
    return summary


@pytest.mark.parametrize("option", [option for option in EXPERIMENTS if option.startswith("demo/")])
def test_every_demonstration_runs(
    option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert sampled(monkeypatch, tmp_path, f"experiment={option}")["network"] == "mini"


@pytest.mark.parametrize("option", ["paper/base", "paper/both"])
def test_the_published_method_runs_on_any_network(
    option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert (
        sampled(
            monkeypatch,
            tmp_path,
            f"experiment={option}",
            "network=mini",
            "neuron=horse",
            "z1=3",
            "z2=5",
        )["prior"]
        == "none"
    )


FACES, FURRY_FACES = ("conv5:197", 170, 200), ("conv5:197", 260, 300)
TOILET_PAPER = "fc8:1000 toilet tissue, toilet paper, bathroom tissue"

#: What each experiment of the paper asks: the figures of Hada & Carreira-Perpiñán (2020).
PAPER: dict[str, list[tuple[str, float, float]]] = {
    "volcano": [("fc8:981 volcano", 50, 60)],
    "volcano_before_relu": [("fc8:981 volcano", 50, 60)],
    "cardoon": [("fc8:947 cardoon", 40, 50)],
    "toilet_paper": [(TOILET_PAPER, 40, 50)],
    "monastery": [("fc8:664 monastery", 40, 50)],
    "toilet_seat": [("fc8:862 toilet seat", 40, 50)],
    "monastery_and_toilet_seat": [("fc8:664 monastery", 40, 50), ("fc8:862 toilet seat", 40, 50)],
    "faces": [FACES],
    "furry_faces": [FURRY_FACES],
    "faces_and_toilet_paper": [FURRY_FACES, (TOILET_PAPER, 20, 50)],
    "faces_and_toilet_seat": [FURRY_FACES, ("fc8:862 toilet seat", 40, 50)],
    "gas_station": [("fc8:88 gas_station", 40, 50)],
    "phone_booth": [("fc8:141 phone_booth", 40, 50)],
}


def test_every_experiment_is_known() -> None:
    paper = {f"paper/{name}" for name in (*PAPER, "base", "both")}
    others = {
        option for option in EXPERIMENTS if not option.startswith("figures/")
    }  # those are in test_figures.py
    demos = {f"demo/{name}" for name in ("hidden", "intersection", "ladder")}
    imagenet = {f"imagenet/{name}" for name in ("volcano", "ladder", "hidden", "intersection")}
    on = {f"on/{name}" for name in ("caffenet", "places205", "mini", "mini64")}
    ways = ("ascent", "cppn", "direct")
    networks = ("efficientnet_lite0", "mini", "mnist")
    fooling = {f"fooling/{network}_{way}" for network in networks for way in ways}
    assert others == paper | demos | imagenet | on | fooling


@pytest.mark.parametrize("option", [one for one in EXPERIMENTS if one.startswith("fooling/")])
def test_experiments_that_fool_hold_a_class_alone(option: str) -> None:
    cfg = config("run", f"experiment={option}")
    check_config(cfg)
    assert (cfg.sampler.goal, cfg.robust.M) == ("max", 0)
    assert cfg.generator._target_.endswith(".pixels_generator")
    assert isinstance(hydra.utils.instantiate(cfg.sampler), (MapElites, Fooling))


@pytest.mark.parametrize("option", PAPER)
def test_experiments_ask_what_the_paper_asks(
    option: str, small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cfg = config("run", f"experiment=paper/{option}")
    given = [cfg.sampler[key] for key in SHORT if key != "goal"]
    assert given == [10, 500, 10, 10, 100, "paper"]
    assert cfg.prior == "none"
    places = option in ("gas_station", "phone_booth")
    network = "places205" if places else "caffenet"
    # E is CaffeNet's fc6 in all of the paper's experiments
    files = [
        *weights(small, network),
        *([f"encoder_network.weights={small}/caffenet.caffemodel"] if places else []),
    ]
    words = [f"experiment=paper/{option}", *files]
    if option in ("volcano", "faces_and_toilet_seat", "gas_station"):  # one of each kind is sampled
        summary = sampled(monkeypatch, tmp_path, *words)
        parts = [summary[key] for key in ("network", "generator", "prior")]
        asked = [(neuron["name"], neuron["z1"], neuron["z2"]) for neuron in summary["neurons"]]
    else:
        cfg = config("run", *words)
        problem = build.problem(cfg)
        parts = [problem.network.name, problem.generator.name, cfg.prior]
        each = zip(problem.names, problem.neurons, strict=True)
        asked = [(name, *neuron.range) for name, neuron in each]
    assert (parts, asked) == ([network, "ppgn_generator", "none"], PAPER[option])
    assert (cfg.encoder_network or cfg.network).name == "caffenet"


def test_published_choices_are_those_of_the_paper() -> None:
    cfg = config("run", "experiment=paper/base")
    given = [cfg.sampler[key] for key in SHORT if key != "goal"]
    assert given == [10, 500, 10, 10, 100, "paper"]
    assert cfg.prior == "none"
    sampler = hydra.utils.instantiate(cfg.sampler)
    assert (
        sampler.units,
        sampler.slack,
        sampler.diversity,
        sampler.diversity_units,
        sampler.earlier,
    ) == (
        "raw",
        "frozen",
        1,
        "raw",
        "last",
    )
    assert sampler.mu_max == float("inf")
    assert sampler.epsilon0 == 0.5
