"""Networks and generators of Caffe from their files: ``network=caffenet``, ``places205``,
``alexnet``; ``generator=ppgn``, ``deepsim_fc6``.

Which layer has which shape is known (`CaffeNet`, `UpConvFc6`); how wide each is, its own bias says,
which has one number an output in every dialect. Shapes written in a file can't be trusted beyond
that: old ones pad with ones at the front. A layer that a network has not (data, loss) is ignored,
as Caffe does; one that is missing is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from invset.core.checks import check_choice
from invset.core.context import own_context
from invset.errors import InvsetError
from invset.nets.caffe.caffenet import CONVOLUTIONS, CaffeNet
from invset.nets.caffe.fill import fill, outputs_of, read_layers, read_mean
from invset.nets.caffe.upconv_fc6 import DECONVOLUTIONS, UpConvFc6
from invset.nets.generator import Generator
from invset.nets.labels import labels as published_labels
from invset.nets.labels import read_labels
from invset.nets.natural import load_prior
from invset.nets.network import Network

#: Public layer names that differ from module names, where fc6 and fc7 are read after their ReLU, as
#: PPGN's encoder does.
AFTER_RELU = {"fc6": "relu6", "fc7": "relu7"}


@own_context()
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
    path, found = read_layers(name, weights)
    outputs = {
        layer: outputs_of(found, layer, path)
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
    net = fill(module, found, path, {"data.mean": subtracted})
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


@own_context()
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
    path, found = read_layers(name, weights)
    outputs = {
        layer: outputs_of(found, layer, path)
        for layer in ("defc7", "defc6", "defc5", *DECONVOLUTIONS)
    }
    seventh, sixth, fifth, *widths, colours = outputs.values()
    if fifth % 16 or colours != 3:
        raise InvsetError(
            f"{path} is no generator of this kind: defc5 and deconv0 have {fifth} and {colours}"
            " outputs, expected 4x4 maps and 3"
        )
    code_dim = found["defc7.weight"].numel() // seventh
    added = read_mean(mean)
    with torch.device("meta"):
        module = UpConvFc6(code_dim, (seventh, sixth), fifth // 16, widths, crop, added)
    net = fill(module, found, path, {"mean": added})
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
        inverts="caffenet",
        device=device,
        in_place=True,  # `display` is of this module
    )


def _labels(labels: str | Path | Sequence[str] | None) -> list[str] | None:
    if isinstance(labels, str) and labels in ("imagenet", "places205"):
        return published_labels(labels)
    if isinstance(labels, (str, Path)):
        return read_labels(labels)
    return None if labels is None else list(labels)


def _names(labels: str | Path | Sequence[str] | None, n_out: int, path: Path) -> list[str] | None:
    names = _labels(labels)
    if names is not None and len(names) != n_out:
        raise InvsetError(
            f"{path} has {n_out} outputs, but there are {len(names)} labels; type"
            " network.labels=null or give its own"
        )
    return names
