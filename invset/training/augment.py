"""Random crops, zooms, flips, cutouts and colours of a batch of pictures, each picture with its own
draw from one seeded generator.

Draws are made on the CPU, so that they are the same ones for every device. They are sent to that of
the pictures, which waits for nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from invset.core.ball import send


def random_flip(images: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror each picture left to right with probability one half; images with shape (N, C, H,
    W).
    """
    flip = send(torch.rand(len(images), generator=rng) < 0.5, images.device)
    return torch.where(flip.view(-1, 1, 1, 1), images.flip(-1), images)


def random_crop(images: Tensor, pad: int, rng: torch.Generator) -> Tensor:
    """Shift each picture by up to `pad` pixels in each direction, the border reflected; float
    images (N, C, H, W).
    """
    if pad == 0:
        return images
    n, _, h, w = images.shape
    padded = F.pad(images, (pad,) * 4, mode="reflect")
    top, left = _places(images, (2 * pad + 1, 2 * pad + 1), rng)
    rows = top + torch.arange(h, device=images.device)
    cols = left + torch.arange(w, device=images.device)
    batch = torch.arange(n, device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[batch, rows.unsqueeze(2), cols.unsqueeze(1)].permute(
        0, 3, 1, 2
    )


def cutout(images: Tensor, side: int, rng: torch.Generator) -> Tensor:
    """Set a square of `side` pixels at a random place of each picture to mid-grey (DeVries & Taylor
    2017).
    """
    if side == 0:
        return images
    h, w = images.shape[2:]
    top, left = _places(images, (h, w), rng) - side // 2
    y = torch.arange(h, device=images.device)
    x = torch.arange(w, device=images.device)
    hole = ((y >= top) & (y < top + side)).unsqueeze(2) & (
        (x >= left) & (x < left + side)
    ).unsqueeze(1)
    return images.masked_fill(hole.unsqueeze(1), 0.5)


def _places(images: Tensor, below: tuple[int, int], rng: torch.Generator) -> Tensor:
    """A row and a column for each picture, whole numbers below `below`, with shape (2, N, 1)."""
    drawn = [torch.randint(one, (len(images), 1), generator=rng) for one in below]
    return send(torch.stack(drawn), images.device)


def random_zoom(images: Tensor, area: float, rng: torch.Generator) -> Tensor:
    """Cut a random part of each picture and bring it to the picture's size (Szegedy et al. 2015).

    Args:
        images: float, with shape (N, C, H, W).
        area: smallest share of the picture's area that is kept, in (0, 1]; 1 is off. The part's
            sides differ by up to 4:3.
        rng: of every draw.
    """
    if area == 1:
        return images
    n, _, h, w = images.shape
    share, ratio, x, y = torch.rand(4, n, generator=rng).unbind()
    side = (area + (1 - area) * share).sqrt()
    stretch = (4 / 3) ** (ratio - 0.5)
    width = (side * stretch).clamp(max=1) * w
    height = (side / stretch).clamp(max=1) * h
    left = x * (w - width)
    top = y * (h - height)
    boxes = torch.stack(
        [torch.arange(n, dtype=images.dtype), left, top, left + width, top + height], dim=1
    )
    return roi_align(images, send(boxes, images.device), (h, w), sampling_ratio=1, aligned=True)


def color_matrix(contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """The 3x3 matrix that changes RGB about mid-grey (Karras et al. 2020, arXiv:2006.06676,
    appendix B).

    Args:
        contrast: factor of all colours, with shape (N,).
        saturation: factor of their distance to the axis of greys, with shape (N,).
        hue: turn around that axis, in radians, with shape (N,).
    """
    grey = torch.full((3, 3), 1 / 3)
    turn = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(
        3
    )  # cross product with the axis of greys
    c, s, h = (v.view(-1, 1, 1) for v in (contrast, saturation, hue))
    return c * (grey + s * (h.cos() * (torch.eye(3) - grey) + h.sin() * turn))


def color_jitter(images: Tensor, amount: float, rng: torch.Generator) -> Tensor:
    """Change each picture's contrast and saturation by factors e^±amount, its brightness by ±amount
    / 2, its hue by ±amount radians; a grey picture has neither saturation nor hue.

    Args:
        images: float in [0, 1], with shape (N, 3 or 1, H, W).
        amount: at least 0; 0 is off.
        rng: of every draw; each of the four is uniform (the factors in their logarithm).
    """
    if amount == 0:
        return images
    contrast, saturation, hue, brightness = amount * (
        2 * torch.rand(4, len(images), generator=rng) - 1
    )
    grey = images.shape[1] == 1
    colours = color_matrix(contrast.exp(), saturation.exp(), hue)
    matrix = send(contrast.exp().view(-1, 1, 1) if grey else colours, images.device)
    shift = send(brightness.view(-1, 1, 1, 1) / 2, images.device)
    mixed = matrix @ (images - 0.5).flatten(2)
    return (mixed.view_as(images) + 0.5 + shift).clamp(0, 1)
