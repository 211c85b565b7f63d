"""What the devices that PyTorch knows can do."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from invset.errors import InvsetError

#: Kinds beside the CPU, the most usual first.
KINDS = ("cuda", "xpu", "mps")


def is_here(kind: str) -> bool:
    """Whether there is a device of a kind."""
    if kind == "mps":
        return torch.backends.mps.is_available()
    return getattr(torch, kind).is_available()


def has_float64(device: torch.device) -> bool:
    """Whether a device computes in float64."""
    if device.type == "xpu":
        return torch.xpu.get_device_properties(device).has_fp64
    return device.type != "mps"


def check_float64(device: torch.device, hint: str) -> None:
    """Raise `InvsetError`, which ends in `hint`, for a device that can't sample: levels of
    `invset.core.levels` and moments of `invset.core.moments` are counted in float64.
    """
    if not has_float64(device):
        raise InvsetError(f"{device} has no float64, in which samplers count; {hint}")


def emulated_bf16(device: torch.device) -> str | None:
    """A sentence where bfloat16 is emulated, as on GPUs before Ampere; None elsewhere."""
    if device.type != "cuda" or torch.version.hip:
        return None
    if torch.cuda.get_device_capability(device) >= (8, 0):
        return None
    name = torch.cuda.get_device_name(device)
    return f"{name} has no bfloat16 of its own and emulates it; autocast=off is faster there."


def one_device(parts: Iterable[tuple[str, torch.device]]) -> None:
    """Raise `InvsetError` unless all parts, each a name and its device, are on one device."""
    # "cuda" is the current GPU, and an empty tensor knows which
    found = [(name, torch.empty(0, device=device).device) for name, device in parts]
    if len({device for _, device in found}) > 1:
        told = ", ".join(f"{name} is on {device}" for name, device in found)
        raise InvsetError(
            f"{told}; a pass goes through all of them, so give each the same device=, for example"
            f" device={str(found[0][1])!r}"
        )
