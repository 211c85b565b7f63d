"""Real pictures for commands, read and looked at with a bar that shows how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from invset.files.images import ImageSet, load_images
from invset.nets.network import Network
from invset.problem.encode import activations
from invset.progress import bar, quiet


def read_pictures(
    path: str | Path, size: int | None = None, limit: int | None = None, shown: bool = True
) -> ImageSet:
    """`load_images` with a bar, unless `shown` says otherwise."""
    if not shown:
        return load_images(path, size, limit, quiet)
    with bar(f"reading {Path(path).name}", "image") as progress:
        return load_images(path, size, limit, progress)


def look_at(
    network: Network, images: Tensor, layers: Sequence[str], flatten: Sequence[str] = ()
) -> dict[str, Tensor]:
    """`activations` with a bar."""
    with bar(f"{network.name} looks at pictures", "image") as progress:
        return activations(network, images, layers, flatten, progress=progress)
