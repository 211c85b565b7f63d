"""What a run says of its GPU: with another driver or cuDNN kernels may round otherwise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

#: Where Linux says which driver is loaded.
_DRIVER = Path("/proc/driver/nvidia/version")


def about_gpu(device: torch.device) -> dict[str, Any] | None:
    """Name, memory in bytes and compute capability of a GPU, and the versions of driver, CUDA and
    cuDNN, None where unknown; None for other devices.
    """
    if device.type != "cuda":
        return None
    return {
        "name": torch.cuda.get_device_name(device),
        "memory": torch.cuda.mem_get_info(device)[1],
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _driver() -> str | None:
    # torch has no way to ask for it
    text = _DRIVER.read_text(encoding="utf-8") if _DRIVER.is_file() else ""
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return None if found is None else found[0]
