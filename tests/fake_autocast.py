"""CUDA's autocast for the fake device (`fake_device.py`): its list of operators, not the CPU's.

Tensors of the device have a dispatch key that no device here has; its kernels cast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def words(text: str) -> set[str]:
    return set(text.split())


def gather(value: Any, into: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        into.append(value)
    elif isinstance(value, (list, tuple)):
        for one in value:
            gather(one, into)


#: Autocast's list on CUDA: what is computed in the lower precision; what in the widest type of its
#: inputs; all else that it knows in float32 (the instructions of aten/src/ATen/autocast_mode.h).
LOWER = words(
    "_convolution convolution conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d"
    " conv_transpose3d cudnn_convolution cudnn_convolution_transpose prelu linear matmul einsum"
    " addmm addmv addr mm mv addbmm baddbmm bmm chain_matmul linalg_vecdot linalg_multi_dot"
    " scaled_dot_product_attention _scaled_dot_product_flash_attention _thnn_fused_lstm_cell"
    " _thnn_fused_gru_cell lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell"
)
WIDEST = words(
    "addcdiv addcmul atan2 bilinear cross dot vdot grid_sampler index_put tensordot scatter_add"
)
OTHERWISE = {"binary_cross_entropy", "_cudnn_rnn"}

#: The key that tensors of the device have.
KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

_LIBRARIES: list[torch.library.Library] = []


def register() -> None:
    """Autocast of the fake device by CUDA's list: the kernels of a key that no device here has."""
    if _LIBRARIES:
        return
    names = torch._C._dispatch_get_registrations_for_dispatch_key("AutocastCUDA")
    aten = torch.library.Library("aten", "IMPL")
    rest = torch.library.Library("_", "IMPL")
    rest.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for full in names:
        space, _, name = full.partition("::")
        packet, _, overload = name.partition(".")
        if space != "aten" or packet in OTHERWISE:
            continue
        op = getattr(getattr(torch.ops.aten, packet), overload or "default")
        aten.impl(name, _cast_before(op, packet), "AutocastPrivateUse1")
    _LIBRARIES.extend((aten, rest))


def _cast_before(op: Any, packet: str) -> Callable[..., Any]:
    def kernel(*args: Any, **kwargs: Any) -> Any:
        tensors: list[Tensor] = []
        gather((args, tuple(kwargs.values())), tensors)
        low = packet in LOWER
        if packet in WIDEST:
            low = not any(x.dtype is torch.float32 for x in tensors)
        wide = torch.get_autocast_dtype("cuda") if low else torch.float32
        with torch._C._ExcludeDispatchKeyGuard(KEYS):
            return op(*_cast(args, wide), **_cast(kwargs, wide))

    return kernel


def _cast(value: Any, kind: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        floating = (
            value.is_cuda and value.dtype.is_floating_point and value.dtype is not torch.float64
        )
        return value.to(kind) if floating else value
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(one, kind) for one in value)
    if isinstance(value, dict):
        return {key: _cast(one, kind) for key, one in value.items()}
    return value
