"""The generator of PPGN and DeePSiM: from the 4096 numbers of CaffeNet's fc6 to an image.

    defc7 defc6 defc5 | deconv5 conv5_1 | deconv4 conv4_1 | deconv3 conv3_1 | deconv2 | deconv1 |
    deconv0

Leaky ReLUs with slope 0.3 after every layer but the last; each ``deconv`` (4x4, stride 2) doubles
the side, from 4 pixels to 256. All layers of maps are deconvolutions, conv5_1, conv4_1 and conv3_1
(3x3, stride 1) too. What comes out of deconv0 has no bounds: blue, green, red, 0 … 255, minus the
mean pixel of ImageNet.

References: Dosovitskiy & Brox 2016, arXiv:1602.02644, Table 7; Nguyen et al. 2017,
arXiv:1612.00005, whose generator ("noiseless") has the same layers and other weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from invset.nets.caffe.caffenet import IMAGENET_MEAN_BGR, as_mean, center_crop

SLOPE = 0.3

#: Layers of maps in order: those called deconv double the side.
DECONVOLUTIONS = (
    "deconv5",
    "conv5_1",
    "deconv4",
    "conv4_1",
    "deconv3",
    "conv3_1",
    "deconv2",
    "deconv1",
    "deconv0",
)

#: PPGN's pictures: blue, green, red minus the mean, between minus and plus this, stretched to black
#: and white (its util.py).
STRETCH = 120.0


class UpConvFc6(nn.Module):
    """Codes, with shape (N, code_dim), to float RGB images, with shape (N, 3, crop, crop): in [0,
    1] where they are valid.

    The mean that the network subtracts is added here, so the network sees deconv0 itself wherever
    that is a valid pixel.

    Args:
        code_dim: units of fc6.
        hidden: units of defc7 and defc6.
        start: channels of the 4x4 map that defc5 gives.
        widths: channels of deconv5, conv5_1, … deconv1, in order.
        crop: side in pixels of the centre that is kept: 227 is [14:241], what CaffeNet takes; 256
            is everything.
        mean: as in `caffenet.CaffeInput`.
    """

    mean: Tensor

    def __init__(
        self,
        code_dim: int = 4096,
        hidden: Sequence[int] = (4096, 4096),
        start: int = 256,
        widths: Sequence[int] = (256, 512, 256, 256, 128, 128, 64, 32),
        crop: int = 227,
        mean: Sequence[float] | Tensor = IMAGENET_MEAN_BGR,
    ) -> None:
        super().__init__()
        self.crop = crop
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        units = code_dim
        for name, width in zip(("defc7", "defc6", "defc5"), (*hidden, start * 16), strict=True):
            layers[name] = nn.Linear(units, width)
            layers[f"relu_{name}"] = nn.LeakyReLU(SLOPE)
            units = width
        layers["reshape"] = nn.Unflatten(1, (start, 4, 4))
        channels = start
        for name, width in zip(DECONVOLUTIONS, (*widths, 3), strict=True):
            kernel, stride = (4, 2) if name.startswith("deconv") else (3, 1)
            layers[name] = nn.ConvTranspose2d(channels, width, kernel, stride, padding=1)
            layers[f"relu_{name}"] = nn.LeakyReLU(SLOPE)
            channels = width
        del layers["relu_deconv0"]
        self.layers = nn.Sequential(layers)
        self.register_buffer("mean", as_mean(mean))

    def forward(self, codes: Tensor) -> Tensor:
        return center_crop(self.layers(codes) + self.mean, self.crop).flip(1) / 255

    def stretch(self, codes: Tensor) -> Tensor:
        """PPGN's pictures of codes: the mean isn't added, [-120, 120] is mapped to [0, 1]. For the
        eye: no network sees these.
        """
        return center_crop(self.layers(codes), self.crop).flip(1) / (2 * STRETCH) + 0.5
