"""What the bytes of a run depend on beside its state: see `invset.files.surroundings`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from invset.config.foreign import foreign
from invset.config.identity import flat, named_files
from invset.config.kept_parts import fact
from invset.files.ledger import sha256_of
from invset.files.plan import FREE
from invset.files.rundir import AGAIN
from invset.files.surroundings import Surroundings, machine
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.nets.weights import checksum
from invset.problem.problem import Problem

#: Options that no sample depends on.
_OF_FILES = (*FREE, "report", "animation")

#: Those, and options that say how codes are evaluated, whose effects are kinds of their own.
_FREE = (*_OF_FILES, "device", "runtime")

#: Modules whose version is enough.
_VERSIONED = ("invset", "torch", "torchvision")


def check_asked(cfg: DictConfig, state: Path) -> None:
    """Raise `InvsetError` for a state that is damaged, or of another configuration: before anything
    is built of it.
    """
    asked = Surroundings({"options": _options(cfg)}, "options", _FREE)
    asked.read(state, AGAIN, (), "")


def surroundings(cfg: DictConfig, problem: Problem) -> Surroundings:
    """The configuration, the files that it names, weights, code that is not ours, and the machine.

    Args:
        cfg: ``configs/run.yaml``.
        problem: what was built of it.
    """
    options = _options(cfg)
    owners: dict[str, Network | Generator] = {
        "network": problem.network,
        "generator": problem.generator,
    }
    if problem.encoder_network is not problem.network:
        owners["encoder_network"] = problem.encoder_network
    modules = {name: one.module for name, one in owners.items()}
    parts = {
        "options": options,
        "runtime": {f"runtime.{key}": one for key, one in asdict(problem.runtime).items()},
        # weights are looked at as such
        "files": {
            name: sha256_of(path)
            for name, path in named_files(options)
            if not name.endswith("weights")
        },
        "weights": {
            name: fact([one], "checksum", partial(checksum, one.module))
            for name, one in owners.items()
        },
        "code": dict(_code(foreign(cfg), list(modules.values()))),
        **machine(problem.network.device),
    }
    return Surroundings(parts, "options", _FREE)


def _options(cfg: DictConfig) -> dict[str, Any]:
    return dict(flat(OmegaConf.to_container(cfg, resolve=True)))


def _code(named: list[str], modules: list[Any]) -> Iterator[tuple[str, str]]:
    """Checksums of the files of Python that a configuration names, and of the classes of modules;
    but for those whose version says what is in them.
    """
    kinds = {
        type(one).__module__
        for net in modules
        if isinstance(net, nn.Module)
        for one in net.modules()
    }
    for name in sorted(kinds | {target.rpartition(".")[0] for target in named}):
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] not in _VERSIONED and file and Path(file).is_file():
            yield Path(file).name, sha256_of(Path(file))
