"""The reader of ONNX files against Google's protobuf and the onnx package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from caffe_files import write_caffemodel
from caffe_oracle import caffenet_layers, random_blobs
from protobuf_schema import message_class

from invset.errors import InvsetError
from invset.files.onnx import read_onnx
from invset.nets.caffe.load import caffe_network

INT64, FLOAT = 7, 1


def some_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {
        "fc6_w_0": (7, 12),
        "conv1_w_0": (4, 3, 5, 5),
        "conv1_b_0": (4,),
        "fc6_b_0": (7,),
        "fc9_w_0": (2, 2),
    }
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def assert_right(found: dict[str, list[np.ndarray]]) -> None:
    tensors = some_tensors()
    assert list(found) == ["fc6", "conv1", "fc9"]
    assert len(found["fc9"]) == 1
    for layer, blobs in found.items():
        for kind, blob in zip("wb", blobs, strict=False):
            assert blob.dtype == np.float32
            np.testing.assert_array_equal(blob, tensors[f"{layer}_{kind}_0"])


@pytest.fixture(scope="module")
def model_class() -> type:
    tensor = {
        "dims": (1, "repeated int64"),
        "data_type": (2, "int32"),
        "float_data": (4, "packed float"),
        "int64_data": (7, "packed int64"),
        "name": (8, "string"),
        "raw_data": (9, "bytes"),
    }
    node = {"input": (1, "repeated string"), "name": (3, "string")}
    return message_class(
        "Model",
        {
            "Tensor": tensor,
            "Node": node,
            "Graph": {
                "node": (1, "repeated Node"),
                "name": (2, "string"),
                "initializer": (5, "repeated Tensor"),
            },
            "Model": {
                "ir_version": (1, "int64"),
                "producer_name": (2, "string"),
                "graph": (7, "Graph"),
            },
        },
    )


def model_bytes(
    model_class: type, raw: bool, tensors: dict[str, np.ndarray] | None = None
) -> bytes:
    model = model_class(ir_version=3, producer_name="caffe2")
    model.graph.name = "caffenet"
    model.graph.node.add(name="conv1", input=["data_0", "conv1_w_0", "conv1_b_0"])
    for name, array in (tensors or some_tensors()).items():
        tensor = model.graph.initializer.add(name=name, data_type=FLOAT, dims=array.shape)
        if raw:
            tensor.raw_data = array.tobytes()
        else:
            tensor.float_data.extend(array.ravel().tolist())
    model.graph.initializer.add(name="OC2_DUMMY_1", data_type=INT64, dims=[2], int64_data=[1, 9216])
    model.graph.initializer.add(name="flag_w_0", data_type=9, dims=[3], raw_data=b"abc")
    return model.SerializeToString()


@pytest.mark.parametrize("raw", [False, True])
def test_files_of_protobuf(tmp_path, model_class, raw):
    path = tmp_path / "net.onnx"
    path.write_bytes(model_bytes(model_class, raw))
    assert_right(read_onnx(path))


def test_a_network_of_such_a_file(tmp_path, model_class):
    layers = caffenet_layers("pool-norm", 16, 5)
    blobs = random_blobs(layers, seed=0, bias=1.0)
    write_caffemodel(tmp_path / "net.caffemodel", blobs)
    tensors = {
        f"{layer}_{kind}_0": blob
        for layer, pair in blobs.items()
        for kind, blob in zip("wb", pair, strict=True)
    }
    (tmp_path / "net.onnx").write_bytes(model_bytes(model_class, True, tensors))
    x = torch.rand(2, 3, 227, 227, generator=torch.Generator().manual_seed(0))
    first, second = (
        caffe_network(weights=tmp_path / f"net.{kind}", labels=None).module(x)
        for kind in ("caffemodel", "onnx")
    )
    assert torch.equal(first, second)


@pytest.mark.external
@pytest.mark.parametrize("raw", [False, True])
def test_files_of_the_onnx_package(tmp_path, raw):
    onnx = pytest.importorskip("onnx")
    tensors = [
        onnx.helper.make_tensor(
            name,
            onnx.TensorProto.FLOAT,
            array.shape,
            array.tobytes() if raw else array.ravel().tolist(),
            raw=raw,
        )
        for name, array in some_tensors().items()
    ]
    tensors.append(onnx.helper.make_tensor("OC2_DUMMY_1", onnx.TensorProto.INT64, [2], [1, 9216]))
    onnx.save(
        onnx.helper.make_model(onnx.helper.make_graph([], "caffenet", [], [], tensors)),
        tmp_path / "net.onnx",
    )
    assert_right(read_onnx(tmp_path / "net.onnx"))


def test_broken_files(tmp_path, model_class):
    path: Path = tmp_path / "net.onnx"
    whole = model_bytes(model_class, raw=True)
    for content, expected in (
        (whole[:400], r"no .onnx file: at byte \d+ expected field 7 with \d+ bytes, found \d+"),
        (b"<html>", r"at byte 0 expected a field"),
        (
            model_class(ir_version=3).SerializeToString(),
            r"expected tensors like conv1_w_0, found none",
        ),
        (
            whole.replace(b"_w_0", b"_u_0"),
            r"expected tensors like conv1_w_0, found fc6_u_0, conv1_u_0, conv1_b_0",
        ),
        (
            whole.replace(b"\x08\x07\x08\x0c", b"\x08\x07\x08\x0d"),
            r"as many numbers as shape \(7, 13\) has, found 84",
        ),
    ):
        path.write_bytes(content)
        with pytest.raises(InvsetError, match=expected):
            read_onnx(path)
