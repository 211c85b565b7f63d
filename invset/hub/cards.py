"""The weight files that others have published: where each can be had, and how to know it when it
has come.

Only formats that hold numbers and nothing else. Torch mirrors of some of these files exist (a state
dict of the DeePSiM generator, for one), but they are pickles, which can run any code when they are
read: they are left out on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from invset.errors import InvsetError, did_you_mean


@dataclass(frozen=True)
class Source:
    """One address of a file.

    Attributes:
        url: where it lies.
        file: what it is called in the cache; its suffix is its format: caffemodel, mat or onnx.
        checksum: what was published, as "sha1:4c8d…"; None if nothing was. Of the file, not of an
            archive around it.
        member: how the file's path inside the archive at `url` ends; None if `url` is the file
            itself.
    """

    url: str
    file: str
    checksum: str | None = None
    member: str | None = None

    @property
    def download(self) -> str:
        """What the address calls it: the archive's name, or the file's own."""
        return PurePosixPath(urlsplit(self.url).path).name if self.member else self.file


@dataclass(frozen=True)
class Weights:
    """One network's or generator's weights.

    Attributes:
        about: what it is.
        licence: what its authors say.
        numbers: how many weights it holds; a float32 file is at least four times as long.
        option: what takes a file of the user's own instead.
        sources: in the order in which they are tried.
    """

    about: str
    licence: str
    numbers: int
    option: str
    sources: tuple[Source, ...]

    @property
    def size(self) -> str:
        """For people: ``244 MB``."""
        return f"{self.numbers * 4 / 1e6:.0f} MB"


_BVLC = "http://dl.caffe.berkeleyvision.org"
_ONNX = "https://github.com/onnx/models/raw/main/validated/vision/classification/caffenet/model"
_PLACES = "http://places.csail.mit.edu/model"
_LMB = "https://lmb.informatik.uni-freiburg.de/resources/binaries/arxiv2016_alexnet_inversion_with_gans"
_NGUYEN = "http://s.anhnguyen.me"

_DEEPSIM = {"file": "deepsim_fc6.caffemodel", "member": "fc6/generator.caffemodel"}

WEIGHTS = {
    "caffenet": Weights(
        "BVLC reference CaffeNet, 1000 classes of ImageNet",
        "unrestricted use",
        60_965_224,
        "network.weights",
        (
            Source(
                f"{_BVLC}/bvlc_reference_caffenet.caffemodel",
                "bvlc_reference_caffenet.caffemodel",
                "sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
            ),
            Source(
                f"{_BVLC}/caffe_reference_imagenet_model",
                "caffe_reference_imagenet_model.caffemodel",
                "md5:af678f0bd3cdd2437e35679d88665170",
            ),
            Source(
                f"{_ONNX}/caffenet-12.onnx",
                "caffenet-12.onnx",
                "sha256:ea563e5c47d1f58e1717cf1a2d8bf288b8adc07af0ad228b622096cd243aeecb",
            ),
            Source(
                "http://www.vlfeat.org/matconvnet/models/imagenet-caffe-ref.mat",
                "imagenet-caffe-ref.mat",
                "md5:675dd47906d34f4d9a70fc44210d3804",
            ),
        ),
    ),
    "alexnet": Weights(
        "BVLC AlexNet, 1000 classes of ImageNet",
        "unrestricted use",
        60_965_224,
        "network.weights",
        (
            Source(
                f"{_BVLC}/bvlc_alexnet.caffemodel",
                "bvlc_alexnet.caffemodel",
                "sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377",
            ),
            Source(
                f"{_BVLC}/caffe_alexnet_model",
                "caffe_alexnet_model.caffemodel",
                "md5:29eb495b11613825c1900382f5286963",
            ),
        ),
    ),
    "places205": Weights(
        "Places-CNN, 205 kinds of scenes",
        "none stated with the file",
        57_708_109,
        "network.weights",
        (
            Source(
                f"{_PLACES}/placesCNN_upgraded.tar.gz",
                "places205CNN_iter_300000_upgraded.caffemodel",
                member=".caffemodel",
            ),
            Source(
                f"{_PLACES}/placesCNN.tar.gz",
                "places205CNN_iter_300000.caffemodel",
                member=".caffemodel",
            ),
        ),
    ),
    "ppgn_generator": Weights(
        "generator of PPGN (noiseless): images of fc6 codes",
        "none stated with the file; the code of PPGN is MIT",
        56_097_891,
        "generator.weights",
        (Source(f"{_NGUYEN}/181007__generator.caffemodel", "181007__generator.caffemodel"),),
    ),
    "deepsim_fc6": Weights(
        "generator of DeePSiM: the same architecture, other weights",
        "research only",
        56_097_891,
        "generator.weights",
        (
            Source(f"{_LMB}/release_deepsim_v0.zip", **_DEEPSIM),
            Source(f"{_NGUYEN}/release_deepsim_v0.zip", **_DEEPSIM),
        ),
    ),
}


def find_weights(name: str) -> Weights:
    """The entry called `name`.

    Raises:
        InvsetError: no such entry.
    """
    if name not in WEIGHTS:
        raise InvsetError(
            f"there are no published weights {name!r}.{did_you_mean(name, WEIGHTS)} There are"
            f" {', '.join(WEIGHTS)}"
        )
    return WEIGHTS[name]
