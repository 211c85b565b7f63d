"""Networks and generators of Caffe from their files: ``network=caffenet``, ``places205``,
``alexnet``; ``generator=ppgn``, ``deepsim_fc6``.

Which layer has which shape is known (`CaffeNet`, `UpConvFc6`); how wide each is, its own bias says,
which has one number an output in every dialect. Shapes written in a file can't be trusted beyond
that: old ones pad with ones at the front. A layer that a network has not (data, loss) is ignored,
as Caffe does; one that is missing is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from invset.core.checks import check_choice
from invset.errors import InvsetError
from invset.files.caffemodel import read_caffemodel
from invset.files.matconvnet import read_matconvnet
from invset.files.onnx import read_onnx
from invset.nets.caffe.caffenet import CONVOLUTIONS, IMAGENET_MEAN_BGR, CaffeNet, as_mean
from invset.nets.caffe.upconv_fc6 import DECONVOLUTIONS, UpConvFc6
from invset.nets.generator import Generator
from invset.nets.labels import read_labels
from invset.nets.natural import load_prior
from invset.nets.network import Network

#: Layer name -> its blobs: weights and bias.
Blobs = Mapping[str, Sequence[np.ndarray]]

#: Public layer names that differ from module names, where fc6 and fc7 are read after their ReLU, as
#: PPGN's encoder does.
AFTER_RELU = {"fc6": "relu6", "fc7": "relu7"}

#: Formats that published copies of the same weights have, by suffix; any other file is taken for a
#: .caffemodel.
_READERS: dict[str, Callable[[Path], Blobs]] = {
    ".onnx": read_onnx,
    ".mat": lambda path: read_matconvnet(path)[0],
}

Loaded = TypeVar("Loaded", CaffeNet, UpConvFc6)


def caffe_network(
    name: str = "caffenet",
    weights: str | Path | None = None,
    order: str = "pool-norm",
    labels: str | Path | Sequence[str] | None = "imagenet",
    mean: Sequence[float] | str | Path | None = None,
    fc6: str = "after",
    size: int = 227,
    device: str | torch.device = "cpu",
) -> Network:
    """CaffeNet, Places-CNN or AlexNet from a file of weights; how wide it is and how many outputs
    it has, the file says.

    Args:
        name: what reports call it; without `weights`, the name of published ones: "caffenet",
            "places205" or "alexnet".
        weights: a file (.caffemodel, .onnx, .mat); None is the published one, from the cache or
            fetched.
        order: of the layers: "pool-norm" (CaffeNet, Places-CNN), or "norm-pool" (AlexNet).
        labels: "imagenet", "places205", names in the order of fc8, a text file with one a line, or
            None.
        mean: blue, green, red, 0 … 255; a .npy file with a mean image; or None: ImageNet's mean
            pixel.
        fc6: where fc6 and fc7 are read: "after" their ReLU, or "before"; relu6 and relu7 always are
            after it.
        size: side in pixels of what enters conv1: the centre of 256, or an image of just this size.
        device: where the weights go.

    Raises:
        InvsetError: no such file, one that is no such network, or labels that are not its own.
    """
    check_choice("network.fc6", fc6, ("after", "before"))
    path, blobs = _read(name, weights)
    outputs = {
        layer: _outputs(blobs, layer, path)
        for layer in [*(f"conv{i + 1}" for i in range(len(CONVOLUTIONS))), "fc6", "fc7", "fc8"]
    }
    *widths, first, second, n_out = outputs.values()
    odd = next((layer for layer, width in zip(outputs, widths, strict=False) if width % 2), None)
    if odd is not None:
        raise InvsetError(
            f"{path}: {odd} has {outputs[odd]} channels; expected an even number, as in a CaffeNet,"
            " whose layers have two groups"
        )
    subtracted = read_mean(mean)
    with torch.device("meta"):
        module = CaffeNet(n_out, widths, (first, second), order, size, subtracted)
    net = _fill(module, blobs, path, {"data.mean": subtracted})
    names = _names(labels, n_out, path)
    aliases = AFTER_RELU if fc6 == "after" else {}
    # photographs come as 256x256 and are cropped by the network itself
    return Network(
        net,
        name=name,
        image_size=256,
        aliases=aliases,
        labels=names,
        output="fc8",
        encoder="fc6",
        device=device,
    )


def caffe_layers(
    name: str = "caffenet",
    order: str = "pool-norm",
    labels: str | Path | Sequence[str] | None = "imagenet",
    fc6: str = "after",
    size: int = 227,
) -> Network:
    """A published network without its weights: its layers have names and shapes, but nothing can be
    computed.

    Args:
        name, order, labels, fc6, size: as in `caffe_network`; it has as many outputs as there are
            labels, or 1000.

    Raises:
        InvsetError: labels that there are none of.
    """
    names = _labels(labels)
    with torch.device("meta"):
        module = CaffeNet(len(names) if names else 1000, order=order, size=size)
    aliases = AFTER_RELU if fc6 == "after" else {}
    return Network(
        module,
        name=name,
        image_size=256,
        aliases=aliases,
        labels=names,
        output="fc8",
        encoder="fc6",
        device="meta",
    )


def caffe_generator(
    name: str = "ppgn_generator",
    weights: str | Path | None = None,
    picture: str = "mean",
    crop: int = 227,
    mean: Sequence[float] | str | Path | None = None,
    prior: str | Path | None = None,
    clip: Sequence[float] | None = (0.0, 30.0),
    device: str | torch.device = "cpu",
) -> Generator:
    """PPGN's or DeePSiM's generator from a file of weights; how wide it is, and how long a code,
    the file says.

    Args:
        name: what reports call it; without `weights`, the name of published ones: "ppgn_generator"
            or "deepsim_fc6".
        weights: a .caffemodel file; None is the published one, from the cache or fetched.
        picture: what is written to disk: "mean", the image that the network sees; or "stretch",
            PPGN's display, to which the mean isn't added. The network sees, and activations are
            measured on, the image of "mean" in either case.
        crop: side in pixels of the centre that is kept, of 256: 227 is all that CaffeNet sees.
        mean: as in `caffe_network`, and the same as there.
        prior: a file written by ``invset fit prior``; None: the generator has no natural region.
        clip: lowest and highest value of a code's numbers, where there is no natural region: PPGN's
            0 and 30. None: any value.
        device: where the weights go.

    Raises:
        InvsetError: no such file, or one that is no such generator.
    """
    check_choice("generator.picture", picture, ("mean", "stretch"))
    if not 1 <= crop <= 256:
        raise InvsetError(f"generator.crop must be 1 to 256 pixels, not {crop}")
    path, blobs = _read(name, weights)
    outputs = {
        layer: _outputs(blobs, layer, path)
        for layer in ("defc7", "defc6", "defc5", *DECONVOLUTIONS)
    }
    seventh, sixth, fifth, *widths, colours = outputs.values()
    if fifth % 16 or colours != 3:
        raise InvsetError(
            f"{path} is no generator of this kind: defc5 and deconv0 have {fifth} and {colours}"
            " outputs, expected 4x4 maps and 3"
        )
    code_dim = blobs["defc7"][0].size // seventh
    added = read_mean(mean)
    with torch.device("meta"):
        module = UpConvFc6(code_dim, (seventh, sixth), fifth // 16, widths, crop, added)
    net = _fill(module, blobs, path, {"mean": added})
    display = net.stretch if picture == "stretch" else None
    region = load_prior(prior, code_dim)
    ends = (float(clip[0]), float(clip[1])) if clip is not None else None
    return Generator(
        net,
        code_dim,
        name=name,
        prior=region,
        clip=ends,
        picture=picture,
        display=display,
        device=device,
    )


def read_mean(mean: Sequence[float] | str | Path | None) -> Tensor:
    """A mean to subtract: three numbers, a mean image from a .npy file, or ImageNet's mean pixel.

    Raises:
        InvsetError: no such file, or no mean.
    """
    if not isinstance(mean, (str, Path)):
        return as_mean(IMAGENET_MEAN_BGR if mean is None else mean)
    path = Path(mean).expanduser()
    try:
        image = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvsetError(
            f"no mean image in {path} ({error}); give a .npy file of shape (3, 256, 256), or three"
            " numbers"
        ) from error
    if image.ndim == 3 and image.shape[-1] == 3:
        image = image.transpose(2, 0, 1)
    return as_mean(torch.from_numpy(np.array(image, dtype=np.float32)))


def _read(name: str, weights: str | Path | None) -> tuple[Path, Blobs]:
    if weights is None:
        from invset.hub import obtain as fetch

        path = fetch.weights(name)
    else:
        path = Path(weights).expanduser()
    if not path.is_file():
        raise InvsetError(f"no weights at {path}; leave weights= out for the published ones")
    return path, _READERS.get(path.suffix, read_caffemodel)(path)


def _labels(labels: str | Path | Sequence[str] | None) -> list[str] | None:
    if isinstance(labels, str) and labels in ("imagenet", "places205"):
        from invset.nets.labels import labels as published

        return published(labels)
    return (
        read_labels(labels)
        if isinstance(labels, (str, Path))
        else list(labels)
        if labels is not None
        else None
    )


def _names(labels: str | Path | Sequence[str] | None, n_out: int, path: Path) -> list[str] | None:
    names = _labels(labels)
    if names is not None and len(names) != n_out:
        raise InvsetError(
            f"{path} has {n_out} outputs, but there are {len(names)} labels; type"
            " network.labels=null or give its own"
        )
    return names


def _outputs(blobs: Blobs, layer: str, path: Path) -> int:
    """How many outputs a layer has, which its bias says.

    Raises:
        InvsetError: no such layer, or one without a bias.
    """
    found = blobs.get(layer, ())
    if len(found) < 2 or not found[1].size:
        has = (
            f"{layer} without a bias"
            if layer in blobs
            else f"{', '.join(list(blobs)[:12]) or 'none'}"
        )
        raise InvsetError(
            f"{path} lacks layer {layer}: expected its weights and bias, found layers {has}"
        )
    return found[1].size


def _fill(module: Loaded, blobs: Blobs, path: Path, buffers: dict[str, Tensor]) -> Loaded:
    """Put blobs into a module without memory of its own.

    Args:
        module: on the device "meta"; the last part of a layer's path is Caffe's name.
        blobs: of these layers and of others.
        path: the file that they are from.
        buffers: the rest of the module's state.
    """
    state = dict(buffers)
    for key, expected in module.named_parameters():
        layer, kind = key.split(".")[-2:]
        blob = blobs[layer][0 if kind == "weight" else 1]
        if not _fits(blob.shape, tuple(expected.shape)):
            raise InvsetError(
                f"{path}: {kind} of layer {layer}: expected shape {tuple(expected.shape)}, found"
                f" {tuple(blob.shape)}"
            )
        # a copy: blobs may be read-only views of a file, at addresses that are no multiple of four
        state[key] = torch.from_numpy(np.array(blob, dtype=np.float32)).reshape(expected.shape)
    module.load_state_dict(state, assign=True)
    return module


def _fits(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether numbers of one shape are those of another in the same order, axes of one aside.

    Old files give a bias as (1, 1, 1, N) and a matrix as (1, 1, out, in); a matrix may be split
    into (out, channels, y, x).
    """
    axes, wanted = ([n for n in shape if n != 1] for shape in (found, expected))
    matrix = len(expected) == 2 and axes[:1] == wanted[:1]
    return axes == wanted or (matrix and math.prod(axes) == math.prod(wanted))
