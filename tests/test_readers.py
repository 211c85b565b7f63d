"""One reader of weights for every format: the same numbers come out of each, whatever a file is
called.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from caffe_files import write_caffemodel
from safetensors.torch import save_file
from torch import Tensor, nn

from invset.errors import InvsetError
from invset.files.readers import FORMATS, read_weights
from invset.files.tensors import read_arrays, read_safetensors, write_tensors

BLOBS = {
    "conv1": [np.arange(24, dtype="f").reshape(2, 3, 2, 2), np.array([1, 2], "f")],
    "fc": [np.arange(6, dtype="f").reshape(3, 2), np.array([3, 4, 5], "f")],
}


def tensors() -> dict[str, Tensor]:
    parts = ("weight", "bias")
    return {
        f"{layer}.{part}": torch.from_numpy(blob)
        for layer, blobs in BLOBS.items()
        for part, blob in zip(parts, blobs, strict=True)
    }


def write(path: Path, kind: str) -> None:
    if kind == "caffemodel":
        write_caffemodel(path, BLOBS)
    elif kind == "safetensors":
        save_file(tensors(), path)
    elif kind == "checkpoint":
        torch.save({"state_dict": tensors(), "epoch": 3}, path)
    else:
        torch.save(tensors(), path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["caffemodel", "safetensors", "zip", "pickle", "checkpoint"])
@pytest.mark.parametrize("name", ["weights", "weights.pth", "weights.safetensors", "weights.mat"])
def test_what_a_file_is_counts_and_not_what_it_is_called(tmp_path, kind, name):
    write(tmp_path / name, kind)
    found = read_weights(tmp_path / name)
    assert found.keys() == tensors().keys()
    for key, expected in tensors().items():
        assert torch.equal(found[key].reshape(expected.shape), expected), key


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.pth", r"can't be read as weights \(torch.save .*\); save it with torch\.save"),
        ("a.safetensors", r"a\.safetensors can't be read as a safetensors file .*torch\.save"),
        ("a.caffemodel", r"no \.caffemodel file"),
        ("a.onnx", r"no \.onnx file"),
        ("a.mat", "expected a SimpleNN network"),
        ("a.txt", r"no file of weights that invset reads; it reads \.safetensors, \.pth"),
    ],
)
def test_a_text_is_told_by_its_suffix(tmp_path, name, message):
    (tmp_path / name).write_text("hello, hello")
    with pytest.raises(InvsetError, match=message):
        read_weights(tmp_path / name)


def test_no_file(tmp_path):
    with pytest.raises(InvsetError, match=re.escape(f"no weights at {tmp_path / 'a.pth'}")):
        read_weights(tmp_path / "a.pth")


class Harmful:
    """What a pickle can do to who reads it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("harmed"),)


def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Harmful()}, tmp_path / "a.pth")
    with pytest.raises(InvsetError, match="can't be read"):
        read_weights(tmp_path / "a.pth")
    assert not (tmp_path / "harmed").exists()


def test_layers_with_more_than_two_blobs(tmp_path):
    blobs = {"bn": [np.array([i], "f") for i in (1, 2, 3)]}
    write_caffemodel(tmp_path / "n.caffemodel", blobs)
    found = read_weights(tmp_path / "n.caffemodel")
    assert {name: t.item() for name, t in found.items()} == {
        "bn.weight": 1,
        "bn.bias": 2,
        "bn.2": 3,
    }


def test_weights_of_caffe_go_into_a_module_of_ones_own(tmp_path):
    write_caffemodel(tmp_path / "n.caffemodel", {"0": BLOBS["fc"]}, dialect="layer")
    module = nn.Sequential(nn.Linear(2, 3))
    module.load_state_dict(read_weights(tmp_path / "n.caffemodel"))
    assert torch.equal(module(torch.tensor([1.0, 0.0])), torch.tensor([3.0, 6.0, 9.0]))


def test_no_suffix_means_two_formats():
    suffixes = [suffix for one in FORMATS for suffix in one.suffixes]
    assert len(suffixes) == len(set(suffixes))


def test_arrays_and_tensors_are_the_same(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, tensors(), {"about": "me"})
    found, metadata = read_safetensors(path, "numbers", "make some")
    arrays = read_arrays(path, "numbers", "make some")
    assert metadata == {"about": "me"}
    assert arrays.keys() == found.keys() == tensors().keys()
    for name, tensor in found.items():
        np.testing.assert_array_equal(arrays[name], tensor.numpy())
        assert torch.equal(tensor, tensors()[name])


@pytest.mark.parametrize("read", [read_arrays, read_safetensors])
def test_files_without_tensors(tmp_path, read):
    with pytest.raises(InvsetError, match=r"no numbers at .*a; make some"):
        read(tmp_path / "a", "numbers", "make some")
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(InvsetError, match=r"a can't be read as a safetensors file .*; make some"):
        read(tmp_path / "a", "numbers", "make some")
