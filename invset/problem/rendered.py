"""What a network sees of codes: G(c), cut off and rounded as a file would hold it, or not."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invset.errors import InvsetError
from invset.files.medium import Medium
from invset.nets.generator import Generator


@dataclass(frozen=True)
class Rendered:
    """Inputs of codes.

    Attributes:
        generator: G.
        medium: what it makes.
        eight_bit: whether inputs are rounded, 8 bits for pictures.
        clamp: whether they are cut off at their bounds, with a gradient of zero outside of them.

    Raises:
        InvsetError: rounded inputs that are not cut off: no file holds them.
    """

    generator: Generator
    medium: Medium
    eight_bit: bool = True
    clamp: bool = True

    def __post_init__(self) -> None:
        if self.eight_bit and not self.clamp:
            raise InvsetError(
                "clamp=false shows the network values that no file of 8 bits holds; type"
                " eight_bit=false, too"
            )

    def unrounded(self, codes: Tensor) -> Tensor:
        """Inputs with all their digits, with shape (B, …)."""
        return self.generator(codes) if self.clamp else self.generator.unclamped(codes)

    def __call__(self, codes: Tensor) -> Tensor:
        """Inputs as the network sees them in a step, with shape (B, …)."""
        # not in bfloat16: its steps are as wide as those of 8 bits
        x = self.unrounded(codes)
        return self.medium.round(x) if self.eight_bit else x
