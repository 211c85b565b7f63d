"""Checks of ``configs/compare.yaml``, and what it asks for: neurons and samplers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from invset.config.cells import cells_of
from invset.config.compose import compose, own_dir
from invset.config.validate import check_components, several
from invset.core.checks import check_position, is_whole
from invset.errors import InvsetError, did_you_mean

#: What a budget may count, as `Limits` calls it.
BUDGETS = ("code_steps", "forwards", "seconds")


def check_compare(cfg: DictConfig) -> None:
    """Raise `InvsetError` for values that no comparison can have."""
    _listed(cfg, "use", "samplers", "'use=[stream,two_stage]'", lambda one: isinstance(one, str))
    whole = "whole numbers from 0, below 2^63"
    _listed(cfg, "seeds", whole, "'seeds=[0,1]'", lambda one: is_whole(one) and one < 2**63)
    cells_of(cfg)
    neurons_of(cfg)
    budget_of(cfg)
    if baseline_of(cfg) not in cfg.use:
        raise InvsetError(
            f"baseline={cfg.baseline} is not in use=.{did_you_mean(str(cfg.baseline), cfg.use)} It"
            f" has {', '.join(cfg.use)}"
        )
    _check_options(cfg)


def budget_of(cfg: DictConfig) -> dict[str, float]:
    """Limits of every run, by the names of `Limits`; none without a budget. Under a budget a
    sampler's own limit of code-steps is lifted.

    Raises:
        InvsetError: it is no budget.
    """
    if cfg.budget is None:
        return {}
    kind, _, amount = str(cfg.budget).partition(":")
    try:
        number = float(amount)
    except ValueError:
        number = math.nan
    if kind not in BUDGETS or not 0 < number < math.inf:
        raise InvsetError(
            f"budget= is a kind and a number above 0, such as budget=code_steps:5000, not"
            f" {cfg.budget}.{did_you_mean(kind, BUDGETS)} Kinds: {', '.join(BUDGETS)}"
        )
    return {"code_steps": math.inf, kind: number}


def baseline_of(cfg: DictConfig) -> str:
    """The sampler that others are set beside."""
    return str(cfg.use[0] if cfg.baseline is None else cfg.baseline)


def neurons_of(
    cfg: DictConfig,
) -> list[tuple[str | None, int | str, str | int | tuple[int, int]]]:
    """Layer (None: the network's output), number or name, and position, of each neuron."""
    names = ("layer", "neuron", "position")
    example = "'neurons=[{layer: fc8, neuron: [1,2]}, {layer: conv5, neuron: 20}]'"
    form = f"neurons= is a list of layers, each with one neuron or several: {example}"
    found = []
    for one in several(cfg, names, form):
        if "neuron" not in one:
            raise InvsetError(form)
        some = one["neuron"] if isinstance(one["neuron"], list) else [one["neuron"]]
        if not some or not all(isinstance(neuron, str) or is_whole(neuron) for neuron in some):
            raise InvsetError(f"{form}; a neuron is a number from 1 or a name, not {one['neuron']}")
        layer, position = one.get("layer"), check_position(one.get("position", "center"))
        found += [(None if layer is None else str(layer), neuron, position) for neuron in some]
    if not found:
        raise InvsetError(form)
    return found


def method_of(cfg: DictConfig, name: str, goal: str = "range") -> DictConfig | None:
    """``invset run sampler=NAME goal=GOAL`` as it would be, with what `cfg` says of n and of its
    options; None where the sampler has no such goal.
    """
    given = given_options(cfg, name)
    words = [f"sampler.{key}={_word(value)}" for key, value in given.items()]
    typed = [f"sampler={name}", f"n={cfg.n}", *words]
    method = compose("run", typed, more=own_dir())
    check_components(method)
    if method.sampler.get("goal", "range") == goal:
        return method
    if "goal" not in method.sampler:
        return None
    method = compose("run", [*typed, f"sampler.goal={goal}"], more=own_dir())
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
        if "goal" in options:
            raise InvsetError(
                f"options= gives {name} a goal, but all samplers have the same; type for example"
                " 'goals=[max]'"
            )
