"""Real inputs for commands, read and looked at with a bar that shows how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from invset.analysis.judged import Judged
from invset.config.judging import Judging
from invset.core.space import Region
from invset.files.image8bit import Image8Bit, of_size
from invset.files.images import ImageSet, load_images
from invset.files.medium import Medium
from invset.nets.network import Network
from invset.problem.encode import activations
from invset.problem.perturbing import Perturbed, Perturbing
from invset.problem.problem import Problem
from invset.progress import bar

#: Pixels of pictures that are encoded in one pass, and inputs: memory is for their codes.
_PIXELS = 1 << 19
_MOST = 100


def read_pictures(
    path: str | Path, size: int | None = None, limit: int | None = None, channels: int = 3
) -> ImageSet:
    """`load_images` with a bar."""
    with bar(f"reading {Path(path).name}", "image") as progress:
        return load_images(path, size, limit, progress, channels)


def read_inputs(medium: Medium, path: str | Path, limit: int | None = None) -> Tensor:
    """`Medium.load` with a bar: inputs in stored form."""
    with bar(f"reading {Path(path).name}", medium.noun) as progress:
        return medium.load(path, limit, progress)


def real_inputs(problem: Problem, path: str | None, limit: int | None) -> Tensor | None:
    """Real inputs of a person's own as the problem takes them, in stored form; None where no path
    was named.
    """
    if path is None:
        return None
    medium = problem.medium
    if medium.shape is None:  # as large as the generator's
        medium = of_size(medium, problem.input_shape[1:])
    return read_inputs(medium, path, limit)


def look_at(
    network: Network, inputs: Tensor, layers: Sequence[str], flatten: Sequence[str] = ()
) -> dict[str, Tensor]:
    """`activations` with a bar."""
    noun = network.medium.noun
    with bar(f"{network.name} looks at {noun}s", noun) as progress:
        return activations(network, inputs, layers, flatten, progress=progress)


def encoded(
    network: Network, medium: Medium, path: str | Path, limit: int | None, encoder: str
) -> Tensor:
    """Codes of real inputs, with shape (N, numbers): pictures are read and looked at some at a
    time, with a bar, so that memory holds the codes and few of the pictures.

    Args:
        network: that encodes.
        medium: of the inputs, with the size that they are brought to.
        path: what they lie in.
        limit: take at most this many, evenly spread; None takes all.
        encoder: the layer whose activations are the codes.
    """

    def codes_of(inputs: Tensor) -> Tensor:
        most = _PIXELS // max(1, inputs[0, 0].numel()) if inputs.ndim == 4 else _MOST
        batch = max(1, min(_MOST, most))
        return activations(network, inputs, [encoder], [encoder], batch)[encoder]

    if not isinstance(medium, Image8Bit):
        return codes_of(read_inputs(medium, path, limit))
    codes = torch.empty(0)
    done = 0
    with bar(f"{network.name} encodes {Path(path).name}", medium.noun) as progress:
        for total, some in medium.parts(path, limit, progress):
            found = codes_of(some)
            if not done:
                codes = found.new_empty(total, found.shape[1])
            codes[done:][: len(found)] = found
            done += len(found)
    return codes


def judged(judging: Judging, inputs: Tensor) -> Judged | None:
    """`Judging.look` with a bar."""
    if judging.network is None:
        return None
    with bar(f"{judging.network.name} looks at images", "image") as progress:
        return judging.look(inputs, progress)


def perturbed(
    perturbing: Perturbing, problem: Problem, region: Region, codes: Tensor
) -> Perturbed | None:
    """`Perturbing.look` with a bar."""
    if not perturbing.count or not len(codes):
        return perturbing.look(problem, region, codes)
    with bar("perturbing samples", "pass") as progress:
        progress(0, None)
        return perturbing.look(problem, region, codes, progress)
