"""The trust region of TuRBO (Eriksson et al. 2019, Scalable Global Optimization via Local Bayesian
Optimization): a box about the best point whose side doubles after successes and halves after
failures.

Numbers are those of the paper's section 2 and of BoTorch's tutorial, which differ in the successes
before the side doubles; here they are the paper's three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

#: Sides, in the unit cube: at first, the least before a search ends, and the most.
FIRST = 0.8
SHORTEST = 0.5**7
LONGEST = 1.6

#: Batches with a success, in a row, after which the side doubles.
SUCCESSES = 3


@dataclass(frozen=True)
class TrustRegion:
    """The region after some batches.

    Attributes:
        side: of the box, in the unit cube, before it is stretched along each axis.
        successes: batches with a success in a row.
        failures: batches without one in a row.
    """

    side: float = FIRST
    successes: int = 0
    failures: int = 0

    def after(self, success: bool, dim: int, batch: int) -> TrustRegion:
        """The region after one more batch.

        Args:
            success: whether the batch was better than all before.
            dim: numbers in a point.
            batch: points in a batch; the side halves after max(4, dim) / batch failures, rounded
                up.
        """
        if success:
            grown = replace(self, successes=self.successes + 1, failures=0)
            if grown.successes < SUCCESSES:
                return grown
            return TrustRegion(min(2 * self.side, LONGEST))
        shrunk = replace(self, successes=0, failures=self.failures + 1)
        if shrunk.failures < math.ceil(max(4, dim) / batch):
            return shrunk
        return TrustRegion(self.side / 2)

    @property
    def ended(self) -> bool:
        """Whether the side has become too short to go on."""
        return self.side < SHORTEST

    def bounds(self, centre: Tensor, lengths: Tensor) -> Tensor:
        """The box in the unit cube, with shape (2, d).

        Args:
            centre: of the box, with shape (d,).
            lengths: length scales of the model, with shape (d,); the box is longer along axes with
                longer ones, and its volume stays side^d.
        """
        weights = lengths / lengths.log().mean().exp()
        half = weights * self.side / 2
        return (centre + half.new_tensor([[-1.0], [1.0]]) * half).clamp(0, 1)
