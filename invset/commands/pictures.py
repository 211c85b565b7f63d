"""Real inputs for commands, read and looked at with a bar that shows how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from invset.analysis.judged import Judged
from invset.config.judging import Judging
from invset.files.images import ImageSet, load_images
from invset.files.medium import Medium
from invset.nets.network import Network
from invset.problem.encode import activations
from invset.progress import bar, quiet


def read_pictures(
    path: str | Path, size: int | None = None, limit: int | None = None, channels: int = 3
) -> ImageSet:
    """`load_images` with a bar."""
    with bar(f"reading {Path(path).name}", "image") as progress:
        return load_images(path, size, limit, progress, channels)


def read_inputs(
    medium: Medium, path: str | Path, limit: int | None = None, shown: bool = True
) -> Tensor:
    """`Medium.load` with a bar, unless `shown` says otherwise: inputs in stored form."""
    if not shown:
        return medium.load(path, limit, quiet)
    with bar(f"reading {Path(path).name}", medium.noun) as progress:
        return medium.load(path, limit, progress)


def look_at(
    network: Network, inputs: Tensor, layers: Sequence[str], flatten: Sequence[str] = ()
) -> dict[str, Tensor]:
    """`activations` with a bar."""
    noun = network.medium.noun
    with bar(f"{network.name} looks at {noun}s", noun) as progress:
        return activations(network, inputs, layers, flatten, progress=progress)


def judged(judging: Judging, inputs: Tensor) -> Judged | None:
    """`Judging.look` with a bar."""
    if judging.network is None:
        return None
    with bar(f"{judging.network.name} looks at images", "image") as progress:
        return judging.look(inputs, progress)
