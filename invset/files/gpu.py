"""What a run says of its GPU: with another driver or cuDNN kernels may round otherwise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

#: Where Linux says which driver is loaded.
_DRIVER = Path("/proc/driver/nvidia/version")


def about_gpu(device: torch.device) -> dict[str, Any] | None:
    """Name, memory in bytes, compute capability and number of multiprocessors of a GPU, and the
    versions of driver, CUDA and cuDNN, None where unknown; None for other devices.
    """
    if device.type != "cuda":
        return None
    held = torch.cuda.get_device_properties(device)
    return {
        "name": held.name,
        "memory": held.total_memory,
        "capability": f"{held.major}.{held.minor}",
        "multiprocessors": held.multi_processor_count,
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _driver() -> str | None:
    # torch has no way to ask for it
    text = _DRIVER.read_text(encoding="utf-8") if _DRIVER.is_file() else ""
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return None if found is None else found[0]
