"""What keeps pictures natural by hand, without a model of them: norms, smoothness, blur, shifts."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

#: The plastic number: its powers spread points evenly over a square.
PLASTIC = 1.324717957244746

#: Reach of a Gaussian, in standard deviations.
REACH = 4.0


def norm(x: Tensor, power: float) -> Tensor:
    """Σ |x|^α of each picture (Mahendran & Vedaldi 2015, eq. 4; α = 2: Simonyan et al. 2014).

    Args:
        x: pictures about grey, so that grey is 0, with shape (B, channels, H, W) or (B, dim).
        power: α.

    Returns:
        At least 0, with shape (B,).
    """
    return x.abs().pow(power).flatten(1).sum(1)


def total_variation(x: Tensor, power: float) -> Tensor:
    """Σ ((x_{i,j+1} - x_{ij})² + (x_{i+1,j} - x_{ij})²)^(β/2) of each picture (Mahendran & Vedaldi
    2015, eq. 5).

    Pixels of the last row and column have no neighbour and are left out.

    Args:
        x: pictures, with shape (B, channels, H, W).
        power: β; 1 is the total variation, 2 the squared differences.

    Returns:
        At least 0, with shape (B,).
    """
    across = x[..., :-1, 1:] - x[..., :-1, :-1]
    down = x[..., 1:, :-1] - x[..., :-1, :-1]
    square = across.square() + down.square()
    # the root has no slope at zero, where neighbours are equal
    return square.clamp_min(1e-12).pow(power / 2).flatten(1).sum(1)


def blurred(x: Tensor, sd: float) -> Tensor:
    """Pictures after a Gaussian filter; beyond an edge, its pixels go on.

    Args:
        x: pictures, with shape (B, channels, H, W).
        sd: standard deviation of the filter, pixels, above 0.
    """
    reach = int(REACH * sd + 0.5)
    place = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    weight = (-0.5 * (place / sd).square()).exp()
    weight = weight / weight.sum()
    channels = x.shape[1]
    each = weight.expand(channels, 1, 1, -1)
    wide = functional.pad(x, (reach, reach, reach, reach), mode="replicate")
    rows = functional.conv2d(wide, each, groups=channels)
    return functional.conv2d(rows, each.transpose(2, 3), groups=channels)


def smallest(value: Tensor, share: float) -> Tensor:
    """Which pixels have the smallest values of their picture, with the shape of `value`.

    Args:
        value: of each pixel, with shape (B, 1, H, W).
        share: of a picture's pixels, in [0, 1]; between two ranks the limit is interpolated, as
            NumPy's percentiles are.
    """
    limit = torch.quantile(value.flatten(1), share, dim=1)
    return value < limit.view(-1, 1, 1, 1)


def coarse(x: Tensor, scale: float) -> Tensor:
    """Pictures, with shape (B, channels, H, W), made smaller by a factor of at least 1 and as large
    as before again: what a step in a small picture does to the large one.
    """
    height, width = x.shape[2:]
    size = (max(1, round(height / scale)), max(1, round(width / scale)))
    if size == (height, width):
        return x
    small = functional.interpolate(x, size, mode="area")
    return functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)


def patches(x: Tensor, size: int, count: int) -> Tensor:
    """Patches of pictures, spread evenly over pictures and places, with shape (count, channels *
    size²).

    Args:
        x: pictures, with shape (N, channels, H, W).
        size: side of a patch, pixels.
        count: patches.
    """
    number = torch.arange(count, device=x.device)
    row = number * len(x) // count if count < len(x) else number % len(x)
    step = torch.arange(size, device=x.device)
    top, left = (
        (number.double() * PLASTIC**-power % 1 * (side - size + 1)).long()
        for power, side in zip((1, 2), x.shape[2:], strict=True)
    )
    down = (top[:, None] + step)[:, None, :, None]
    right = (left[:, None] + step)[:, None, None, :]
    channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return x[row[:, None, None, None], channel, down, right].flatten(1)


def patch_distance(x: Tensor, known: Tensor, size: int) -> Tensor:
    """Σ_p min_q |x_p - q|² over patches of each picture, half a patch apart (after Wei et al. 2015,
    Understanding intra-class knowledge inside CNN).

    Args:
        x: pictures, with shape (B, channels, H, W).
        known: natural patches q, with shape (M, channels * size²).
        size: side of a patch, pixels.

    Returns:
        At least 0, with shape (B,).
    """
    parts = functional.unfold(x, size, stride=max(1, size // 2)).transpose(1, 2)
    with torch.no_grad():
        nearest = known[torch.cdist(parts, known).argmin(2)]
    return (parts - nearest).square().sum((1, 2))


def centre_window(height: int, width: int, share: float, like: Tensor) -> Tensor:
    """exp(-r²/2), where r is the distance from the centre in `share` of the shorter side.

    Args:
        height, width: of a picture, pixels.
        share: standard deviation of the window, a share of the shorter side, above 0.
        like: gives device and type.

    Returns:
        In (0, 1], 1 at the centre, with shape (height, width).
    """
    sides = [
        torch.arange(side, device=like.device, dtype=like.dtype) - (side - 1) / 2
        for side in (height, width)
    ]
    y, x = (side / (share * min(height, width)) for side in sides)
    return (-0.5 * (y.square()[:, None] + x.square()[None, :])).exp()


def shifted(x: Tensor, shift: tuple[int, int]) -> Tensor:
    """Pictures, with shape (B, channels, H, W), moved down and to the right; what leaves at one
    edge comes in at the other.
    """
    return torch.roll(x, shift, (2, 3)) if any(shift) else x


def drawn_shift(jitter: int, rng: torch.Generator) -> tuple[int, int]:
    """Two whole numbers from -jitter to jitter."""
    # the generator is the CPU's, so that reading does not wait for the device
    down, right = torch.randint(-jitter, jitter + 1, (2,), generator=rng).tolist()
    return down, right


def is_picture(shape: tuple[int, ...] | None) -> bool:
    """Whether a shape is that of a picture: (channels, H, W)."""
    return shape is not None and len(shape) == 3 and math.prod(shape) > 0
