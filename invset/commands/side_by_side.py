"""Jobs of a sweep side by side in one process (``together=``), so that their passes are shared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from invset.commands.gpu_slots import gpu_slot
from invset.commands.turns import Group, member
from invset.config.alike import PLAIN

log = logging.getLogger(__name__)

#: Options in which jobs that share passes may differ.
FREE = (*PLAIN, "position", "direction", "bias", "sae", "feature", "top_k", "neurons")

#: Hydra's own sweeper and launcher, which run one job after the other in this process.
_OWN = tuple(f"hydra._internal.core_plugins.basic_{kind}." for kind in ("sweeper", "launcher"))


class _Begun:
    """The group that has begun in this process, and sentences that were told."""

    def __init__(self) -> None:
        self.group: Group | None = None
        self.told: set[str] = set()


_begun = _Begun()


def take(cfg: DictConfig, work: Callable[[], float]) -> float:
    """Work on a job of a sweep, alone or together with those that follow.

    Args:
        cfg: of the job.
        work: the job; gives what the sweeper gets.

    Returns:
        What the sweeper gets; of a job among others, which goes on, 0.
    """
    size = cfg.get("together", 1)
    # what is no number is told with the other options
    if not isinstance(size, int) or size <= 1 or not _fits(cfg, size):
        finish()
        return work()
    key = _key(cfg)
    if _begun.group is not None and _begun.group.key != key:
        finish()
    group = _begun.group = _begun.group or Group(key)
    group.add(work)
    if len(group.members) >= size or group.interrupted:
        finish()
    return 0.0


def drain() -> None:
    """Let jobs that have begun come to an end."""
    if _begun.group is not None:
        _begun.group.drain()


def finish() -> None:
    """The same; raise what they raised."""
    drain()
    group, _begun.group = _begun.group, None
    if group is not None:
        group.check()


def _key(cfg: DictConfig) -> Any:
    held = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key not in FREE])
    return OmegaConf.to_container(held, resolve=False)


def _fits(cfg: DictConfig, size: int) -> bool:
    """Whether a job may be one among others; why not is told."""
    hydra = HydraConfig.get()
    kinds = [str(one.get("_target_", "")) for one in (hydra.sweeper, hydra.launcher)]
    why = None
    if not all(kind.startswith(_OWN) for kind in kinds):
        why = "jobs share passes with Hydra's basic sweeper and launcher alone"
    elif cfg.get("objective") is not None:
        why = "a sweeper that searches waits for each job (objective=)"
    elif hydra.job.chdir or hydra.job.env_set:
        why = "hydra.job.chdir and hydra.job.env_set belong to one job"
    if why is not None:
        alone(size, why)
    return why is None


def alone(size: int, why: str) -> None:
    """Say, once, why passes are not shared."""
    if why not in _begun.told:
        log.warning("together=%d shares no passes here: %s", size, why)
    _begun.told.add(why)


@contextmanager
def settled(device: str, side_by_side: int, runtime: Any) -> Iterator[None]:
    """Hold a GPU, and PyTorch's settings, for a job of a sweep; jobs side by side share both.

    Args:
        device: see `gpu_slot`.
        side_by_side: see `gpu_slot`.
        runtime: how codes are evaluated.
    """
    from invset.problem.repeatable import repeatable

    one = member()
    if one is None:
        with gpu_slot(device, side_by_side), repeatable(runtime):
            yield
        return
    import torch

    from invset.core.products import products

    group = one.group
    if not group.gpu:
        group.gpu.append(group.settings.enter_context(gpu_slot(device, side_by_side)))
        # contexts of jobs end in any order: with these around them none changes anything
        group.settings.enter_context(products("float32"))
        group.settings.enter_context(repeatable(runtime))
    number = group.gpu[0]
    # the current device is one of a thread
    with nullcontext() if number is None else torch.cuda.device(number):
        yield
