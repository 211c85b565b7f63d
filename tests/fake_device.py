"""A CUDA device for tests on machines without one: real numbers on the CPU, under CUDA's rules.

    with FakeCuda() as cuda:
        net = MiniNet().to("cuda")  # also cuda:1; `torch.cuda.is_available()` is true here
        f = net(x.to("cuda"))       # a mixed device, or a CPU generator in a draw there, raises
        f.sum().item()
    cuda.waits      # Counter: what made the host wait, and which line of invset did: "item a.py:3"
    cuda.to_host    # Counter: copies from the device, which wait, too
    cuda.from_host  # Counter: copies to the device, also those that don't wait
    cuda.kernels    # Counter: operators that compute on the device, by name
    cuda.clear()    # count anew
    on_host(value)  # plain copies of all tensors in it, to compare; counts nothing

What waits: a read (item, bool, tolist …), any copy to the host, a copy from the host that isn't
both pinned and non-blocking (also of indices from Python lists and of `torch.tensor(…, device=…)`),
masks as indices, nonzero and its kin, solvers that check their result. Autocast casts by CUDA's own
list of operators, which differs from the CPU's. A tensor's numbers are those that the CPU computes,
so a result equals the CPU's to the bit where the same operators were called.

It is no proof for CUDA: kernels are counted by operators, of which some are several; streams and
graphs are missing; TF32 changes nothing. Layouts are followed.

How it works: a tensor of the device is a wrapper whose device is "meta" for PyTorch's C++ and
"cuda" for Python, and which holds a tensor of the CPU; a dispatch mode unwraps and wraps.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from fake_autocast import KEYS, gather, register, words
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

#: GPUs of the machine.
GPUS = 2

#: Operators that read their result's size from the device, or check it.
READ = {
    "_local_scalar_dense": "item",
    "nonzero": "nonzero",
    "nonzero_static": "",
    "masked_select": "masked_select",
    "_unique2": "unique",
    "unique_dim": "unique",
    "unique_consecutive": "unique",
    "unique_dim_consecutive": "unique",
    "bincount": "bincount",
    "equal": "equal",
    "repeat_interleave": "repeat_interleave",
    "_linalg_check_errors": "solver that checks",
    "_linalg_eigh": "eigh",
    "linalg_eig": "eig",
    "_linalg_eigvals": "eig",
    "_linalg_svd": "svd",
    "linalg_lstsq": "lstsq",
}

#: Operators that compute nothing, beside views.
FREE = words(
    "empty empty_like empty_strided new_empty new_empty_strided _unsafe_view _reshape_alias"
    " lift_fresh is_pinned _local_scalar_dense"
)

#: Operators that don't take even a number of the CPU, with shape (), beside tensors of the device.
STRICT = words(
    "cat stack mm bmm addmm baddbmm convolution native_batch_norm gather scatter index_select"
    " index_copy index_copy_ index_add index_add_ take_along_dim"
)

INDEXING = words("index _unsafe_index index_put index_put_ _index_put_impl_")

#: Operators that change the shape of a tensor in place.
RESHAPING = words("resize_ squeeze_ unsqueeze_ transpose_ t_ as_strided_ set_")


class OnDevice(Tensor):
    """A tensor of the device; `held` has its numbers."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor, index: int) -> OnDevice:
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device("meta", index),
            _extra_dispatch_keys=KEYS,
        )
        self.held = held
        self.index = index
        return self

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _active().run(func, args, kwargs or {})

    device = property(lambda self: torch.device("cuda", self.index))
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: OnDevice) -> None:
        torch.Tensor.data.__set__(self, value)  # type: ignore[attr-defined]
        self.held = value.held
        self.index = value.index

    def get_device(self) -> int:
        return self.index

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """As ever; C++, which sees another device, would copy where nothing changes."""
        device, kind, more = _wanted(*args, **kwargs)
        if device is None or _same(device, self.device):
            kind = kind or self.dtype
            if not more and kind is self.dtype:
                return self
            return _MOVE(self, kind, **more)
        return _MOVE(self, device=device, dtype=kind or self.dtype, **more)

    def cpu(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.to("cpu", *args, **kwargs)

    def cuda(self, device: Any = "cuda", **kwargs: Any) -> Tensor:
        return self.to(device, **kwargs)

    def tolist(self) -> Any:
        _active().waited("tolist")
        return self.held.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self.numpy()

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_moved(index, self.device))

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(value, Tensor):  # a number stays on the CPU: a fill waits for nothing
            value = torch.tensor(value, dtype=self.dtype)
        super().__setitem__(_moved(index, self.device), value)

    def new_tensor(self, data: Any, dtype: Any = None, device: Any = None, **kw: Any) -> Tensor:
        return torch.tensor(data, dtype=dtype or self.dtype, device=device or self.device, **kw)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copy = self.detach().clone().requires_grad_(self.requires_grad)
            if getattr(self, "_is_param", False):
                copy._is_param = True  # type: ignore[attr-defined]
            memo[id(self)] = copy
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a tensor of the device in a file needs the device to be read again")

    def __repr__(self, **_: Any) -> str:
        return f"OnDevice({self.held}, index={self.index})"


def _wanted(
    *args: Any, copy: bool = False, **kwargs: Any
) -> tuple[torch.device | None, torch.dtype | None, dict[str, Any]]:
    """Device, type and the rest of what `Tensor.to` is asked for."""
    names = ["non_blocking", "copy"]
    device = kwargs.pop("device", None)
    kind = kwargs.pop("dtype", None)
    other = kwargs.pop("other", None)
    for value in args:
        if isinstance(value, Tensor):
            other = value
        elif isinstance(value, torch.dtype):
            kind = value
        elif isinstance(value, bool):
            kwargs[names.pop(0)] = value
        elif value is not None:
            device = value
    if other is not None:
        device, kind = other.device, other.dtype
    if copy or kwargs.pop("copy", False):
        kwargs["copy"] = True
    if kwargs.get("memory_format") is None:
        kwargs.pop("memory_format", None)
    if not kwargs.get("non_blocking"):
        kwargs.pop("non_blocking", None)
    return None if device is None else torch.device(device), kind, kwargs


def _same(a: torch.device, b: torch.device) -> bool:
    return a.type == b.type and (a.index or 0) == (b.index or 0)


def _moved(index: Any, device: torch.device) -> Any:
    """An index whose lists and arrays are on the device, as CUDA's indexing copies them there."""
    if isinstance(index, tuple):
        return tuple(_moved(one, device) for one in index)
    if isinstance(index, (list, np.ndarray)):
        return torch.as_tensor(np.asarray(index)).to(device)
    return index


def on_host(value: Any) -> Any:
    """Plain copies of all tensors in dictionaries, lists, tuples and dataclasses."""
    if isinstance(value, OnDevice):
        return value.held.clone()
    if isinstance(value, dict):
        return {key: on_host(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(on_host(one) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: on_host(getattr(value, f.name)) for f in fields(value) if f.init}
        return replace(value, **changed)
    return value


class FakeCuda(TorchDispatchMode):
    """The device, while it is entered; see the file's first lines.

    Attributes:
        waits, to_host, from_host: what the host waited for or copied, and where.
        kernels: operators on the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clear()
        self._pinned: dict[int, Tensor] = {}
        self._stack = ExitStack()

    def clear(self) -> None:
        self.waits: Counter[str] = Counter()
        self.to_host: Counter[str] = Counter()
        self.from_host: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()

    def __enter__(self) -> FakeCuda:
        register()
        for where, name, value in _patches(self):
            self._stack.enter_context(patch.object(where, name, value, create=True))
        _ACTIVE.append(self)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _ACTIVE.pop()
        self._pinned.clear()
        self._stack.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.run(func, args, kwargs or {})

    def waited(self, what: str) -> None:
        """Count a wait."""
        self.waits[f"{what} {_site()}"] += 1

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """An operator, as the device would take it."""
        name = func.overloadpacket.__name__
        if name in ("is_pinned", "_pin_memory"):
            return self._pinning(name, args[0])
        tensors: list[Tensor] = []
        gather((args, tuple(kwargs.values())), tensors)
        there = [x for x in tensors if isinstance(x, OnDevice)]
        device = kwargs.get("device")
        target = None if device is None else torch.device(device)
        if not there and (target is None or target.type == "cpu"):
            return self._on_cpu(func, args, kwargs)
        index = self._index(func, name, args, kwargs, tensors, there, target)
        if target is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        kwargs.pop("pin_memory", None)
        known = {id(x.held): x for x in there}
        found = func(*_held(args), **_held(kwargs))
        if name in RESHAPING:
            assert index is not None
            args[0].data = OnDevice(args[0].held, index)
        return found if index is None else _wrapped(found, known, index)

    def _on_cpu(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        pinned = kwargs.pop("pin_memory", False)
        found = func(*args, **kwargs)
        return self._pin(found) if pinned else found

    def _pinning(self, name: str, x: Tensor) -> Any:
        if name == "is_pinned":
            return x.device.type == "cpu" and x.untyped_storage().data_ptr() in self._pinned
        if isinstance(x, OnDevice):
            raise RuntimeError("cannot pin a tensor of the device: only CPU memory can be pinned")
        return self._pin(x.clone())

    def _pin(self, x: Tensor) -> Tensor:
        self._pinned[x.untyped_storage().data_ptr()] = x  # kept, so that no other memory is there
        return x

    def _index(
        self,
        func: Any,
        name: str,
        args: Any,
        kwargs: dict[str, Any],
        tensors: list[Tensor],
        there: list[OnDevice],
        target: torch.device | None,
    ) -> int | None:
        """Number of the device of the result, None for the CPU; raises or counts what it should."""
        if name in ("_to_copy", "copy_"):
            return self._copied(name, args, kwargs, target)
        if kwargs.get("generator") is not None:
            raise RuntimeError(f"Expected a 'cuda' generator but found 'cpu' in {name}, {_site()}")
        if name in INDEXING:
            self._indexed(name, args)
        else:
            strict = name in STRICT
            self._check_devices(
                name,
                there,
                [x for x in tensors if not isinstance(x, OnDevice) and (strict or x.ndim)],
            )
        if READ.get(name) and (name != "repeat_interleave" or "output_size" not in kwargs):
            self.waited(READ[name])
        if name not in FREE and not func.is_view:
            self.kernels[name] += 1
        if target is None:
            return there[0].index
        return None if target.type == "cpu" else _number(target)

    def _copied(
        self, name: str, args: Any, kwargs: dict[str, Any], target: torch.device | None
    ) -> int | None:
        """A copy: within the device it is a kernel, and else the host may wait for it."""
        onto = args[0].device if name == "copy_" else target or args[0].device
        source = args[1] if name == "copy_" else args[0]
        calm = kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2])
        if onto.type == "cpu":
            self.to_host[_site()] += 1
            self.waited("copy to the host")
            return None
        if isinstance(source, OnDevice):
            self.kernels[name] += 1
        else:
            self.from_host[_site()] += 1
            pinned = source.untyped_storage().data_ptr() in self._pinned
            if not (calm and pinned):
                self.waited("copy from the host")
        return _number(onto)

    def _indexed(self, name: str, args: Any) -> None:
        x, indices = args[0], [one for one in args[1] if one is not None]
        values = args[2:3] if "put" in name else ()
        if not isinstance(x, OnDevice):
            raise RuntimeError(
                f"indices should be either on cpu or on the same device as the indexed tensor"
                f" (cpu), {_site()}"
            )
        self._check_devices(
            name, [x], [v for v in values if not isinstance(v, OnDevice) and v.ndim]
        )
        for one in indices:
            if not isinstance(one, OnDevice):
                self.from_host[_site()] += 1
                self.waited("copy from the host")
            elif one.dtype in (torch.bool, torch.uint8) and not _fills(values):
                self.waited("mask as an index")

    def _check_devices(self, name: str, there: list[OnDevice], here: list[Tensor]) -> None:
        devices = {f"cuda:{x.index}" for x in there} | {"cpu" for x in here}
        if there and len(devices) > 1:
            shapes = [tuple(x.shape) for x in (*there, *here)]
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found {sorted(devices)} in"
                f" {name} of {shapes}, {_site()}"
            )


_MOVE = torch.Tensor.to
_ACTIVE: list[FakeCuda] = []


def _active() -> FakeCuda:
    """The device that is entered; after it, one that counts for nobody."""
    return _ACTIVE[-1] if _ACTIVE else FakeCuda()


def _fills(values: Any) -> bool:
    """Whether a masked assignment is a fill, for which no place is looked up."""
    return any(v.numel() == 1 and not isinstance(v, OnDevice) for v in values)


def _number(device: torch.device) -> int:
    index = device.index or 0
    if device.type not in ("cuda", "meta") or index >= GPUS:
        raise RuntimeError(f"invalid device ordinal: {device}")
    return index


def _held(value: Any) -> Any:
    if isinstance(value, OnDevice):
        return value.held
    if isinstance(value, (list, tuple)):
        return type(value)(_held(one) for one in value)
    if isinstance(value, dict):
        return {key: _held(one) for key, one in value.items()}
    return value


def _wrapped(value: Any, known: dict[int, OnDevice], index: int) -> Any:
    if isinstance(value, Tensor):
        return known[id(value)] if id(value) in known else OnDevice(value, index)
    if isinstance(value, (list, tuple)):
        return type(value)(_wrapped(one, known, index) for one in value)
    return value


def _site() -> str:
    """The innermost line of invset, or of a test, that is being run."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        inside = name.rpartition("/invset/")[2] if "/invset/" in name else ""
        if inside and "site-packages" not in name and name != __file__:
            return f"{inside}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "outside"


def _patches(cuda: FakeCuda) -> list[tuple[Any, str, Any]]:
    """What Python asks CUDA, answered as a machine with `GPUS` devices would."""
    tensor, as_tensor, enabled = torch.tensor, torch.as_tensor, torch.set_autocast_enabled
    optimizer = import_module("torch.optim.optimizer")
    types = optimizer._foreach_supported_types

    def placed(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def made(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
            if device is None and isinstance(data, OnDevice):
                return data.to(**kwargs)
            found = make(data, *args, **kwargs) if not isinstance(data, OnDevice) else data
            return found if device is None else found.to(device)

        return made

    def to(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        device, kind, more = _wanted(*args, **kwargs)
        if device is None or device.type != "cuda":
            return _MOVE(x, *args, **kwargs)
        # C++ would ask CUDA for its device
        there = torch.device("meta", _number(device))
        return _MOVE(x, device=there, dtype=kind or x.dtype, **more)

    def set_autocast(device: str, on: bool) -> None:
        enabled(device, on)
        if device == "cuda":
            enabled("privateuseone", on)

    state = torch.zeros(16, dtype=torch.uint8)
    answers: dict[str, Any] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: GPUS,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "synchronize": lambda device=None: cuda.waited("synchronize"),
        "is_bf16_supported": lambda *a, **k: True,
        "is_current_stream_capturing": lambda: False,
        "get_rng_state": lambda device="cuda": state.clone(),
        "set_rng_state": lambda new, device="cuda": None,
        "manual_seed_all": lambda seed: None,
        "get_device_name": lambda device=None: "Fake",
        "get_device_capability": lambda device=None: (9, 0),
        "mem_get_info": lambda device=None: (8 << 30, 16 << 30),
        "memory_reserved": lambda device=None: 0,
        "memory_allocated": lambda device=None: 0,
        "empty_cache": lambda: None,
    }
    return [
        (torch.Tensor, "to", to),
        (torch.Tensor, "cuda", lambda x, device="cuda", **kwargs: x.to(device, **kwargs)),
        (torch, "tensor", placed(tensor)),
        (torch, "as_tensor", placed(as_tensor)),
        (torch, "set_autocast_enabled", set_autocast),
        # as a plain tensor on CUDA, so that optimisers take the same way
        (optimizer.Optimizer, "_cuda_graph_capture_health_check", lambda self: None),
        (optimizer.Optimizer, "_accelerator_graph_capture_health_check", lambda self: None),
        (optimizer, "_foreach_supported_types", [*types, OnDevice]),
        *((torch.cuda, name, answer) for name, answer in answers.items()),
    ]
