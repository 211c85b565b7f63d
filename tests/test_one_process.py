"""Many neurons in one process: each folder holds what the neuron's run by itself writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from typed import typed

from invset.config import kept_parts
from invset.config.compose import compose
from invset.config.words import counted
from invset.errors import InvsetError
from invset.nets import embedded

sys.path.insert(0, str(Path(__file__).parent / "stress"))
from kills import content

QUICK = ["network=mini", "z1=2", "z2=5", "K=2", "n=3", "animation=false", "report=false"]
QUICK += ["judge=null", "progress=false"]


def counting(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The files of weights that are read."""
    read: list[Any] = []
    original = embedded.load_trained

    def load(*words: Any) -> Any:
        read.append(words[2])
        return original(*words)

    monkeypatch.setattr(embedded, "load_trained", load)
    return read


def test_as_if_each_were_run_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read = counting(monkeypatch)
    sweep = tmp_path / "sweep"
    words = [*QUICK, "neuron=8..9", f"hydra.sweep.dir={sweep}"]
    assert typed(monkeypatch, "run", *words) == 0
    assert len(read) == 2  # a network and a generator for two jobs
    assert not kept_parts._kept
    alone = tmp_path / "alone"
    assert typed(monkeypatch, "run", *QUICK, "neuron=9", f"hydra.run.dir={alone}") == 0
    assert len(read) == 4  # a run by itself keeps nothing
    assert content(sweep / "1") == content(alone)
    config = Path(".hydra") / "config.yaml"
    assert (sweep / "1" / config).read_text() == (alone / config).read_text()
    assert json.loads((alone / "summary.json").read_text())["neurons"][0]["name"] == "fc8:9 ship"


def test_what_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    def of(*words: str, device: str = "cpu") -> int:
        cfg = compose("run", ["network=mini", *words])
        return kept_parts.part(cfg.network, cfg.runtime, torch.device(device), make)

    assert (of(), of()) == (0, 1)  # by itself nothing
    with kept_parts.keeping():
        assert (of(), of("neuron=ship"), of("seed=1")) == (2, 2, 2)
        # weights are laid out in memory as runtime says
        others = [of("network=mini64"), of("runtime.channels_last=true"), of(device="meta")]
        assert others == [3, 4, 5]
        assert of() == 2
        file = tmp_path / "w.safetensors"
        sizes = []
        for size in (1, 2):
            file.write_bytes(b"w" * size)
            sizes.append(of(f"network.weights={file}"))
        assert sizes[0] != sizes[1]
        assert len(kept_parts._kept) == kept_parts.MOST
        own = OmegaConf.create({"_target_": "my_network.build"})
        first, second = (kept_parts.part(own, None, torch.device("cpu"), make) for _ in range(2))
        assert first != second
        assert kept_parts.of_file(tmp_path / "none", make) != kept_parts.of_file(
            tmp_path / "none", make
        )
    kept_parts.forget()
    assert not kept_parts._kept


def test_facts_of_what_is_kept() -> None:
    found: list[int] = []

    def find() -> int:
        found.append(len(found))
        return found[-1]

    kept, other = object(), object()
    assert kept_parts.fact([kept], "sum", find) == 0
    with kept_parts.keeping():
        assert kept_parts.fact([kept], "sum", find) == 1  # it is not kept
        kept_parts.kept("a", lambda: kept)
        assert {kept_parts.fact([kept], "sum", find) for _ in range(2)} == {2}
        assert kept_parts.fact([kept], "shapes", find) == 3
        assert {kept_parts.fact([kept, other], "sum", find) for _ in range(2)} == {4, 5}
    assert kept_parts.fact([kept], "sum", find) == 6
    kept_parts.forget()
    assert not kept_parts._facts


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["neuron=1..1000"], ["neuron=range(1,1001)", "-m"]),
        (["-m", "neuron=3..3", "seed=0..9"], ["-m", "neuron=range(3,4)", "seed=range(0,10)"]),
        (["neuron=a..b", "z1=1..2"], ["neuron=a..b", "z1=1..2"]),
    ],
)
def test_counted(words: list[str], meant: list[str]) -> None:
    assert counted(words) == meant


def test_counting_down() -> None:
    with pytest.raises(InvsetError, match=r"type neuron=2\.\.5"):
        counted(["neuron=5..2"])
