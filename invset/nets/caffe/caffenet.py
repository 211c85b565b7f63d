"""CaffeNet, the network of the paper, and its siblings Places-CNN and BVLC AlexNet, as Caffe
computes them.

    data | conv1 relu1 pool1 norm1 | conv2 relu2 pool2 norm2 | conv3 relu3 | conv4 relu4 | conv5
    relu5 pool5 | fc6 relu6 | fc7 relu7 | fc8

AlexNet has norm1 before pool1 and norm2 before pool2. Three habits of Caffe differ from torch's
defaults: pools round up, channels are blue, green, red, and pixels go from 0 to 255 minus a mean.
Dropout does nothing at test time and is left out; so is the softmax, as neurons of fc8 are read
before it.

References: Krizhevsky et al. 2012; Jia et al. 2014, models/bvlc_reference_caffenet and
models/bvlc_alexnet of BVLC/caffe; Zhou et al. 2014 (Places); docs/models/caffenet.md says where
each number is from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.core.checks import check_choice
from invset.errors import InvsetError

#: Mean pixel of ImageNet, blue, green, red, 0 … 255: the channel means of ilsvrc_2012_mean.
IMAGENET_MEAN_BGR = (104.00699, 116.66877, 122.67892)

#: Side in pixels that photographs are resized to before the centre is cropped; the side of Caffe's
#: mean image.
FULL = 256

ORDERS = ("pool-norm", "norm-pool")

#: Kernel, stride, padding and groups of conv1 … conv5.
CONVOLUTIONS = ((11, 4, 0, 1), (5, 1, 2, 2), (3, 1, 1, 1), (3, 1, 1, 2), (3, 1, 1, 2))
POOLED = (1, 2, 5)
NORMED = (1, 2)


class CaffeInput(nn.Module):
    """Float RGB images in [0, 1], with shape (N, 3, H, W), to what a Caffe network takes, with
    shape (N, 3, size, size).

        x -> crop -> 255 x -> blue, green, red -> minus the mean

    Images of `size` pixels are taken as they are, those of 256 are cropped ([14:241] for 227), and
    all others are resized to 256x256 first (bilinear, free of aliasing), as Caffe's classifier and
    PPGN do.

    Args:
        mean: of each channel, blue, green, red, 0 … 255, with shape (3,); or a mean image with
            shape (3, 256, 256), which is cropped as the images are.
        size: side in pixels of what comes out.
    """

    mean: Tensor

    def __init__(self, mean: Sequence[float] | Tensor = IMAGENET_MEAN_BGR, size: int = 227) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", as_mean(mean))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != (self.size, self.size):
            if x.shape[-2:] != (FULL, FULL):
                x = F.interpolate(x, (FULL, FULL), mode="bilinear", antialias=True)
            x = center_crop(x, self.size)
        mean = self.mean if self.mean.shape[-1] == 1 else center_crop(self.mean, self.size)
        return x.flip(1) * 255 - mean


def as_mean(mean: Sequence[float] | Tensor) -> Tensor:
    """A mean as it is subtracted: with shape (3, 1, 1), or (3, 256, 256) for a mean image.

    Raises:
        InvsetError: another shape.
    """
    tensor = torch.as_tensor(mean, dtype=torch.float32)
    if tensor.shape == (3,):
        return tensor.view(3, 1, 1)
    if tensor.shape in ((3, 1, 1), (3, FULL, FULL)):
        return tensor
    raise InvsetError(
        f"a mean is three numbers (blue, green, red) or an image of shape (3, {FULL}, {FULL}), not"
        f" {tuple(tensor.shape)}"
    )


def center_crop(x: Tensor, size: int) -> Tensor:
    """The central `size` x `size` pixels, with Caffe's rounding: [14:241] of 256 for 227."""
    top, left = ((side - size) // 2 for side in x.shape[-2:])
    return x[..., top : top + size, left : left + size]


class CaffeNet(nn.Sequential):
    """RGB images in [0, 1], with shape (N, 3, H, W), to fc8, with shape (N, n_out).

    Args:
        n_out: classes: 1000, 205 for Places-CNN.
        widths: channels of conv1 … conv5; those of conv1, conv3 and conv4 are even, as conv2, conv4
            and conv5 have two groups.
        fc: units of fc6 and fc7.
        order: "pool-norm" (CaffeNet, Places-CNN), or "norm-pool" (AlexNet).
        size: side in pixels of what enters conv1.
        mean: as in `CaffeInput`.
    """

    def __init__(
        self,
        n_out: int = 1000,
        widths: Sequence[int] = (96, 256, 384, 384, 256),
        fc: Sequence[int] = (4096, 4096),
        order: str = "pool-norm",
        size: int = 227,
        mean: Sequence[float] | Tensor = IMAGENET_MEAN_BGR,
    ) -> None:
        check_choice("order", order, ORDERS)
        layers: OrderedDict[str, nn.Module] = OrderedDict(data=CaffeInput(mean, size))
        channels = 3
        for i, (width, (kernel, stride, padding, groups)) in enumerate(
            zip(widths, CONVOLUTIONS, strict=True), start=1
        ):
            layers[f"conv{i}"] = nn.Conv2d(channels, width, kernel, stride, padding, groups=groups)
            layers[f"relu{i}"] = nn.ReLU()
            after: dict[str, nn.Module] = {}
            if i in POOLED:
                after["pool"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
            if i in NORMED:
                # Caffe too divides alpha by the number of channels that it sums over
                # (lrn_layer.cpp)
                after["norm"] = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
            for name in order.split("-"):
                if name in after:
                    layers[f"{name}{i}"] = after[name]
            channels = width
        layers["flatten"] = nn.Flatten()
        units = channels * map_side(size) ** 2
        for i, width in enumerate(fc, start=6):
            layers[f"fc{i}"] = nn.Linear(units, width)
            layers[f"relu{i}"] = nn.ReLU()
            units = width
        layers["fc8"] = nn.Linear(units, n_out)
        super().__init__(layers)


def map_side(size: int) -> int:
    """Side of pool5's maps for an input of `size` pixels: 6 for 227."""
    side = (size - 11) // 4 + 1
    for _ in POOLED:
        side = -(-(side - 3) // 2) + 1  # rounded up
    return side
