"""What a `Problem` is given, checked before anything is made of it."""

from __future__ import annotations

from typing import Any

from invset.core.checks import check_kind
from invset.core.devices import check_float64, one_device
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.problem.robust import Robust
from invset.problem.runtime import Runtime

#: Argument -> its classes, and what may be given, in words.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "network": ((Network,), "a Network(module)"),
    "generator": ((Generator,), "a Generator(module, code_dim)"),
    "encoder_network": ((Network, type(None)), "a Network, or None"),
    "encoder": ((str, type(None)), "the name of a layer, or None"),
    "runtime": ((Runtime, type(None)), "Runtime(…), or None"),
    "robust": ((Robust, type(None)), "Robust(M=8), or None"),
}


def check_parts(*given: Any) -> None:
    """Raise `InvsetError` for an argument of `Problem` of another kind, for networks on several
    devices, and for a device that can't sample.

    Args:
        given: in the order of the kinds above.
    """
    parts = dict(zip(_KINDS, given, strict=True))
    for name, (kinds, allowed) in _KINDS.items():
        check_kind(name, parts[name], kinds, allowed)
    networks = [parts[name] for name in ("network", "generator", "encoder_network")]
    one_device([(one.name, one.device) for one in networks if one is not None])
    check_float64(networks[0].device, "give the networks device='cpu'")
