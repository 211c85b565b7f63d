"""``sampler=gradient``: plain gradient steps, in the space that the generator's codes live in.

    c <- P(c - scale · rule(∇_c h(c)))

h is the activation to be made small, minus the one to be made large, or the distance to the range.
P is the projection onto the region of codes. With ``generator=pixels`` or ``generator=table`` these
are steps on the data, x <- x - η ∇E_φ(x); with a generator that was trained, steps on the latent
code, z <- z - η ∇_z E_φ(G(z)).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from invset.core.options import option
from invset.core.steps import Adam, StepRule
from invset.core.target import Seen, Target
from invset.samplers.climbing import Climbers, Climbing


@dataclass(frozen=True)
class PlainGradient(Climbing):
    """Gradient ascent or descent from K starts at a time.

    Attributes:
        steps: gradient steps of a code.
        step_rule: how a gradient becomes a step.
    """

    steps: int = option(1000, at_least=1)
    step_rule: StepRule = field(default_factory=lambda: Adam(0.05))

    def moved(self, target: Target, state: Climbers, seen: Seen, slope: Tensor) -> Climbers:
        step, memory = self.step_rule(slope, state.memory)
        u = target.space.project(state.u - target.space.scale * step)
        return replace(state, u=u, memory=memory)
