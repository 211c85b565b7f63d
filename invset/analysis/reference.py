"""What real images do to the same neurons: the figures that every inverse set is read beside.

A reference holds, for some thousands of real images, their encodings (in the principal components
that keep nearly all the variance: distances need no more), the activations of chosen layers, and
quantiles of the activations of every layer. It is made by ``invset fit reference`` and comes with
the embedded pair.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invset.analysis.judged import Judged
from invset.analysis.neighbours import nearest_neighbours
from invset.core.components import principal_components
from invset.core.ranges import ActivationRange
from invset.core.values import ByValue
from invset.errors import InvsetError
from invset.files.reading import reading
from invset.files.tensors import read_tensors, write_tensors

#: Fewer real images in a range than this say little about their diversity: the images nearest to
#: the range are taken.
ENOUGH = 50

#: Images that are taken then, at most: those farther from the range would say nothing about it.
NEAREST = 100

#: Levels of the stored quantiles.
LEVELS = torch.linspace(0, 1, 51)


@dataclass(frozen=True)
class Comparison:
    """Real images beside which a set of samples is read.

    Attributes:
        in_range: how many of the reference's images lie in the ranges.
        images: how many of the reference's images there are.
        kind: "in range", or "nearest to the range" where fewer than `ENOUGH` are.
        encodings: of as many of them as there are samples (or all, if fewer), with shape (M, k).
        threshold: half the median nearest-neighbour distance: samples farther apart than that are
            distinct.
        judged: what a judge sees in the same images; None where that is not stored.
    """

    in_range: int
    images: int
    kind: str
    encodings: Tensor
    threshold: float
    judged: Judged | None = None


@dataclass(frozen=True, eq=False)
class Reference(ByValue):
    """Encodings and activations of N real images.

    Attributes:
        encodings: with shape (N, k).
        activations: layer -> with shape (N, units); convolutional layers at the centre.
        quantiles: layer -> activations at `LEVELS`, with shape (51, units).
        about: network, encoder, data, and of which views `views` are.
        views: layer -> activations of robust neurons, the mean over fixed views, with shape (N,
            units); empty where none were measured.
        whole: layer -> activations in the whole of each image, where `activations` are others.
        judged: what another network, the judge, sees in the images; None where none looked.
        basis: orthonormal directions of `encodings` in E as columns, with shape (d, k); None in
            files of earlier versions.
        inputs: the images in stored form, where they are small; else None.
    """

    encodings: Tensor
    activations: dict[str, Tensor]
    quantiles: dict[str, Tensor]
    about: dict[str, Any]
    judged: Judged | None = None
    views: dict[str, Tensor] = field(default_factory=dict)
    whole: dict[str, Tensor] = field(default_factory=dict)
    basis: Tensor | None = None
    inputs: Tensor | None = None

    def in_views(self, robust: dict[str, Any]) -> Reference:
        """The same images for robust neurons, whose activations are those in views.

        Args:
            robust: the views, as ``about["robust"]`` says of which they are. Where they are others,
                no layer is known.
        """
        views = self.views if self.about.get("robust") == robust else {}
        return replace(
            self,
            activations=views,
            quantiles={layer: _quantiles(f) for layer, f in views.items()},
            views=views,
            whole=self.activations,
        )

    @classmethod
    def fit(
        cls,
        encodings: Tensor,
        activations: dict[str, Tensor],
        keep: list[str],
        variance: float,
        about: dict[str, Any],
        views: dict[str, Tensor] | None = None,
        inputs: Tensor | None = None,
    ) -> Reference:
        """Summarise real images.

        Args:
            encodings: with shape (N, d).
            activations: layer -> with shape (N, units).
            keep: layers whose activations are stored image by image; of the others only quantiles
                are.
            variance: share of the encodings' variance to keep.
            about, views, inputs: see `Reference`.
        """
        if len(encodings) < 2 or not (encodings != encodings[0]).any():
            raise InvsetError(
                f"a reference needs encodings that differ, not {len(encodings)} equal ones; give"
                " more pictures"
            )
        basis = principal_components(encodings, variance, torch.float32).directions
        quantiles = {layer: _quantiles(f) for layer, f in activations.items()}
        kept = {layer: activations[layer] for layer in keep}
        rotated = encodings @ basis
        held = cls(rotated, kept, quantiles, about, basis=basis, inputs=inputs)
        return replace(held, views=views or {})

    @classmethod
    def load(cls, path: str | Path) -> Reference:
        """Read a file written by `save`.

        Raises:
            InvsetError: no such file, or not a reference.
        """
        stored, about = read_tensors(path, "reference", "reference=null")
        if "reference" not in about:
            raise InvsetError(
                f"{path} is not a reference: it holds {sorted(stored)[:5]}; make one with: invset"
                " fit reference"
            )
        with reading(path, "a reference", "make it anew with: invset fit reference"):
            return cls._unpacked(stored, json.loads(about["reference"]))

    @classmethod
    def _unpacked(cls, stored: dict[str, Tensor], held: dict[str, Any]) -> Reference:
        """The inverse of what `save` packs."""
        inputs = stored.pop("inputs", None)
        tensors = {name: tensor.float() for name, tensor in stored.items()}
        kinds = ("activations", "quantiles", "views", "judge")
        parts: dict[str, dict[str, Tensor]] = {kind: {} for kind in kinds}
        for name, tensor in tensors.items():
            kind, _, layer = name.partition("/")
            if layer:
                parts[kind][layer] = tensor
        judge = held.pop("judge", None)
        found = cls(
            tensors["encodings"] * tensors["scale"],
            parts["activations"],
            parts["quantiles"],
            held,
            None if judge is None else Judged.unpacked(parts["judge"], judge),
            parts["views"],
            basis=tensors.get("basis"),
            inputs=inputs,
        )
        found._check()
        return found

    def _check(self) -> None:
        """Raise `ValueError` for parts that do not belong together."""
        images = [self.encodings, *self.activations.values(), *self.views.values()]
        if self.judged is not None:
            images += [self.judged.features, self.judged.ranks]
        count = len(self.encodings)
        if any(f.ndim != 2 or len(f) != count for f in images) or (
            self.inputs is not None and len(self.inputs) != count
        ):
            raise ValueError("its parts are not of the same images")
        if self.basis is not None and self.basis.shape[1:] != self.encodings.shape[1:]:
            raise ValueError("its basis is of other directions")
        if any(f.ndim != 2 or len(f) != len(LEVELS) for f in self.quantiles.values()):
            raise ValueError(f"its quantiles are not of {len(LEVELS)} levels")

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: float16, the encodings in 8 bits with a scale for each
        direction (an error below 0.1 %).
        """
        scale = self.encodings.abs().amax(0).clamp_min(1e-12) / 127
        tensors: dict[str, Tensor] = {}
        for kind in ("activations", "quantiles", "views"):
            tensors |= {f"{kind}/{layer}": f for layer, f in getattr(self, kind).items()}
        small = {k: v.half() for k, v in tensors.items()}
        small |= {"encodings": (self.encodings / scale).round().to(torch.int8), "scale": scale}
        if self.basis is not None:
            small["basis"] = self.basis.half()
        if self.inputs is not None:
            small["inputs"] = self.inputs
        about = dict(self.about)
        if self.judged is not None:
            packed, about["judge"] = self.judged.packed()
            small |= {f"judge/{name}": tensor for name, tensor in packed.items()}
        write_tensors(path, small, {"reference": json.dumps(about)})

    def brought(self, e: Tensor) -> Tensor | None:
        """Encodings, with shape (n, d), in the principal components of `encodings`, with shape
        (n, k); None where the basis is not known, or is of another E.
        """
        if self.basis is None or len(self.basis) != e.shape[1]:
            return None
        return e.to(self.basis) @ self.basis

    def knows(self, layer: str) -> bool:
        """Whether the activations of `layer` are stored image by image."""
        return layer in self.activations

    def compare(
        self, neurons: list[tuple[str, int]], range_: ActivationRange, samples: int
    ) -> Comparison:
        """Real images in (or nearest to) the ranges.

        Args:
            neurons: (layer, index from 0) of each of the p neurons; each layer is one that `knows`.
            range_: the p ranges.
            samples: how many samples the real images are compared with.
        """
        inside, wanted = self._nearest(neurons, range_, samples)
        count = int(inside.sum())
        e = self.encodings[wanted]
        threshold = nearest_neighbours(e).median().item() / 2
        kind = "in range" if count >= min(ENOUGH, samples) else "nearest to the range"
        judged = None if self.judged is None else self.judged[wanted]
        return Comparison(count, len(inside), kind, e, threshold, judged)

    def nearest(
        self, neurons: list[tuple[str, int]], range_: ActivationRange, samples: int
    ) -> Tensor:
        """Row numbers of the images that `compare` takes."""
        return self._nearest(neurons, range_, samples)[1]

    def _nearest(
        self, neurons: list[tuple[str, int]], range_: ActivationRange, samples: int
    ) -> tuple[Tensor, Tensor]:
        """Which images lie in the ranges, and the rows of as many as there are samples."""
        f = torch.stack([self.activations[layer][:, index] for layer, index in neurons], dim=1)
        outside = (range_.violation(f) / range_.width).square().sum(1)
        inside = outside == 0
        enough = int(inside.sum()) >= min(ENOUGH, samples)
        wanted = (
            inside.nonzero().squeeze(1)
            if enough
            else outside.argsort(stable=True)[: min(samples, NEAREST)]
        )
        spread = torch.linspace(0, len(wanted) - 1, min(samples, len(wanted))).round().long()
        return inside, wanted[spread]

    def quantile(self, layer: str, index: int, level: float) -> float:
        """Activation that a share `level` of the real images stay below."""
        return self.quantiles[layer][round(level * (len(LEVELS) - 1)), index].item()


def _quantiles(f: Tensor) -> Tensor:
    """Activations, with shape (N, units), at `LEVELS`, with shape (51, units)."""
    return f.double().quantile(LEVELS.double(), dim=0).float()
