"""``sampler=activation_maximization``: gradient steps on pixels, with priors made by hand.

    h(x) + norm Σ |x - grey|^α + tv TV_β(x)          is made small, where h is the activation,
                                                     minus it, or its distance to the range
    x <- P(blur(grey + (1 - decay) (x - step - grey)))

- norm with α = 2: Simonyan, Vedaldi & Zisserman 2014, Deep inside convolutional networks;
- decay, blur, small_norm, small_effect: Yosinski et al. 2015, Understanding neural networks through
  deep visualization;
- norm with a larger α, total variation, jitter: Mahendran & Vedaldi 2015, Understanding deep image
  representations by inverting them;
- jitter, octaves, and steps of one mean absolute length: Mordvintsev, Olah & Tyka 2015,
  Inceptionism (google/deepdream);
- patch: after Wei et al. 2015, Understanding intra-class knowledge inside CNN;
- centre: Nguyen, Yosinski & Clune 2016, Multifaceted feature visualization. There steps are taken
  on crops near the centre; here the gradient is weighted by a Gaussian about it.

All of them combine. 0 leaves a prior out, and by default all are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from invset.core.options import option
from invset.core.picture_priors import (
    blurred,
    centre_window,
    coarse,
    drawn_shift,
    norm,
    patch_distance,
    patches,
    shifted,
    smallest,
    total_variation,
)
from invset.core.steps import Normalized, StepRule
from invset.core.target import Seen, Target
from invset.errors import InvsetError
from invset.samplers.climbing import Climbers, Climbing

#: Options that are priors of pictures.
PRIORS = (
    *("norm", "decay", "tv", "blur", "small_norm", "small_effect"),
    *("jitter", "octaves", "patch", "centre"),
)

#: Patches of real pictures that those of a picture are compared with.
PATCHES = 1000


@dataclass(frozen=True)
class ActivationMaximization(Climbing):
    """Gradient steps on pixels from K starts at a time.

    Attributes:
        norm: weight of the norm, activation units.
        norm_power: its exponent α.
        decay: share of its distance from grey that a pixel loses in every step.
        tv: weight of the total variation, activation units.
        tv_power: its exponent β.
        blur: standard deviation of the blur after a step, pixels.
        blur_every: steps between two blurs.
        small_norm: share of the pixels that become grey after a step: those with the smallest
            distance from grey over their channels.
        small_effect: share of the pixels that become grey after a step: those with the smallest
            effect on f, |Σ (x - grey) slope| over their channels.
        patch: weight of the distance of patches from those of real pictures, activation units.
        patch_size: side of a patch, pixels.
        octaves: number of sizes of the picture in which steps are taken, from small to full; 0 or
            1: in full size alone.
        octave_scale: ratio of two sizes.
        jitter: largest shift of the picture before a step, pixels; the step is shifted back.
        shown_every: with jitter, steps between two passes without a shift, which alone give samples
            of a range.
        centre: standard deviation of the window that weights the gradient, a share of the shorter
            side.
        grey: value of a pixel that the priors hold to be nothing.
        start_sd: standard deviation of the starts about grey; null: the region's own starts.
        step_rule: how a gradient becomes a step.
    """

    norm: float = option(0.0, at_least=0, below=math.inf)
    norm_power: float = option(2.0, above=1, below=math.inf)
    decay: float = option(0.0, at_least=0, at_most=1)
    tv: float = option(0.0, at_least=0, below=math.inf)
    tv_power: float = option(2.0, at_least=1, below=math.inf)
    blur: float = option(0.0, at_least=0, at_most=100)
    blur_every: int = option(1, at_least=1)
    small_norm: float = option(0.0, at_least=0, below=1)
    small_effect: float = option(0.0, at_least=0, below=1)
    patch: float = option(0.0, at_least=0, below=math.inf)
    patch_size: int = option(8, at_least=1)
    octaves: int = option(0, at_least=0)
    octave_scale: float = option(1.4, above=1, below=math.inf)
    jitter: int = option(0, at_least=0)
    shown_every: int = option(10, at_least=1)
    centre: float = option(0.0, at_least=0, below=math.inf)
    grey: float = option(0.5, at_least=0, at_most=1)
    start_sd: float | None = option(None, at_least=0, below=math.inf)
    step_rule: StepRule = field(default_factory=lambda: Normalized(0.02))

    def check(self, target: Target) -> None:
        super().check(target)
        asked = [name for name in PRIORS if getattr(self, name)]
        if self.start_sd is not None:
            asked.append("start_sd")
        if asked and target.picture is None:
            raise InvsetError(
                f"sampler.{asked[0]} is of pixels, and codes are none here; type generator=pixels"
                f" prior=clip, or leave sampler.{asked[0]} out"
            )

        size = target.picture
        if self.patch and size is not None and self.patch_size > min(size[1:]):
            raise InvsetError(
                f"sampler.patch_size={self.patch_size} is more than the side of a picture; type"
                f" sampler.patch_size={max(1, min(size[1:]) // 4)}"
            )

    @property
    def needs_real(self) -> bool:
        return self.patch > 0

    def start(self, target: Target, count: int, rng: torch.Generator) -> Tensor:
        u = target.space.sample(count, rng)
        if self.start_sd is None:
            return u
        drawn = torch.randn(u.shape, generator=rng, device=rng.device, dtype=u.dtype)
        return target.space.project(self.grey + self.start_sd * drawn.to(u, non_blocking=True))

    def shows(self, state: Climbers) -> bool:
        return self.jitter == 0 or self.passed(state) % self.shown_every == 0

    def slope(self, target: Target, state: Climbers, rng: torch.Generator) -> tuple[Seen, Tensor]:
        if target.picture is None:
            return super().slope(target, state, rng)
        size = target.picture
        shift = (0, 0) if self.shows(state) else drawn_shift(self.jitter, rng)
        back = (-shift[0], -shift[1])
        seen = self.look(target, shifted(state.u.unflatten(1, size), shift).flatten(1))
        x = shifted(seen.u.unflatten(1, size), back)
        found = target.pull(seen, (self.height(target, seen) + self._penalty(target, x)).sum())
        slope = shifted(found.unflatten(1, size), back)
        if self.octaves > 1:
            slope = coarse(slope, self._octave(state))
        if self.centre:
            slope = slope * centre_window(size[1], size[2], self.centre, slope)
        return seen.detached(), slope.flatten(1)

    def _octave(self, state: Climbers) -> float:
        """How much smaller the picture is that this pass steps in."""
        octave = min(self.passed(state) * self.octaves // self.steps, self.octaves - 1)
        return self.octave_scale ** (self.octaves - 1 - octave)

    def _penalty(self, target: Target, x: Tensor) -> Tensor:
        """The priors that are made small, of pictures with shape (K, channels, H, W)."""
        terms = x.new_zeros(len(x))
        if self.norm:
            terms = terms + self.norm * norm(x - self.grey, self.norm_power)
        if self.tv:
            terms = terms + self.tv * total_variation(x, self.tv_power)
        if self.patch:
            assert target.real is not None
            assert target.picture is not None
            known = patches(target.real.unflatten(1, target.picture), self.patch_size, PATCHES)
            terms = terms + self.patch * patch_distance(x, known.to(x), self.patch_size)
        return terms

    def moved(self, target: Target, state: Climbers, seen: Seen, slope: Tensor) -> Climbers:
        step, memory = self.step_rule(slope, state.memory)
        u = state.u - target.space.scale * step
        if self.decay:
            u = self.grey + (1 - self.decay) * (u - self.grey)
        if self.blur and (self.passed(state) + 1) % self.blur_every == 0:
            assert target.picture is not None
            u = blurred(u.unflatten(1, target.picture), self.blur).flatten(1)
        if self.small_norm or self.small_effect:
            assert target.picture is not None
            size = target.picture
            u = self._clipped(u.unflatten(1, size), slope.unflatten(1, size)).flatten(1)
        return replace(state, u=target.space.project(u), memory=memory)

    def _clipped(self, x: Tensor, slope: Tensor) -> Tensor:
        """Pictures without the pixels that matter least."""
        if self.small_norm:
            gone = smallest((x - self.grey).norm(dim=1, keepdim=True), self.small_norm)
            x = torch.where(gone, self.grey, x)
        if self.small_effect:
            effect = ((x - self.grey) * slope).sum(1, keepdim=True).abs()
            x = torch.where(smallest(effect, self.small_effect), self.grey, x)
        return x
