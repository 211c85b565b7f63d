"""Checks of a run's configuration that need no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from invset.core.checks import check_choice, check_counts, check_position, check_range
from invset.errors import InvsetError, did_you_mean
from invset.problem.runtime import Runtime


def check_config(cfg: DictConfig) -> None:
    """Raise `InvsetError` for values that no run can have."""
    ladder = "ranges" in cfg.sampler
    if ladder:
        _check_rungs(cfg.sampler)
    _check_problem(cfg, ranged=True)
    check_choice("constraint", cfg.constraint, ("both", "paper"))
    for key in ("animation", "progress"):
        if not isinstance(cfg[key], bool):
            raise InvsetError(
                f"{key} must be true or false, not {cfg[key]}; for example {key}=true"
            )
    if not _whole(cfg.inner_steps, 1):
        raise InvsetError(
            f"inner_steps must be a whole number of at least 1, not {cfg.inner_steps}; for example"
            " inner_steps=10"
        )
    if not _number(cfg.checkpoint_seconds) or cfg.checkpoint_seconds < 0:
        raise InvsetError(
            f"checkpoint_seconds must be a number of at least 0, not {cfg.checkpoint_seconds}; for"
            " example checkpoint_seconds=30"
        )
    Runtime.of(cfg.get("runtime"))
    check_counts(cfg.K, cfg.K if ladder else cfg.n, cfg.mu0, cfg.alpha)


def check_probe(cfg: DictConfig) -> None:
    """Raise `InvsetError` for values that no probe can have."""
    _check_problem(cfg, ranged=False)
    for key in ("codes", "starts", "steps", "limit"):
        if not _whole(cfg[key], 1):
            raise InvsetError(
                f"{key} must be a whole number of at least 1, not {cfg[key]}; for example {key}=32"
            )
    if not _number(cfg.length) or not 0 < cfg.length < math.inf:
        raise InvsetError(
            f"length must be a number above 0, not {cfg.length}; for example length=0.05"
        )


def asked(cfg: DictConfig, ranged: bool = True) -> list[dict[str, Any]]:
    """The neurons that were typed, one or several, each with the keys of one.

    Args:
        cfg: ``configs/run.yaml`` or ``configs/probe.yaml``.
        ranged: whether neurons have ranges; without, ``neuron=[horse,ship]`` is several, too.

    Raises:
        InvsetError: both kinds at once, no list, or a key that is unknown.
    """
    names = ("layer", "neuron", "position", "direction", *(("z1", "z2", "range") if ranged else ()))
    example = (
        "'neurons=[{neuron: horse, z1: 2, z2: 3}, {neuron: ship, z1: 2, z2: 3}]'"
        if ranged
        else "'neuron=[horse,ship]'"
    )
    if cfg.neurons is None:
        one = {name: cfg[name] for name in names}
        if ranged and isinstance(cfg.neuron, ListConfig):
            raise InvsetError(
                f"neuron= is one neuron here; for several at once type {example}, one after the"
                " other -m neuron=horse,ship"
            )
        if ranged or not isinstance(cfg.neuron, ListConfig):
            return [one]
        return [{**one, "neuron": neuron} for neuron in cfg.neuron]
    if cfg.neuron is not None:
        raise InvsetError("give neuron= for one neuron or neurons= for several, not both")
    return several(cfg, names, f"neurons= is a list: {example}")


def several(cfg: DictConfig, names: Sequence[str], form: str) -> list[dict[str, Any]]:
    """What ``neurons=`` lists.

    Args:
        cfg: a configuration with `neurons`.
        names: keys that one may have.
        form: says how such a list is typed.

    Raises:
        InvsetError: no list, or a key that is unknown.
    """
    listed = (
        OmegaConf.to_container(cfg.neurons, resolve=True)
        if OmegaConf.is_config(cfg.neurons)
        else cfg.neurons
    )
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise InvsetError(form)
    for one in listed:
        for key in one:
            if key not in names:
                raise InvsetError(
                    f"a neuron has no {key!r}.{did_you_mean(key, names)} It has {', '.join(names)}"
                )
    return listed


def _check_problem(cfg: DictConfig, ranged: bool) -> None:
    """What ``invset run`` and ``invset probe`` have alike."""
    for one in [cfg, *(asked(cfg, ranged) if cfg.neurons is not None else [])]:
        _check_neuron(one)
    if not _whole(cfg.seed, 0) or cfg.seed >= 2**63:
        raise InvsetError(
            f"seed must be a whole number of at least 0 and below 2^63, not {cfg.seed}; for example"
            " seed=0"
        )
    check_choice("prior", cfg.prior, ("auto", "natural", "clip", "none"))
    if not isinstance(cfg.eight_bit, bool):
        raise InvsetError(
            f"eight_bit must be true or false, not {cfg.eight_bit}; for example eight_bit=true"
        )
    if (
        cfg.clip is not None
        and not isinstance(cfg.clip, str)
        and (not _pair(cfg.clip) or not cfg.clip[0] < cfg.clip[1])
    ):
        raise InvsetError(
            f"clip must be two numbers, the lower first, or a file of bounds, not {cfg.clip}; for"
            " example 'clip=[0,30]'"
        )
    if cfg.clip is not None and cfg.prior in ("natural", "none"):
        raise InvsetError(
            f"clip={cfg.clip} is for prior=clip, but prior={cfg.prior} was given; leave one of"
            " them out"
        )
    if cfg.encoder_network is not None and not isinstance(cfg.encoder_network, DictConfig):
        name = cfg.encoder_network
        raise InvsetError(
            f"encoder_network holds what configs/network/{name}.yaml does; type"
            f" +network@encoder_network={name}"
        )


def fit_batch(cfg: DictConfig, typed: Sequence[str]) -> None:
    """Let K be n where n is less than the default of K: ``n=5`` alone should do. A K that was typed
    stays as it is.

    Args:
        cfg: ``configs/run.yaml``, changed in place.
        typed: the words behind the command.
    """
    if (
        not any(word.lstrip("+").startswith("K=") for word in typed)
        and "ranges" not in cfg.sampler
        and _whole(cfg.n, 1)
    ):
        cfg.K = min(cfg.K, cfg.n)


def check_sampler(sampler: Any) -> None:
    """Raise `InvsetError` for a number of the sampler's that is none, or negative."""
    for field in fields(sampler):
        value = getattr(sampler, field.name)
        if type(field.default) in (int, float) and not (_number(value) and value >= 0):
            raise InvsetError(
                f"sampler.{field.name} must be a number of at least 0, not {value}; for example"
                f" sampler.{field.name}={field.default:g}"
            )


def check_given(one: Any, labels: Sequence[str] | None) -> None:
    """Raise `InvsetError` if there is neither a neuron nor a direction.

    Args:
        one: ``configs/run.yaml``, or one of its ``neurons``.
        labels: what the output's neurons are called, or None.
    """
    if one.get("neuron") is None and one.get("direction") is None:
        names = ", ".join(
            label.split(",")[0] for label in (labels or [])[:10]
        )  # ImageNet's have synonyms
        known = f", or a name: {names}" if names else ""
        raise InvsetError(f"no neuron was given; type neuron= and a number from 1{known}")


def ends(one: Any) -> tuple[float, float]:
    """z1 and z2, given as two numbers or as one ``range=[z1,z2]``."""
    z1, z2, pair = one.get("z1"), one.get("z2"), one.get("range")
    if pair is not None:
        if z1 is not None or z2 is not None:
            raise InvsetError("give z1= and z2=, or range=[z1,z2], not both")
        if isinstance(pair, str) or len(pair) != 2:
            raise InvsetError(f"range must be two numbers, not {pair}; for example 'range=[3,4]'")
        z1, z2 = pair
    if z1 is None or z2 is None:
        raise InvsetError(
            "the range is missing; type for example z1=3 z2=4, or 'range=[3,4]'; invset probe shows"
            " which ranges there are"
        )
    return z1, z2


def _check_rungs(sampler: DictConfig) -> None:
    example = "type for example 'sampler.ranges=[[1,2],[3,4],[5,6]]'"
    if (
        OmegaConf.is_missing(sampler, "ranges")
        or not isinstance(sampler.ranges, ListConfig)
        or not len(sampler.ranges)
    ):
        raise InvsetError(f"a ladder needs ranges; {example}")
    for rung in sampler.ranges:
        if not isinstance(rung, ListConfig) or len(rung) != 2:
            raise InvsetError(f"each range of a ladder must be two numbers, not {rung}; {example}")
        check_range(*rung)


def _check_neuron(one: Any) -> None:
    if one.get("range") is not None:
        if not isinstance(one["range"], (list, ListConfig)) or len(one["range"]) != 2:
            raise InvsetError(
                f"range must be two numbers, not {one['range']}; for example 'range=[3,4]'"
            )
        check_range(*one["range"])
    elif one.get("z1") is not None and one.get("z2") is not None:
        check_range(one["z1"], one["z2"])
    if one.get("position") is not None:
        check_position(one["position"])


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _whole(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _pair(value: Any) -> bool:
    return isinstance(value, ListConfig) and len(value) == 2 and all(map(_number, value))
