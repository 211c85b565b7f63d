"""Memory that is free, in bytes."""

from __future__ import annotations

import os
from pathlib import Path

import torch

#: Files of a control group that limits memory: what it may take, what it takes, and the name of
#: what could be taken back at once, in ``memory.stat``; of version 2 and of version 1.
_GROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device; None where nobody knows.

    On CUDA what PyTorch holds and does not use counts as free. On a CPU it is what the kernel could
    give without swapping, or what the control group of a container has left, if that is less.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    known = [_available(Path("/proc/meminfo")), *_left_in_groups()]
    return min((one for one in known if one is not None), default=_physical())


def _available(meminfo: Path) -> int | None:
    """``MemAvailable`` of Linux."""
    if not meminfo.exists():
        return None
    lines = dict(
        line.split(":", 1)
        for line in meminfo.read_text(encoding="utf-8").splitlines()
        if ":" in line
    )
    kilobytes = lines.get("MemAvailable", "").split()
    return 1024 * int(kilobytes[0]) if kilobytes else None


def _left_in_groups() -> list[int | None]:
    root = Path("/sys/fs/cgroup")
    places = (root, root / "memory")
    return [_left(place, names) for place, names in zip(places, _GROUPS, strict=True)]


def _left(group: Path, names: tuple[str, str, str]) -> int | None:
    """What a control group has left; None where it is not limited, or says so in another way."""
    if not all((group / name).exists() for name in (*names[:2], "memory.stat")):
        return None
    limit = (group / names[0]).read_text(encoding="utf-8").strip()
    if not limit.isdigit():  # "max"
        return None
    stat = dict(
        line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines()
    )
    used = int((group / names[1]).read_text(encoding="utf-8")) - int(stat.get(names[2], 0))
    return max(0, int(limit) - used)


def _physical() -> int | None:
    """All memory of the machine, where the system does not say how much is free."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None
