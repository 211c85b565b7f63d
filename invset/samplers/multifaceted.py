"""``sampler=multifaceted``: activation maximisation from the mean of each group of real inputs,
after Nguyen, Yosinski & Clune 2016, Multifaceted feature visualization.

The real inputs that excite the neuron most are grouped: encodings, their principal components,
k-means. (The paper puts t-SNE, two numbers an input, between the last two; it is made to be looked
at and its distances mean little, so it is left out.) The mean of the inputs nearest to the centre
of a group is a start, a facet: the mean picture where pixels are sampled, else the mean code.

Steps are those of the authors' code (Evolving-AI-Lab/mfv, act_max.tvd.mean.py): of one mean
absolute length, each followed by total variation denoising, in four octaves. From the second on the
network sees a random crop, 1.2 times larger, which goes back into the picture; in the third a
margin of the crop stays as it is. Its weights of the denoising go from their start to their end
evenly, where brackets in the code let them begin and end elsewhere. With a range, pictures are seen
as a whole in steps of the first octave. Codes that are no pixels are not denoised or cropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from invset.core.ball import send
from invset.core.components import principal_components
from invset.core.denoise import denoised
from invset.core.goal import loss
from invset.core.kmeans import kmeans, spread_rows
from invset.core.options import option
from invset.core.target import Seen, Target
from invset.errors import InvsetError
from invset.samplers.base import Column
from invset.samplers.climbing import Climbers, Climbing

#: Steps of the authors' octaves together.
PUBLISHED = 370

#: Grey levels of a pixel, in which the authors' numbers are.
LEVELS = 255.0


@dataclass(frozen=True)
class Octave:
    """What steps do for a while.

    Attributes:
        until: the step that it ends before, of `PUBLISHED`.
        length: of a step as it begins and ends, in units of `lr`.
        weight: of the data in the denoising as it begins and ends, 1 / grey levels.
        zoom: whether the network sees a larger crop.
        window: standard deviation of the crop's place, a share of the room that there is.
        margin: whether a margin of it stays as it is.
    """

    until: int
    length: tuple[float, float]
    weight: tuple[float, float]
    zoom: bool
    window: float = 0.3
    margin: bool = False


OCTAVES = (
    Octave(190, (1.0, 2.0), (0.4, 0.4), False),
    Octave(340, (1.0, 1.0), (0.01, 2.0), True),
    Octave(360, (2.0, 2.0), (0.1, 2.0), True, window=0.2, margin=True),
    Octave(370, (2.0, 2.0), (0.4, 2.0), True),
)


@dataclass(frozen=True)
class Faceted(Climbers):
    """Where the codes are, and the facets.

    Attributes:
        facets: coordinates of the starts, with shape (F, dim).
    """

    facets: Tensor


@dataclass(frozen=True)
class Multifaceted(Climbing):
    """Gradient steps from facets of real inputs; start number i is facet i mod F, and `parent` of a
    sample is the number of its start.

    Attributes:
        steps: gradient steps of a code, over which the octaves are stretched.
        keep: of a start with goal=max or min: the picture with the "best" activation, of those seen
            as a whole, or the "last", as published.
        facets: groups of real inputs.
        top: real inputs that are grouped: those with the highest activation, or nearest to the
            range.
        components: principal components of their encodings that are compared.
        nearest: inputs about the centre of a group whose mean is a start.
        spread: standard deviation of the starts about their facets once every facet had one, in the
            region's unit of length.
        lr: mean absolute step at first, in pixels from 0 to 1 (1/255, as published), or in the
            region's unit of length.
        smoothing: strength of the denoising, in that of the source; 0: none.
        zoom: how much larger the crops are that the network sees from the second octave on.
        margin: of the crop that stays as it is in the third, a share of its side.
    """

    steps: int = option(PUBLISHED, at_least=4)
    keep: str = option("last", words=("best", "last"))
    facets: int = option(10, at_least=1)
    top: int = option(200, at_least=1)
    components: int = option(50, at_least=1)
    nearest: int = option(15, at_least=1)
    spread: float = option(0.3, at_least=0)
    lr: float = option(0.004, above=0)
    smoothing: float = option(1.0, at_least=0)
    zoom: float = option(1.2, at_least=1, at_most=10)
    margin: float = option(0.22, at_least=0, below=0.5)

    columns: ClassVar[tuple[Column, ...]] = (Column("move", "mean absolute move of a step"),)

    @property
    def needs_real(self) -> bool:
        return True

    def check(self, target: Target) -> None:
        super().check(target)
        if target.real is None or len(target.real) < max(2, self.facets):
            found = 0 if target.real is None else len(target.real)
            raise InvsetError(
                f"sampler=multifaceted groups real inputs into {self.facets} facets, and there are"
                f" {found}; type images=FOLDER with more, or a smaller sampler.facets"
            )

    def init(self, target: Target, rng: torch.Generator) -> Faceted:
        begun = super().init(target, rng)
        facets = self._facets(target, rng)
        u = self._starts(target, facets, begun.parent, rng)
        return Faceted(**{**vars(begun), "u": u}, facets=facets)

    def _starts(
        self, target: Target, facets: Tensor, number: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Coordinates of the starts with these numbers, with shape (K, dim)."""
        u = facets[number % len(facets)]
        noise = send(torch.randn(u.shape, generator=rng, device=rng.device), u.device)
        again = (number >= len(facets)).unsqueeze(1)
        return target.space.project(u + again * self.spread * target.space.scale * noise.to(u))

    def _facets(self, target: Target, rng: torch.Generator) -> Tensor:
        """Starts, with shape (F, dim), where F is at most `facets`."""
        assert target.real is not None
        parts = [target.look(u) for u in target.real.split(self.K)]
        f = torch.cat([part.f for part in parts])
        e = torch.cat([part.e for part in parts]).double()
        best = loss(self.goal, target.range, f).argsort(stable=True)
        best = best[: max(self.top, self.facets)]
        rows = target.real[best]
        found = principal_components(e[best])
        x = (e[best] - found.mean) @ found.directions[:, : self.components]
        group, centres = kmeans(x, spread_rows(x, self.facets, rng))
        return target.space.project(middles(rows, x, group, centres, self.nearest))

    def _restarted(
        self, target: Target, state: Climbers, ended: Tensor, rng: torch.Generator
    ) -> Climbers:
        after = super()._restarted(target, state, ended, rng)
        assert isinstance(state, Faceted)
        starts = self._starts(target, state.facets, after.parent, rng)
        return replace(after, u=torch.where(ended.unsqueeze(1), starts, state.u))

    def _octave(self, state: Climbers) -> tuple[Octave, float]:
        """The octave of a pass, and how far it is through it, in [0, 1)."""
        if self.goal == "range":
            return OCTAVES[0], 0.0
        number = self.passed(state) * PUBLISHED / self.steps
        begun = 0
        for octave in OCTAVES:
            if number < octave.until:
                return octave, (number - begun) / (octave.until - begun)
            begun = octave.until
        return OCTAVES[-1], 1.0

    def shows(self, state: Climbers) -> bool:
        return not self._octave(state)[0].zoom or self.zoom == 1

    def slope(self, target: Target, state: Climbers, rng: torch.Generator) -> tuple[Seen, Tensor]:
        """What a pass sees, and minus the move that follows from it."""
        octave, share = self._octave(state)
        length = self.lr * (octave.length[0] + share * (octave.length[1] - octave.length[0]))
        if target.picture is None:
            seen, found = super().slope(target, state, rng)
            return seen, length * target.space.scale * even(found)
        x = state.u.unflatten(1, target.picture)
        down, right = self._crop(x, octave, rng)
        crop = x[..., down, right]
        size = x.shape[2:]
        large = functional.interpolate(crop, size, mode="bilinear", align_corners=False)
        at = replace(state, u=large.flatten(1))
        seen, found = super().slope(target, at, rng)
        if octave.margin:
            found = (found.unflatten(1, target.picture) * self._mask(large)).flatten(1)
        weight = octave.weight[0] + share * (octave.weight[1] - octave.weight[0])
        after = (large - length * even(found).unflatten(1, target.picture)).clamp(0, 1)
        if self.smoothing:
            after = denoised(after, self.smoothing / (weight * LEVELS))
        move = functional.interpolate(large - after, crop.shape[2:], mode="area")
        whole = torch.zeros_like(x)
        whole[..., down, right] = move
        return seen, whole.flatten(1)

    def _crop(self, x: Tensor, octave: Octave, rng: torch.Generator) -> tuple[slice, slice]:
        """Rows and columns that the network sees."""
        places = torch.randn(2, generator=rng).tolist()
        zoom = self.zoom if octave.zoom and self.goal != "range" else 1.0
        found = []
        for side, place in zip(x.shape[2:], places, strict=True):
            room = side - max(1, round(side / zoom))
            begin = int(min(max(room / 2 + place * room * octave.window, 0), room))
            found.append(slice(begin, begin + side - room))
        return found[0], found[1]

    def _mask(self, x: Tensor) -> Tensor:
        """0 in the margin and 1 within, with shape (H, W)."""
        height, width = x.shape[2:]
        mask = x.new_zeros(height, width)
        rows, columns = (int(self.margin * side) for side in (height, width))
        mask[rows : height - rows, columns : width - columns] = 1
        return mask

    def moved(self, target: Target, state: Climbers, seen: Seen, slope: Tensor) -> Climbers:
        return replace(state, u=target.space.project(state.u - slope))


def even(slope: Tensor) -> Tensor:
    """Slopes, with shape (K, dim), of mean absolute value 1."""
    return slope / slope.abs().mean(1, keepdim=True).clamp_min(1e-30)


def middles(rows: Tensor, x: Tensor, group: Tensor, centres: Tensor, nearest: int) -> Tensor:
    """Of each group that has rows, the mean of those nearest to its centre, with shape (F, dim).

    Args:
        rows: what the mean is of, with shape (N, dim).
        x: where they are compared, with shape (N, d).
        group: of each, with shape (N,).
        centres: of the groups, in x, with shape (count, d).
        nearest: rows of a mean, at most.
    """
    found = []
    for number, centre in enumerate(centres):
        mine = (group == number).nonzero().squeeze(1)
        order = (x[mine] - centre).square().sum(1).argsort(stable=True)[:nearest]
        if len(mine):
            found.append(rows[mine[order]].mean(0))
    return torch.stack(found)
