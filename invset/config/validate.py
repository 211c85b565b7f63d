"""Checks of a run's configuration that need no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from invset.config.parts import components, options_of
from invset.core.checks import check_batch, check_position, check_range, is_number
from invset.core.options import Bounds, check_option
from invset.errors import InvsetError, did_you_mean

#: Options that say which neuron is meant.
PLACES = ("layer", "neuron", "direction", "bias", "sae", "feature", "top_k", "position")


def check_config(cfg: DictConfig) -> None:
    """Raise `InvsetError` for values that no run can have."""
    if "ranges" in cfg.sampler:
        _check_rungs(cfg.sampler)
    _check_problem(cfg, ranged=True)
    # a run that is resumed may be older than the option
    if not isinstance(cfg.get("limits"), (DictConfig, NoneType)):
        raise InvsetError(
            "limits has several options; type for example limits.seconds=60 or"
            " limits.code_steps=5000"
        )
    if "K" in cfg.sampler and "n" in cfg.sampler:
        check_batch(cfg.sampler.K, cfg.sampler.n)


def check_probe(cfg: DictConfig) -> None:
    """Raise `InvsetError` for values that no probe can have."""
    _check_problem(cfg, ranged=False)


def check_layers(cfg: DictConfig) -> None:
    """Raise `InvsetError` for lists of layers that are none."""
    for key in ("layers", "keep"):
        value = cfg.get(key)
        if value is not None and not (isinstance(value, ListConfig) and len(value)):
            raise InvsetError(
                f"{key} is a list of layers, not {value}; for example '{key}=[fc8,conv5]', or"
                f" {key}=null"
            )


def check_components(cfg: DictConfig, whole: bool = True) -> None:
    """Raise `InvsetError` for an option that a component has not, or for a value that it can't
    have: of every one whose class can be read (`invset.config.schema`).

    Args:
        cfg: a command's configuration.
        whole: whether every option needs a value; to list options, none does.
    """
    for path, part in components(cfg):
        options = options_of(part) or {}
        for key in map(str, part):
            if key.startswith("_") or (not whole and OmegaConf.is_missing(part, key)):
                continue
            if key not in options:
                hint = did_you_mean(key, options)
                raise InvsetError(f"there is no {path}{key}.{hint} There are {', '.join(options)}")
            options[key].check(f"{path}{key}", part[key])


def check_several(cfg: DictConfig, *keys: str) -> None:
    """Raise `InvsetError` where a word, a number or a list stands for several options.

    Args:
        cfg: a command's configuration.
        keys: of parts that hold options.
    """
    for key in keys:
        if not isinstance(cfg[key], DictConfig):
            raise InvsetError(
                f"{key} has several options, which {key}={cfg[key]} can't stand for; type each by"
                f" its name, {key}.NAME=VALUE"
            )


def check_own(cfg: DictConfig, options: type, before: str = "") -> None:
    """Raise `InvsetError` for values that a command's own options can't have.

    Args:
        cfg: the command's configuration, or a part of it.
        options: the dataclass that says what they are.
        before: what is typed before a part's options, for example ``data.``.
    """
    for one in fields(options):
        if one.name not in cfg:  # a run that is resumed may be older than the option
            continue
        key = f"{before}{one.name}"
        value = cfg[one.name]
        if is_dataclass(one.default_factory):
            if not isinstance(value, DictConfig):
                inner = fields(one.default_factory)[0].name
                raise InvsetError(f"{key} has several options; type for example {key}.{inner}=…")
            check_own(value, one.default_factory, f"{key}.")
        else:
            bounds = one.metadata.get("bounds", Bounds())
            check_option(key, value, str(one.type), bounds, one.default)


def asked(cfg: DictConfig, ranged: bool = True) -> list[dict[str, Any]]:
    """The neurons that were typed, one or several, each with the keys of one.

    Args:
        cfg: ``configs/run.yaml`` or ``configs/probe.yaml``.
        ranged: whether neurons have ranges; without, ``neuron=[horse,ship]`` is several, too.

    Raises:
        InvsetError: both kinds at once, no list, or a key that is unknown.
    """
    names = (*PLACES, *(("z1", "z2", "range") if ranged else ()))
    example = (
        "'neurons=[{neuron: horse, z1: 2, z2: 3}, {neuron: ship, z1: 2, z2: 3}]'"
        if ranged
        else "'neuron=[horse,ship]'"
    )
    if cfg.neurons is None:
        one = {name: cfg.get(name) for name in names}  # a run that is resumed may be older
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


def check_given(one: Any, labels: Sequence[str] | None) -> None:
    """Raise `InvsetError` if there is no neuron, direction or feature.

    Args:
        one: ``configs/run.yaml``, or one of its ``neurons``.
        labels: what the output's neurons are called, or None.
    """
    if all(one.get(key) is None for key in ("neuron", "direction", "sae", "feature")):
        names = ", ".join(
            label.split(",")[0] for label in (labels or [])[:10]
        )  # ImageNet's have synonyms
        known = f", or a name: {names}" if names else ""
        raise InvsetError(f"no neuron was given; type neuron= and a number from 1{known}")


def ends(one: Any, goal: str = "range") -> tuple[float, float]:
    """z1 and z2, given as two numbers or as one ``range=[z1,z2]``; with another goal there are
    none, and every activation lies between the two.

    Raises:
        InvsetError: none where a range is needed, one where the goal takes none, or no range.
    """
    z1 = one.get("z1")
    z2 = one.get("z2")
    pair = one.get("range")
    if goal != "range":
        given = [key for key in ("z1", "z2", "range") if one.get(key) is not None]
        if given:
            raise InvsetError(
                f"goal={goal} takes no range; leave {given[0]}= out, or type goal=range"
            )
        return -math.inf, math.inf
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
    if not isinstance(sampler.ranges, ListConfig) or not len(sampler.ranges):
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
    if one.get("sae") is not None and not Path(str(one["sae"])).expanduser().exists():
        raise InvsetError(
            f"there is no file or folder {one['sae']}; sae= names a sparse autoencoder's"
        )
    for key, least in (("feature", 0), ("top_k", 1)):
        value = one.get(key)
        if value is not None:
            check_option(key, value, "int", Bounds(at_least=least), None)


def _pair(value: Any) -> bool:
    return isinstance(value, ListConfig) and len(value) == 2 and all(map(is_number, value))
