"""How the networks are evaluated: precision, compilation, memory. Free of torch, so that a typing
mistake is told at once.

None of these options changes what counts as a sample: activations that decide membership are
measured in float32, whatever the steps were taken with (`invset.problem.passes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from invset.core.options import check_options, option
from invset.errors import InvsetError, did_you_mean

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Runtime:
    """Options of one evaluation of codes. The defaults are what is exact.

    Attributes:
        autocast: "off": float32; "bf16": bfloat16 inside the networks; "tf32": TensorFloat-32
            (CUDA). Steps are taken so; samples are measured again in float32.
        compile: let `torch.compile` fuse the networks; needs a C++ compiler, and some time at the
            start.
        cuda_graphs: experimental, its gain was not measured: record the kernels of a step once and
            replay them (CUDA), so that no launch waits for Python.
        micro_batch: codes that are evaluated at a time; their forward pass is repeated in each
            backward pass, so that memory is that of these alone. "auto": all, or as many as half of
            the free memory holds; None: all.
        channels_last: weights of convolutions, and with them all maps, as N, H, W, C in memory;
            "auto": where it was found to pay (`invset.problem.passes.layout_of`).
        deterministic: take only kernels that give the same bytes each time; they are slower on
            GPUs. false: on a GPU the last digits may differ from run to run.

    Raises:
        InvsetError: an unknown choice.
    """

    autocast: str = option("off", words=("off", "bf16", "tf32"))
    compile: bool = False
    cuda_graphs: bool = False
    micro_batch: int | str | None = option("auto", at_least=1, words=("auto",))
    channels_last: bool | str = option("auto", words=("auto", "true", "false"))
    deterministic: bool = False

    def __post_init__(self) -> None:
        if not self.autocast:  # YAML reads off as false
            object.__setattr__(self, "autocast", "off")
        check_options(self, "runtime")
        if self.cuda_graphs and (self.compile or self.micro_batch not in (None, "auto")):
            raise InvsetError(
                "runtime.cuda_graphs=true records a whole step; leave runtime.compile and"
                " runtime.micro_batch as they are"
            )

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> Runtime:
        """Options by name, as ``runtime:`` in ``configs/run.yaml`` has them; None: all as they are
        by default.

        Raises:
            InvsetError: an unknown name or choice.
        """
        if options is not None and not isinstance(options, Mapping):
            raise InvsetError(
                f"runtime holds several options, so runtime={options} can't be; type for example"
                " runtime.autocast=bf16"
            )
        names = [field.name for field in fields(cls)]
        given = {name: value for name, value in (options or {}).items() if name != "_target_"}
        for name in given:
            if name not in names:
                raise InvsetError(
                    f"there is no runtime.{name}.{did_you_mean(name, names)} There are"
                    f" {', '.join(names)}"
                )
        return cls(**given)

    @property
    def exact(self) -> bool:
        """Whether a pass that will be differentiated measures in float32 too."""
        return self.autocast == "off"

    @property
    def products(self) -> str:
        """How passes that will be differentiated take products of float32 numbers."""
        return "tf32" if self.autocast == "tf32" else "float32"

    def notes(self, device: torch.device) -> list[str]:
        """Sentences on options that a device has only in name, which a run tells."""
        from invset.core.devices import emulated_bf16

        emulated = emulated_bf16(device) if self.autocast == "bf16" else None
        return [] if emulated is None else [f"runtime.autocast=bf16: {emulated}"]

    def check_device(self, device: torch.device) -> None:
        """Raise `InvsetError` for options that need CUDA elsewhere."""
        if device.type == "cuda":
            return
        if self.autocast == "tf32":
            raise InvsetError(
                f"runtime.autocast=tf32 needs CUDA, not {device.type}; type runtime.autocast=bf16"
                " or off"
            )
        if self.cuda_graphs:
            raise InvsetError(
                f"runtime.cuda_graphs=true needs CUDA, not {device.type}; type"
                " runtime.cuda_graphs=false"
            )
