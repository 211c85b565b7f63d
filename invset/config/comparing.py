"""Checks of ``configs/compare.yaml``, and what it asks for: neurons and samplers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from invset.config.compose import compose, own_dir
from invset.config.validate import check_components, several
from invset.core.checks import check_range, is_whole
from invset.errors import InvsetError, did_you_mean


def check_compare(cfg: DictConfig) -> None:
    """Raise `InvsetError` for values that no comparison can have."""
    _listed(cfg, "use", "samplers", "'use=[stream,two_stage]'", lambda one: isinstance(one, str))
    whole = "whole numbers from 0, below 2^63"
    _listed(cfg, "seeds", whole, "'seeds=[0,1]'", lambda one: is_whole(one) and one < 2**63)
    form = "fractions= holds ranges by name: 'fractions={low: [0.25, 0.4], top: [0.95, 1.1]}'"
    if not isinstance(cfg.fractions, DictConfig) or not len(cfg.fractions):
        raise InvsetError(f"{form}, not {cfg.fractions}")
    for name, pair in _plain(cfg.fractions).items():
        if not isinstance(pair, list) or len(pair) != 2:
            raise InvsetError(
                f"fractions.{name} must be two numbers, the lower first, not {pair}; for example"
                f" 'fractions.{name}=[0.25,0.4]'"
            )
        try:
            check_range(*pair)
        except InvsetError as error:
            raise InvsetError(f"fractions.{name} is no range: {error}") from error
    neurons_of(cfg)
    _check_options(cfg)


def neurons_of(cfg: DictConfig) -> list[tuple[str, int | str]]:
    """Layer, and number or name, of each neuron."""
    names = ("layer", "neuron")
    example = "'neurons=[{layer: fc8, neuron: [1,2]}, {layer: conv5, neuron: 20}]'"
    form = f"neurons= is a list of layers, each with one neuron or several: {example}"
    found = []
    for one in several(cfg, names, form):
        if set(one) != {*names} or one["layer"] is None:
            raise InvsetError(form)
        some = one["neuron"] if isinstance(one["neuron"], list) else [one["neuron"]]
        if not some or not all(isinstance(neuron, str) or is_whole(neuron) for neuron in some):
            raise InvsetError(f"{form}; a neuron is a number from 1 or a name, not {one['neuron']}")
        found += [(str(one["layer"]), neuron) for neuron in some]
    if not found:
        raise InvsetError(form)
    return found


def method_of(cfg: DictConfig, name: str) -> DictConfig:
    """``invset run sampler=NAME`` as it would be, with what `cfg` says of n and of its options."""
    given = given_options(cfg, name)
    words = [f"sampler.{key}={_word(value)}" for key, value in given.items()]
    method = compose("run", [f"sampler={name}", f"n={cfg.n}", *words], more=own_dir())
    check_components(method)
    return method


def given_options(cfg: DictConfig, name: str) -> dict[str, Any]:
    """What ``options=`` says of a sampler."""
    return _plain(cfg.options or {}).get(name, {})


def _listed(cfg: DictConfig, key: str, what: str, example: str, fits: Any) -> None:
    values = _plain(cfg[key])
    if not isinstance(values, list) or not values or not all(map(fits, values)):
        raise InvsetError(f"{key}= is a list of {what}: {example}, not {values}")


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _word(value: Any) -> str:
    """A value as it is typed behind ``=``."""
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_word(one)}' for key, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_word, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _check_options(cfg: DictConfig) -> None:
    """Raise `InvsetError` for options of a sampler that is not compared, or for no options."""
    if cfg.options is None:
        return
    form = "options= holds those of samplers: 'options={stream: {walk: 0.8}}'"
    if not isinstance(cfg.options, DictConfig):
        raise InvsetError(f"{form}, not {cfg.options}")
    for name, options in ((str(key), value) for key, value in cfg.options.items()):
        if name not in cfg.use:
            raise InvsetError(
                f"options= names {name}, which use= does not.{did_you_mean(name, cfg.use)} It"
                f" has {', '.join(cfg.use)}"
            )
        if not isinstance(options, DictConfig):
            raise InvsetError(f"{form}, not {{{name}: {options}}}")
        if "n" in options:
            raise InvsetError(
                f"options= gives {name} an n, but all samplers have the same; type n={options.n}"
            )
