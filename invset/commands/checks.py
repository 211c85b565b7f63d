"""Checks of a run's configuration that need no torch."""

from __future__ import annotations

from omegaconf import DictConfig

from invset.checks import check_counts, check_range
from invset.errors import InvsetError


def check_config(cfg: DictConfig) -> None:
    """Raise `InvsetError` for numbers that no run can have."""
    for one in [cfg, *(cfg.neurons or [])]:
        if one.get("range") is not None and len(one.range) == 2 and not isinstance(one.range, str):
            check_range(*one.range)
        elif one.get("z1") is not None and one.get("z2") is not None:
            check_range(one.z1, one.z2)
    if isinstance(cfg.seed, bool) or not isinstance(cfg.seed, int) or cfg.seed < 0:
        raise InvsetError(f"seed must be a whole number of at least 0, not {cfg.seed}; for example seed=0")
    if cfg.prior not in ("natural", "clip", "none"):
        raise InvsetError(f"prior must be natural, clip or none, not {cfg.prior}")
    ladder = "ranges" in cfg.sampler
    check_counts(cfg.K, cfg.K if ladder else cfg.n, cfg.mu0, cfg.alpha)
