"""Published networks and generators: what can be told, and what is fetched, before torch is
imported.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from invset.config.validate import asked, check_given, ends
from invset.core.checks import goal_of
from invset.hub.obtain import fetch
from invset.nets.labels import find_neuron, labels
from invset.nets.lite_weights import published as installed

#: Where `_target_` finds them.
_MODULE = "invset.nets.caffe.load."
_LITE = "invset.nets.efficientnet_lite.efficientnet_lite"


def prepare(cfg: DictConfig, ranged: bool = True) -> None:
    """Fetch all weights that a command needs and that aren't in the cache; before that, check what
    a person typed.

    A download of 244 MB should not end with a mistyped name, and one message is better than one for
    the network and, when that is there, another one for the generator.

    Args:
        cfg: ``configs/run.yaml`` or ``configs/probe.yaml``.
        ranged: whether neurons need ranges.

    Raises:
        InvsetError: a neuron or a range that the network hasn't, or weights that can't be had.
    """
    # name -> the option that takes a file of the user's own
    wanted: dict[str, str] = {}
    for part in ("network", "generator", "encoder_network", "judge"):
        # only `invset run` has a judge, and one that is resumed may be older than the option
        given = cfg.get(part)
        if is_published(given):
            wanted.setdefault(given.name, f"{part}.weights")
        if (
            isinstance(given, DictConfig)
            and given.get("_target_") == _LITE
            and given.weights == "DEFAULT"
        ):
            installed(given.name)
    if not wanted:
        return
    for one in asked(cfg, ranged):
        _check_neuron(one, cfg.network, goal_of(cfg.get("sampler")) if ranged else None)
    fetch(wanted, wanted)


def is_published(part: Any) -> bool:
    """Whether a configuration names a published network or generator, without a file of the user's
    own.
    """
    return (
        isinstance(part, DictConfig)
        and str(part.get("_target_")).startswith(_MODULE)
        and part.weights is None
    )


def _check_neuron(one: dict[str, Any], network: DictConfig, goal: str | None) -> None:
    named = (
        is_published(network)
        and isinstance(network.labels, str)
        and network.labels in ("imagenet", "places205")
    )
    names = labels(network.labels) if named else None
    check_given(one, names)
    if goal is not None:
        ends(one, goal)
    if names and one.get("layer") in (None, "fc8") and one.get("neuron") is not None:
        find_neuron(one["neuron"], len(names), names, f"fc8 of {network.name}")
