"""The published networks in the words of Caffe's prototxt, random weights for them, and what OpenCV
makes of both.

Written from the published prototxts, not from the modules under test: OpenCV's readers and layers
are independent of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

#: Blobs of each layer, as in a .caffemodel.
Blobs = dict[str, list[np.ndarray]]

#: Of the largest number of a layer: the two libraries sum in different orders.
TOLERANCE = 2e-5


@dataclass(frozen=True)
class Layer:
    """One layer: Caffe's name, type and parameters, and the shape of its weights, () if it has
    none.
    """

    name: str
    type: str
    parameters: str = ""
    weights: tuple[int, ...] = ()

    @property
    def outputs(self) -> int:
        return self.weights[1] if self.type == "Deconvolution" else self.weights[0]

    @property
    def fan(self) -> int:
        """Inputs that one output sums over: a 4x4 kernel with stride 2 meets each output at 2x2
        places.
        """
        if self.type == "Deconvolution":
            return self.weights[0] * (4 if self.weights[2] == 4 else 9)
        return int(np.prod(self.weights[1:]))


def _conv(
    name: str, outputs: int, inputs: int, kernel: int, stride: int = 1, pad: int = 0, group: int = 1
) -> Layer:
    text = f"num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: {pad} group: {group}"
    return Layer(
        name,
        "Convolution",
        f"convolution_param {{ {text} }}",
        (outputs, inputs // group, kernel, kernel),
    )


def _deconv(name: str, inputs: int, outputs: int, kernel: int, stride: int) -> Layer:
    text = f"num_output: {outputs} kernel_size: {kernel} stride: {stride} pad: 1"
    return Layer(
        name, "Deconvolution", f"convolution_param {{ {text} }}", (inputs, outputs, kernel, kernel)
    )


def _fc(name: str, outputs: int, inputs: int) -> Layer:
    return Layer(
        name, "InnerProduct", f"inner_product_param {{ num_output: {outputs} }}", (outputs, inputs)
    )


def _relu(number: str, slope: float = 0.0) -> Layer:
    return Layer(f"relu{number}", "ReLU", f"relu_param {{ negative_slope: {slope} }}")


def caffenet_layers(order: str, width: int, n_out: int) -> list[Layer]:
    """CaffeNet's layers: `width` channels in place of 96, and all others in proportion; inputs from
    224 to 227 pixels.
    """
    w1, w2, w3 = width, width * 8 // 3, width * 4
    fc = width * 128 // 3

    def pool(i: int) -> Layer:
        return Layer(f"pool{i}", "Pooling", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }")

    def norm(i: int) -> Layer:
        return Layer(f"norm{i}", "LRN", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")

    def both(i: int) -> list[Layer]:
        return [pool(i), norm(i)] if order == "pool-norm" else [norm(i), pool(i)]

    return [
        *(_conv("conv1", w1, 3, 11, stride=4), _relu("1"), *both(1)),
        *(_conv("conv2", w2, w1, 5, pad=2, group=2), _relu("2"), *both(2)),
        *(_conv("conv3", w3, w2, 3, pad=1), _relu("3")),
        *(_conv("conv4", w3, w3, 3, pad=1, group=2), _relu("4")),
        *(_conv("conv5", w2, w3, 3, pad=1, group=2), _relu("5"), pool(5)),
        *(
            _fc("fc6", fc, w2 * 36),
            _relu("6"),
            _fc("fc7", fc, fc),
            _relu("7"),
            _fc("fc8", n_out, fc),
        ),
    ]


def generator_layers(width: int) -> list[Layer]:
    """The layers of PPGN's generator: `width` channels in place of 256, and all others in
    proportion.
    """
    w, code = width, width * 16
    layers = []
    for name in ("defc7", "defc6", "defc5"):
        layers += [_fc(name, code, code), _relu(f"_{name}", 0.3)]
    layers.append(
        Layer(
            "reshape", "Reshape", f"reshape_param {{ shape {{ dim: 0 dim: {w} dim: 4 dim: 4 }} }}"
        )
    )
    channels = (w, w, 2 * w, w, w, w // 2, w // 2, w // 4, w // 8, 3)
    names = (
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
    for name, (inputs, outputs) in zip(names, pairwise(channels), strict=True):
        kernel, stride = (4, 2) if name.startswith("deconv") else (3, 1)
        layers += [_deconv(name, inputs, outputs, kernel, stride), _relu(f"_{name}", 0.3)]
    return layers[:-1]  # deconv0 is linear


def random_blobs(layers: Sequence[Layer], seed: int, bias: float) -> Blobs:
    """Weights that keep the scale of what passes through them, and biases of standard deviation
    `bias`.
    """
    rng = np.random.default_rng(seed)
    return {
        l.name: [
            (rng.standard_normal(l.weights, np.float32) * np.float32((2 / l.fan) ** 0.5)),
            (rng.standard_normal(l.outputs, np.float32) * np.float32(bias)),
        ]
        for l in layers
        if l.weights
    }


def prototxt(layers: Sequence[Layer], shape: Sequence[int]) -> str:
    """Caffe's description of a chain of layers; no layer works in place, so that every one can be
    read.
    """
    dims = " ".join(f"dim: {n}" for n in shape)
    lines = [
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}'
    ]
    bottom = "data"
    for l in layers:
        lines.append(
            f'layer {{ name: "{l.name}" type: "{l.type}" bottom: "{bottom}" top: "{l.name}"'
            f" {l.parameters} }}"
        )
        bottom = l.name
    return "\n".join(lines)


def opencv(layers: Sequence[Layer], weights: Path, data: np.ndarray) -> dict[str, np.ndarray]:
    """What every layer gives, by OpenCV, which reads the file of weights itself."""
    import cv2

    description = weights.with_suffix(".prototxt")
    description.write_text(prototxt(layers, data.shape))
    net = cv2.dnn.readNetFromCaffe(str(description), str(weights))
    net.enableWinograd(False)  # on, it costs accuracy
    net.setInput(data)
    names = [l.name for l in layers]
    # a copy of each: OpenCV uses its buffers again
    return {name: np.array(out) for name, out in zip(names, net.forward(names), strict=True)}


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference, as a part of the largest number; infinite if the shapes differ."""
    if ours.shape != theirs.shape:
        return np.inf
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
