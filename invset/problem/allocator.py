"""Keep freed memory in the process: on CPUs up to a third of a step can go into page faults of
freshly mapped tensors.

glibc hands every block above 128 KiB back to the kernel when it is freed, so each temporary tensor
of each step is mapped, zeroed and faulted in again. Raising the two thresholds (``man 3 mallopt``)
makes the process reuse what it has.

The command ``invset`` does this as it starts. The library does not: the allocator belongs to the
program that imports it, which may call `keep_freed_memory` before its first tensor.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # from <malloc.h>


def keep_freed_memory() -> bool:
    """Raise glibc's trim and mmap thresholds; return False where there is no glibc (macOS, Windows,
    musl).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        and mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        and mallopt(_M_TOP_PAD, 1 << 26)
    )
