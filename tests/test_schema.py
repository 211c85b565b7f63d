"""The options of a component, read from its source, are those of the class; what is given at the
top level reaches the sampler.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf
from typed import typed

from invset.config.commands import OPTIONS
from invset.config.compose import SHORT, compose, config_dir, samplers
from invset.config.schema import read, structured
from invset.core.options import Bounds
from invset.errors import InvsetError

FILES = sorted(config_dir().rglob("*.yaml"))
SHELVES = ("sampler", "generator", "network", "experiment")


def targets(node: Any) -> set[str]:
    """Every `_target_` in a composed configuration."""
    found = {node["_target_"]} if "_target_" in node else set()
    return found.union(*(targets(part) for part in node.values() if isinstance(part, dict)))


def of(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def configured() -> list[str]:
    """Every dataclass that a configuration of ours names, and every step rule."""
    names = {"invset.core.steps.Plain", "invset.core.steps.Normalized"}
    for sampler in samplers():
        names |= targets(OmegaConf.to_container(compose("run", [f"sampler={sampler}"])))
    for command in ("train_network", "train_generator", "train_autoencoder"):
        names |= targets(OmegaConf.to_container(compose(command)))
    return sorted(name for name in names if is_dataclass(of(name)))


CONFIGURED = configured()


def test_what_is_configured_by_a_dataclass() -> None:
    assert {name.rpartition(".")[2] for name in CONFIGURED} >= {
        "Stream",
        "TwoStage",
        "Full",
        "PPGN",
        "Ladder",
        "Adam",
        "Runtime",
        "NetworkSettings",
        "GeneratorSettings",
    }


@pytest.mark.parametrize("target", CONFIGURED)
def test_the_source_says_what_the_class_is(target: str) -> None:
    options = read(target)
    assert options is not None
    real = [one for one in fields(of(target)) if one.init]
    assert list(options) == [one.name for one in real]
    for one in real:
        option = options[one.name]
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if isinstance(option.default, dict):
            assert hydra.utils.instantiate(option.default) == default
        else:
            assert (option.default, type(option.default)) == (default, type(default))
        assert option.kind == one.type
        assert option.bounds == one.metadata.get("bounds", Bounds())


@pytest.mark.parametrize("target", CONFIGURED)
def test_every_option_is_explained(target: str) -> None:
    assert [name for name, option in (read(target) or {}).items() if not option.about] == []


@pytest.mark.parametrize("target", CONFIGURED)
def test_a_component_composes_as_it_is_made(target: str) -> None:
    needed = [one.name for one in fields(of(target)) if one.default is one.default_factory]
    cfg = structured(target)
    assert cfg is not None
    assert [name for name in cfg if OmegaConf.is_missing(cfg, name)] == needed
    given: dict[str, Any] = dict.fromkeys(needed, 0.5)
    given |= {"ranges": [[1.0, 2.0]]} if target.endswith("Ladder") else {}
    assert hydra.utils.instantiate(cfg, **given) == of(target)(**given)


@pytest.mark.parametrize("command", OPTIONS)
def test_options_of_commands_are_those_of_their_files(command: str) -> None:
    def same(cfg: DictConfig, options: type) -> None:
        for one in fields(options):
            if is_dataclass(one.default_factory):
                same(cfg[one.name], one.default_factory)
            elif one.default is MISSING and one.default_factory is MISSING:
                assert OmegaConf.is_missing(cfg, one.name)
            else:
                default = one.default
                assert cfg[one.name] == (one.default_factory() if default is MISSING else default)

    same(compose(command.replace(" ", "_")), OPTIONS[command])


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.relative_to(config_dir()).parts[0] in SHELVES],
    ids=lambda path: path.relative_to(config_dir()).as_posix(),
)
def test_an_option_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 20


# classes of a person's own

OWN = """
import math
from dataclasses import dataclass, field
from typing import ClassVar

from invset.core import steps
from invset.core.options import option
from invset.samplers.stream import Stream as Base
from own_words import WORDS

raise RuntimeError("nobody imports this file")

HERE = 7

@dataclass(frozen=True)
class Mine(Base):
    '''A sampler.

    Attributes:
        speed: how fast, in steps
            of a second line.
        ends, last: two at once.

    Raises:
        InvsetError: never.
    '''

    columns: ClassVar = ("a",)
    speed: float = option(2.0, above=0, at_most=9)
    ends: "float" = math.inf
    last: float = -math.inf
    word: str = option("a", words=WORDS)
    here: int = HERE
    many: list = field(default_factory=list)
    rule: object = field(default_factory=lambda: steps.Adam(0.5, beta2=0.9))
    seen: int = field(default=3, init=False)

class Plain:
    speed: int = 1

@dataclass
class Odd:
    speed: int = abs(-1)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A sampler of a person's own, in a module that can't be imported."""
    (tmp_path / "own_sampler.py").write_text(OWN)
    (tmp_path / "own_words.py").write_text('WORDS = ("a", "b")\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_sampler.Mine"


def test_a_class_of_ones_own_is_read(own: str) -> None:
    options = read(own)
    assert options is not None
    assert list(options)[:2] == ["K", "n"]
    assert "seen" not in options
    assert "columns" not in options
    names = ("walk", "speed", "ends", "last", "word", "here", "many")
    defaults = [None, 2.0, float("inf"), -float("inf"), "a", 7, []]
    assert [options[name].default for name in names] == defaults
    assert options["rule"].default == {
        "_target_": "invset.core.steps.Adam",
        "lr": 0.5,
        "beta1": 0.9,
        "beta2": 0.9,
        "eps": 1e-30,
    }
    assert options["speed"].about == "how fast, in steps of a second line."
    assert options["ends"].about == options["last"].about == "two at once."
    assert options["walk"].about.startswith("share of a fresh draw")
    assert options["ends"].kind == "float"
    assert options["speed"].bounds == Bounds(above=0, at_most=9)
    assert options["word"].bounds.words == ("a", "b")


@pytest.mark.parametrize(
    "target",
    ["own_sampler.Plain", "own_sampler.Odd", "own_sampler.Nobody", "nowhere.At", "build", "a..b"],
)
def test_what_cannot_be_read_is_checked_when_it_is_made(own: str, target: str) -> None:
    assert read(target) is None
    cfg = compose("run", [f"sampler._target_={target}", "+sampler.speed=3", "n=4"])
    assert cfg.sampler == {"_target_": target, "speed": 3, "n": 4}


def test_a_class_of_ones_own_is_composed_and_checked(
    own: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = compose("run", [f"sampler._target_={own}", "sampler.speed=3", "n=4"])
    assert (cfg.sampler.speed, cfg.sampler.walk, cfg.sampler.n, cfg.sampler.K) == (3, None, 4, 4)
    horse = ["network=mini", "neuron=horse", "z1=3", "z2=4", f"sampler._target_={own}"]
    for word, told in {
        "sampler.speed=10": "sampler.speed must be a number above 0 and at most 9, not 10",
        "sampler.sped=1": "has no option sampler.sped. Did you mean sampler.speed",
        "sampler.word=c": "sampler.word must be a or b, not 'c'",
    }.items():
        assert typed(monkeypatch, "run", *horse, word) == 2
        assert told in capsys.readouterr().err


def test_another_step_rule_has_its_own_options() -> None:
    words = ["sampler=two_stage", "sampler.step_rule._target_=invset.core.steps.Plain"]
    assert compose("run", [*words, "sampler.step_rule.beta=0.001"]).sampler.step_rule == {
        "_target_": "invset.core.steps.Plain",
        "beta": 0.001,
    }


def test_another_step_rule_of_a_file_has_its_own_options(tmp_path: Path) -> None:
    (tmp_path / "sampler").mkdir()
    (tmp_path / "sampler/own_rule.yaml").write_text(
        "# @package _global_\n"
        "sampler:\n"
        "  _target_: invset.samplers.two_stage.TwoStage  # its own rule is Adam\n"
        "  step_rule: {_target_: invset.core.steps.Plain, beta: 0.5}\n"
    )
    cfg = compose("run", [f"hydra.searchpath=[file://{tmp_path}]", "sampler=own_rule"])
    assert cfg.sampler.step_rule == {"_target_": "invset.core.steps.Plain", "beta": 0.5}


# what is given at the top level

GIVEN = {
    "K": 3,
    "n": 17,
    "goal": "max",
    "mu0": 5,
    "alpha": 4,
    "inner_steps": 6,
    "constraint": "paper",
}


@pytest.mark.parametrize("sampler", samplers())
def test_what_is_given_at_the_top_reaches_the_sampler_or_is_refused(sampler: str) -> None:
    known = [key for key in SHORT if key in (samplers()[sampler] or {})]
    cfg = compose("run", [f"sampler={sampler}", *(f"{key}={GIVEN[key]}" for key in known)])
    assert {key: cfg.sampler[key] for key in known} == {key: GIVEN[key] for key in known}
    assert all(cfg[key] is None for key in SHORT)
    for key in SHORT:
        if key not in known:
            with pytest.raises(InvsetError, match=f"sampler {sampler} has no {key}; leave {key}="):
                compose("run", [f"sampler={sampler}", f"{key}={GIVEN[key]}"])


def test_null_at_the_top_is_the_samplers_own() -> None:
    cfg = compose("run", ["sampler=two_stage", "sampler.mu0=3", "mu0=null", "n=null"])
    assert (cfg.sampler.mu0, cfg.sampler.n, cfg.sampler.K) == (3, 100, 10)


def test_an_experiment_may_give_them(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nmu0: 5\nn: 4\nruntime: {autocast: off}\n"
    )
    word = f"hydra.searchpath=[file://{tmp_path}]"
    cfg = compose("run", ["experiment=mine", word])
    assert (cfg.sampler.mu0, cfg.sampler.n, cfg.sampler.K) == (5, 4, 4)
    assert cfg.runtime.autocast == "off"  # which YAML reads as false
    with pytest.raises(InvsetError, match="sampler ppgn has no mu0"):
        compose("run", ["experiment=mine", word, "sampler=ppgn"])


def test_jobs_of_a_sweep_have_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["network=mini", "neuron=horse", "z1=3", "z2=4", "n=3", "progress=false"]
    words += ["animation=false", "report=false", f"hydra.sweep.dir={tmp_path}/sweep"]
    assert typed(monkeypatch, "run", "mu0=5,20", *words, "-m") == 0
    saved = [OmegaConf.load(tmp_path / "sweep" / job / ".hydra" / "config.yaml") for job in "01"]
    assert [cfg.sampler.mu0 for cfg in saved] == [5, 20]
    assert [(cfg.mu0, cfg.sampler.n, cfg.sampler.K) for cfg in saved] == [(None, 3, 3)] * 2
    capsys.readouterr()
    words[-1] += "s"
    assert typed(monkeypatch, "run", "-m", "sampler=stream,ppgn", "mu0=5", *words) == 2
    assert capsys.readouterr().err.startswith("invset: sampler ppgn has no mu0; leave mu0=5 out")


@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job"], ["K=2.5"], ["sampler.wlak=1"]])
def test_options_and_mistakes_need_no_torch(words: list[str], tmp_path: Path) -> None:
    code = "import sys; from invset.cli import main\ntry: main()\n"
    code += "finally: print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "sampler=two_stage", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.splitlines()[-1] == "False"
    if words[0].startswith("-"):
        assert "max_sampling: 20.0" in done.stdout
    else:
        assert done.stderr.startswith("invset: ")
