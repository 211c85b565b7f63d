"""``device=``: from what is typed to a device that is here."""

from __future__ import annotations

import logging

import torch

from invset.core.devices import KINDS, check_float64, emulated_bf16, has_float64, is_here
from invset.errors import InvsetError, did_you_mean

log = logging.getLogger(__name__)

#: What can be typed.
_WORDS = ("auto", "cpu", *KINDS)


def choose_device(name: str, float64: bool = False) -> torch.device:
    """The device of ``device=``.

    Args:
        name: "auto": CUDA, else XPU, else MPS, else the CPU; or a device.
        float64: leave out devices without float64.

    Raises:
        InvsetError: a device that is unknown, is not here, or lacks float64.
    """
    if name == "auto":
        return _automatic(float64)
    try:
        device = torch.device(str(name))
    except RuntimeError as error:
        raise _unknown(name) from error
    if device.type not in _WORDS:
        raise _unknown(name)
    _check_here(device)
    if float64:
        check_float64(device, "type device=cpu")
    return device


def training_device(name: str, autocast: str) -> torch.device:
    """The same for a training; says where its precision is emulated.

    Args:
        name: as it is typed.
        autocast: of the training's settings.
    """
    device = choose_device(name)
    emulated = emulated_bf16(device) if autocast == "bf16" else None
    if emulated is not None:
        log.warning("settings.autocast=bf16: %s", emulated)
    return device


def _automatic(float64: bool) -> torch.device:
    for device in (torch.device(kind) for kind in KINDS if is_here(kind)):
        if not float64 or has_float64(device):
            return device
        log.warning(
            "device=auto leaves out %s, which has no float64, in which samplers count", device
        )
    return torch.device("cpu")


def _unknown(name: str) -> InvsetError:
    return InvsetError(
        f"device={name} is unknown.{did_you_mean(name, _WORDS)} Type device="
        f"{', '.join(_WORDS[:-1])} or {_WORDS[-1]}; cuda:1 is the second GPU"
    )


def _check_here(device: torch.device) -> None:
    kind = device.type
    if not is_here(kind):
        raise InvsetError(
            f"device={device} was asked for, but there is no {kind.upper()} device here; type"
            " device=cpu or device=auto"
        )
    count = getattr(torch, kind).device_count() if device.index else 1
    if (device.index or 0) >= count:
        last = f" to {kind}:{count - 1}" if count > 1 else ""
        raise InvsetError(
            f"device={device} was asked for, but here there is {kind}:0{last}; type device={kind}:0"
        )
