"""GPUs are given to jobs that run side by side: each takes one that is free, by a lock, and lets go
of it at its end, however that comes.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

#: Seconds between two looks for a GPU that is free.
_PAUSE = 0.5


def _folder() -> Path:
    """Where the locks of this machine and user are."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"invset-gpus-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _names() -> list[str]:
    """What the GPUs that this process sees are called by all processes of the machine."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [
        str(getattr(torch.cuda.get_device_properties(i), "uuid", i))
        for i in range(torch.cuda.device_count())
    ]


@contextmanager
def gpu_slot(device: str, side_by_side: int) -> Iterator[int | None]:
    """Take a GPU for a job, and let CUDA's current device be it.

    Args:
        device: ``device=``: "auto" or "cuda"; others name the device, and take none here.
        side_by_side: jobs that may share a GPU.

    Yields:
        The GPU's number; None where there is none to take.
    """
    names = _names() if device in ("auto", "cuda") else []
    if not names:
        yield None
        return
    import torch

    lock, number = _free(names, side_by_side)
    try:
        with torch.cuda.device(number):
            yield number
    finally:
        lock.release()


def _free(names: list[str], side_by_side: int) -> tuple[FileLock, int]:
    """A lock that is held, and its GPU: of those that are free, one with the fewest jobs."""
    folder, told = _folder(), False
    while True:
        for place in range(side_by_side):
            for number, name in enumerate(names):
                # jobs side by side let go of it in another thread
                lock = FileLock(folder / f"{name}-{place}.lock", thread_local=False)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                return lock, number
        if not told:
            log.info("the job waits for a GPU that is free (gpu_jobs=)")
        told = True
        time.sleep(_PAUSE)
