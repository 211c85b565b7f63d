"""``network=mini``: CaffeNet's shape and layer names, small enough for two CPU cores.

    conv1 relu1 pool1 | conv2 relu2 pool2 | conv3 relu3 | conv4 relu4 | conv5 relu5 pool5 | fc6
    relu6 | fc7 relu7 | fc8

Input 3x32x32, 76 M multiply-adds, 10 outputs (CIFAR-10); `network=mini64` has input 3x64x64, whose
conv1 takes every second pixel, and 200 outputs (Tiny ImageNet); `network=mnist` takes grey digits
of 28x28. Pools are 3x3 with stride 2 and
round up, as in Caffe. Batch norm takes the place of CaffeNet's local response normalisation while
training and is folded into the weights when exported (`fold_batch_norm`), so that the network that
is studied is plain convolutions, ReLUs and matrices.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from invset.core.checks import check_widths, is_number, is_whole
from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit
from invset.nets.resize import Resize

#: Public layer names that differ from module names: fc6 and fc7 are read after their ReLU, as in
#: PPGN. The paper does not say which side of it E is: docs/models/caffenet.md.
LAYER_ALIASES = {"fc6": "relu6", "fc7": "relu7"}

#: A pool follows these convolutions, as in CaffeNet.
POOLED = (1, 2, 5)


#: Of RGB pixels of CIFAR-10.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


class Normalize(nn.Module):
    """Pixels in [0, 1] to zero mean and unit spread per channel, with shape (N, channels, H, W).

    Args:
        mean, std: one a channel, in [0, 1] pixel units.
        size: (height, width) that pictures of another size are brought to before; None: any.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], size: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self._before = (Resize(Image8Bit(len(mean), size)),)  # in a tuple it is no layer
        # whole numbers would make a buffer that rounds
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor([float(v) for v in values]).view(-1, 1, 1))
        self.about = f"mean={[*map(float, mean)]}, std={[*map(float, std)]}"

    def extra_repr(self) -> str:
        return self.about

    def forward(self, x: Tensor) -> Tensor:
        return (self._before[0](x) - self.mean) / self.std


class MiniNet(nn.Sequential):
    """CaffeNet in small: images in [0, 1], with shape (N, channels, size, size), to logits, with
    shape (N, n_out). Images of another size are resized.

    Args:
        widths: channels of conv1 … conv5.
        fc6: units of fc6, the encoding E(x).
        fc7: units of fc7.
        n_out: classes.
        size: side of the input in pixels, at least 8 times the stride.
        first: side of conv1's kernel, an odd number, and its stride, in pixels; CaffeNet's are 11
            and 4.
        batch_norm: True while training; False for exported weights, whose batch norm is folded.
        dropout: share of fc6 and fc7 that is left out while training, as in CaffeNet; 0 for
            exported weights.
        mean, std: per channel, in [0, 1] pixel units: three numbers for RGB, one for grey.
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 192, 192, 128),
        fc6: int = 1024,
        fc7: int = 512,
        n_out: int = 10,
        size: int = 32,
        first: Sequence[int] = (5, 1),
        batch_norm: bool = False,
        dropout: float = 0.0,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ) -> None:
        check_widths("first, the side of conv1's kernel and its stride,", first, 2)
        kernel, stride = first
        if kernel % 2 == 0:
            raise InvsetError(
                "first must be an odd kernel side and a stride of at least 1, such as [5, 1], not"
                f" {list(first)}"
            )
        if not is_whole(size, 8 * stride):
            raise InvsetError(f"size must be a whole number of at least {8 * stride}, not {size}")
        check_widths("widths", widths, 5)
        check_widths("fc6 and fc7", [fc6, fc7], 2)
        if not is_number(dropout) or not 0 <= dropout < 1:
            raise InvsetError(f"dropout must be a number of at least 0 and below 1, not {dropout}")
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            normalize=Normalize(mean, std, (size, size))
        )
        channels = len(mean)
        for i, width in enumerate(widths, start=1):
            kernel, step = first if i == 1 else (3, 1)
            layers[f"conv{i}"] = nn.Conv2d(channels, width, kernel, step, padding=kernel // 2)
            if batch_norm:
                layers[f"bn{i}"] = nn.BatchNorm2d(width)
            layers[f"relu{i}"] = nn.ReLU()
            if i in POOLED:
                layers[f"pool{i}"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
            channels = width
        layers["flatten"] = nn.Flatten()
        # conv1 rounds up, each pool of an odd side down
        units = channels * (-(-size // stride) // 8) ** 2
        for i, width in ((6, fc6), (7, fc7)):
            layers[f"fc{i}"] = nn.Linear(units, width)
            if batch_norm:
                layers[f"bn{i}"] = nn.BatchNorm1d(width)
            layers[f"relu{i}"] = nn.ReLU()
            if dropout:
                layers[f"drop{i}"] = nn.Dropout(dropout)
            units = width
        layers["fc8"] = nn.Linear(units, n_out)
        super().__init__(layers)


def fold_batch_norm(net: MiniNet) -> MiniNet:
    """Return the same function without batch norm and dropout: each bnN is folded into convN or
    fcN.

    Args:
        net: a `MiniNet` with ``batch_norm=True``, in evaluation mode.
    """
    if net.training:
        raise ValueError(
            "fold_batch_norm needs the network in evaluation mode: call net.eval() first"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in net.named_children():
        if isinstance(module, nn.Dropout):
            continue
        if not name.startswith("bn"):
            layers[name] = module
            continue
        before, layer = next(reversed(layers.items()))
        fuse = fuse_conv_bn_eval if isinstance(layer, nn.Conv2d) else fuse_linear_bn_eval
        layers[before] = fuse(layer, module)  # type: ignore[arg-type, type-var]
    folded = MiniNet.__new__(MiniNet)
    nn.Sequential.__init__(folded, layers)
    return folded.eval()
