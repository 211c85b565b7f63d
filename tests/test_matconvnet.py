"""The reader of MatConvNet's files, with files that SciPy writes as MatConvNet's converter does."""

from __future__ import annotations

import random
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from caffe_files import write_caffemodel
from caffe_oracle import caffenet_layers, random_blobs
from scipy.io import loadmat, savemat

from invset.errors import InvsetError
from invset.files.matconvnet import read_matconvnet
from invset.files.matlab import read_variables
from invset.nets.caffe.load import caffe_network

MAP = (
    3,
    2,
)  # height and width of pool5 here: unequal, so that they can't be mistaken for each other


def caffe_blobs() -> dict[str, list[np.ndarray]]:
    """As Caffe has them: the numbers that must come back."""
    rng = np.random.default_rng(0)
    shapes = {"conv1": (4, 3, 5, 6), "conv2": (6, 2, 3, 2), "fc6": (7, 6 * 3 * 2), "fc8": (5, 7)}
    return {
        name: [rng.standard_normal(shape).astype("f"), rng.standard_normal(shape[0]).astype("f")]
        for name, shape in shapes.items()
    }


def converted(name: str, weights: np.ndarray, map_: tuple[int, int] = MAP) -> np.ndarray:
    """Step by step what import-caffe.py of MatConvNet does: all axes reversed, x and y exchanged,
    BGR to RGB.
    """
    filters = weights.transpose()
    if name.startswith("fc"):
        height, width = map_ if name == "fc6" else (1, 1)
        filters = filters.reshape(
            [width, height, weights.shape[1] // (height * width), len(weights)], order="F"
        )
    filters = filters.transpose([1, 0, 2, 3])
    return filters[:, :, ::-1, :] if name == "conv1" else filters


def struct(**fields: Any) -> np.ndarray:
    """A MATLAB struct, made as import-caffe.py makes it."""
    made = np.empty((1,), dtype=[(name, object) for name in fields])
    for name, value in fields.items():
        made[name][0] = value
    return made


def cells(*values: Any) -> np.ndarray:
    made = np.empty((1, len(values)), dtype=object)
    made[0, :] = values
    return made


def write(
    path: Path,
    layout: str = "weights",
    mean: np.ndarray | None = None,
    blobs: dict[str, list[np.ndarray]] | None = None,
    map_: tuple[int, int] = MAP,
    **extra: Any,
) -> None:
    layers = []
    for name, (weights, bias) in (blobs or caffe_blobs()).items():
        both = (converted(name, weights, map_), bias.reshape(1, -1))
        kept = (
            {"weights": cells(*both)}
            if layout == "weights"
            else {"filters": both[0], "biases": both[1]}
        )
        layers.append(
            struct(name=name, type="conv", **kept, pad=np.zeros((1, 4)), stride=np.ones((1, 2)))
        )
        layers.append(struct(name=f"relu_{name}", type="relu", weights=cells(), leak=0.0))
        layers.append(struct(name=f"norm_{name}", type="lrn", param=np.array([[5, 1, 2e-5, 0.75]])))
    normalization = struct(
        averageImage=np.zeros((0,)) if mean is None else mean,
        imageSize=np.array([[227.0, 227.0, 3.0, 10.0]]),
    )
    classes = struct(name=cells("n1", "n2"), description=cells("one", "two"))
    found = (
        {"meta": struct(normalization=normalization, classes=classes)}
        if layout == "weights"
        else {"normalization": normalization}
    )
    savemat(path, {"layers": cells(*layers), **found, **extra}, oned_as="column")


@pytest.mark.parametrize("layout", ["weights", "filters and biases"])
def test_arrays_come_back_as_caffe_has_them(tmp_path, layout):
    write(tmp_path / "net.mat", layout, other=np.ones(3))
    found = read_matconvnet(tmp_path / "net.mat")
    assert list(found) == list(caffe_blobs())
    for name, blobs in caffe_blobs().items():
        for ours, theirs in zip(found[name], blobs, strict=True):
            assert (ours.dtype, ours.shape) == (np.float32, theirs.shape)
            assert ours.flags.c_contiguous
            np.testing.assert_array_equal(ours, theirs)


def test_a_network_of_such_a_file(tmp_path):
    blobs = random_blobs(caffenet_layers("pool-norm", 16, 5), seed=0, bias=1.0)
    write_caffemodel(tmp_path / "net.caffemodel", blobs)
    write(tmp_path / "net.mat", blobs=blobs, map_=(6, 6))
    x = torch.rand(2, 3, 227, 227, generator=torch.Generator().manual_seed(0))
    first, second = (
        caffe_network(weights=tmp_path / f"net.{kind}", labels=None).module(x)
        for kind in ("caffemodel", "mat")
    )
    assert torch.equal(first, second)


def test_one_filter_whose_axis_matlab_drops(tmp_path):
    filters = np.arange(24, dtype="f").reshape(2, 3, 4)
    savemat(
        tmp_path / "net.mat",
        {"layers": cells(struct(name="a", weights=cells(filters, np.ones((1, 1)))))},
    )
    weights, bias = read_matconvnet(tmp_path / "net.mat")["a"]
    np.testing.assert_array_equal(weights, filters.transpose(2, 0, 1)[None])
    assert bias.tolist() == [1]


# Files that are none


@pytest.mark.parametrize("compressed", [False, True])
def test_variables_are_those_that_scipy_reads(tmp_path, compressed):
    kinds = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
    numbers = {kind: np.arange(12).astype(kind).reshape(2, 2, 1, 3) for kind in kinds}
    held = {**numbers, "text": "Köln", "nested": cells(struct(a=cells(1.5), b="x"), np.ones(3))}
    savemat(tmp_path / "a.mat", held, do_compression=compressed)
    found = read_variables((tmp_path / "a.mat").read_bytes(), held)
    expected = loadmat(tmp_path / "a.mat")
    for name in numbers:
        assert found[name].dtype == expected[name].dtype
        assert np.array_equal(found[name], expected[name])
    assert found["text"] == "Köln"
    first, second = found["nested"]
    assert (first["a"][0].item(), first["b"]) == (1.5, "x")
    assert second.ravel().tolist() == [1, 1, 1]


def test_a_variable_that_claims_to_be_huge_reserves_nothing(tmp_path):
    savemat(tmp_path / "a.mat", {"layers": np.ones(4)}, do_compression=True)
    content = (tmp_path / "a.mat").read_bytes()
    tag = np.array([14, 2**31], "<u4").tobytes()
    packed = zlib.compress(tag + bytes(1 << 16))
    claimed = content[:128] + np.array([15, len(packed)], "<u4").tobytes() + packed
    with pytest.raises(ValueError, match="claims to have 2,147,483,648 bytes"):
        read_variables(claimed, ("layers",))


def test_foreign_files(tmp_path):
    path = tmp_path / "net.mat"
    for content in (
        b"",
        b"<html>404</html>",
        bytes(300),
        b"\x89HDF\r\n\x1a\n" + bytes(600),
        b"MATLAB 7.3 MAT-file" + b" " * 105 + b"\0\2IM" + bytes(99),
    ):
        path.write_bytes(content)
        with pytest.raises(
            InvsetError, match=r"net.mat .*expected a SimpleNN network of MatConvNet"
        ):
            read_matconvnet(path)
    with pytest.raises(
        InvsetError, match=r"absent.mat can't be read as weights \(No such file or directory\)"
    ):
        read_matconvnet(tmp_path / "absent.mat")


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (np.ones((2, 2)), "holds no layers with weights"),
        (cells(struct(name="a", type="relu")), "holds no layers with weights"),
        (
            cells(struct(name="a", weights=cells(np.ones((2, 2, 3, 4)), np.ones((1, 5))))),
            r"layer a has weights of shape \(2, 2, 3, 4\) and \(1, 5\)",
        ),
        (
            cells(struct(name="a", weights=cells(np.ones((2, 2, 3, 4, 5))))),
            r"layer a has weights of shape \(2, 2, 3, 4, 5\)",
        ),
        (cells(struct(name="a", weights=cells("text", "more"))), "layer a has weights"),
        (cells(struct(name="a", weights=np.ones((2, 2)))), "layer a has weights"),
        (cells(struct(name=cells("a", "b"), weights=cells("text"))), "layer layer1 has"),
    ],
)
def test_other_contents(tmp_path, layers, expected):
    savemat(tmp_path / "net.mat", {"layers": layers})
    with pytest.raises(InvsetError, match=expected):
        read_matconvnet(tmp_path / "net.mat")


def test_truncations(tmp_path):
    path = tmp_path / "net.mat"
    write(path)
    content = path.read_bytes()
    rng = random.Random(0)
    for _ in range(200):
        path.write_bytes(content[: rng.randrange(len(content))])
        with pytest.raises(InvsetError, match="expected a SimpleNN network of MatConvNet"):
            read_matconvnet(path)
