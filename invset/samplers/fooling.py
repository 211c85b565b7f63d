"""``sampler=fooling``: ascent of a class's probability in pixels until the network is sure (Nguyen,
Yosinski & Clune 2015, Deep neural networks are easily fooled; the authors' code,
Evolving-AI-Lab/fooling: caffe/ascent/find_fooling_image.py).

    x = m + N(0, 1) / 255                                    the start; m is the mean picture
    x <- P(m + (1 - decay) (x - m + r ∇p))                   p after the softmax
    r = min(max_rate, min(gain, share (1 - p)) / ‖∇p‖²)

r ∇p raises p by min(gain, share (1 - p)) to first order. The scale of pixels does not matter to
that, so that the rule is the authors' for pixels from 0 to 255. The mean picture is of one grey
here. There, the last picture is the result (``sampler.keep=last``). Codes that are no pixels start
at draws of the region, and m is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.options import option
from invset.core.probability import softmax
from invset.core.target import Seen, Target
from invset.errors import InvsetError
from invset.samplers.climbing import Climbers, Climbing


@dataclass(frozen=True)
class Fooling(Climbing):
    """Ascent of the probability from K starts at a time; descent with goal=min.

    Attributes:
        goal: "max" or "min" of the neuron's probability after a softmax over its layer.
        steps: of a picture.
        keep: of a start: the picture with the "best" activation; or the "last", as published, which
            a run that is cut short does not have.
        after_softmax: always true: it is the probability that is followed.
        mean: grey value of the mean picture, 0 to 1; null: 0.5.
        start_sd: standard deviation of the starts about it, pixels in [0, 1]; null: 1/255.
        gain: most that the probability is to rise in a step.
        share: the same, as a share of what it lacks of 1.
        max_rate: largest factor of the gradient.
        decay: share of its distance from the mean picture that a pixel loses in every step.
    """

    goal: str = option("max", words=("max", "min"))
    steps: int = option(300, at_least=1)
    after_softmax: bool = True
    mean: float | None = option(None, at_least=0, at_most=1)
    start_sd: float | None = option(None, at_least=0, below=math.inf)
    gain: float = option(0.03, above=0, at_most=1)
    share: float = option(0.1, above=0, at_most=1)
    max_rate: float = option(1e12, above=0)
    decay: float = option(0.01, at_least=0, below=1)

    holds_range: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.after_softmax:
            raise InvsetError(
                "sampler=fooling follows the probability; for the activation itself type"
                " sampler=gradient"
            )

    def check(self, target: Target) -> None:
        given = [name for name in ("mean", "start_sd") if getattr(self, name) is not None]
        if given and target.picture is None:
            raise InvsetError(
                f"sampler.{given[0]} is of pixels, and codes are none here; type generator=pixels"
                f" prior=clip, or leave sampler.{given[0]} out"
            )

    def start(self, target: Target, count: int, rng: torch.Generator) -> Tensor:
        u = target.space.sample(count, rng)
        if target.picture is None:
            return u
        sd = 1 / 255 if self.start_sd is None else self.start_sd
        drawn = torch.randn(u.shape, generator=rng, device=rng.device, dtype=u.dtype)
        return target.space.project(self._mean(target) + sd * send(drawn, u.device))

    def _mean(self, target: Target) -> float:
        if target.picture is None:
            return 0.0
        return 0.5 if self.mean is None else self.mean

    def moved(self, target: Target, state: Climbers, seen: Seen, slope: Tensor) -> Climbers:
        assert seen.units is not None
        assert target.layer is not None
        p = softmax(seen.units)[:, target.layer.unit].unsqueeze(1)
        lacks = 1 - p if self.goal == "max" else p
        wanted = (self.share * lacks).clamp_max(self.gain)
        # no slope: 0 / 0, or a rate that max_rate holds
        rate = (wanted / slope.square().sum(1, keepdim=True)).clamp_max(self.max_rate)
        m = self._mean(target)
        u = m + (1 - self.decay) * (state.u - m - rate.nan_to_num(nan=0.0) * slope)
        return replace(state, u=target.space.project(u))
