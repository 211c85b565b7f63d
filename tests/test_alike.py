"""A job of a sweep that is composed of the first one is what all option files would make it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from invset.config.alike import Alike
from invset.config.compose import Loader, loader

FIRST = ["network=mini", "neuron=ship", "z1=2", "z2=5", "seed=0", "K=4", "n=2"]
RANGES = ["network=mini", "layer=conv1", "neuron=1", "range=[3,4]", "sampler=two_stage"]


def swept(words: list[str], jobs: list[list[str]]) -> tuple[list[DictConfig], list[DictConfig]]:
    """Jobs composed one after the other, and each by a loader of its own."""
    one = loader()
    master = one.load_configuration("run", words, RunMode.MULTIRUN)
    quick = [one.load_sweep_config(master, job) for job in jobs]
    return quick, [loader().load_sweep_config(master, job) for job in jobs]


def held(cfg: DictConfig) -> Any:
    return OmegaConf.to_container(cfg, resolve=False)


@pytest.mark.parametrize(
    ("first", "others"),
    [
        (FIRST, ["neuron=7", "neuron=1_0", "neuron=null", "z1=-inf", "z2=1e3", "seed=1.0"]),
        (RANGES, ["range=[-1.5,inf]", "layer=1.10", "layer=relu#1", "neuron=é", "sampler=ppgn"]),
    ],
)
def test_the_quick_way_is_the_long_way(first: list[str], others: list[str]) -> None:
    jobs = [first]
    for word in others:
        key = word.partition("=")[0]
        jobs.append([word if one.startswith(f"{key}=") else one for one in first])
    quick, long = swept(first, jobs)
    for job, a, b in zip(jobs, quick, long, strict=True):
        assert held(a) == held(b), job
        assert a._get_flag("struct") == b._get_flag("struct")
        assert type(a.neuron) is type(b.neuron)


def test_most_jobs_are_not_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    original = Loader.load_configuration

    def counted(self: Loader, *words: Any, **options: Any) -> DictConfig:
        calls.append(words)
        return original(self, *words, **options)

    one = loader()
    master = one.load_configuration("run", FIRST, RunMode.MULTIRUN)
    monkeypatch.setattr(Loader, "load_configuration", counted)
    jobs = [[*FIRST[:1], f"neuron={i}", *FIRST[2:]] for i in range(5)]
    made = [one.load_sweep_config(master, job) for job in jobs]
    assert len(calls) == 1
    assert [cfg.neuron for cfg in made] == list(range(5))
    assert made[3].hydra.overrides.task[1] == "neuron=3"
    assert "neuron=3" in made[3].hydra.job.override_dirname
    made[1].neuron = 77  # a job may change what it gets
    again = one.load_sweep_config(master, jobs[1])
    assert again.neuron == 1
    # another group, and back
    one.load_sweep_config(master, ["network=mini64", *jobs[0][1:]])
    assert len(calls) == 2
    # a copy in another process begins anew
    there = pickle.loads(pickle.dumps(one))
    assert there.load_sweep_config(master, jobs[2]).neuron == 2


def test_a_word_that_cannot_be_read_is_told_as_ever() -> None:
    one = loader()
    master = one.load_configuration("run", FIRST, RunMode.MULTIRUN)
    one.load_sweep_config(master, FIRST)
    words = [word.replace("z1=2", "z1=[3") for word in FIRST]
    with pytest.raises(HydraException, match="no viable alternative"):
        one.load_sweep_config(master, words)


def test_form() -> None:
    composed: list[Any] = []

    def compose(words: Any) -> DictConfig:
        composed.append(list(words))
        return loader().load_configuration("run", list(words), RunMode.RUN)

    alike = Alike(compose)
    for words in (["network=mini", "n=3"], ["network=mini", "n=3"]):  # nothing plain
        alike(words)
    assert len(composed) == 2
