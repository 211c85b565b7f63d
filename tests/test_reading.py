"""Whatever a file holds: it is read, or one sentence names it."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from report_folders import write_run
from safetensors.torch import save_file

from invset.analysis.reference import Reference
from invset.config.build import bounds
from invset.config.directions import load_direction
from invset.errors import InvsetError
from invset.files.images import load_images
from invset.files.readers import read_weights
from invset.files.reading import read_config, read_json, read_lines, read_rows, reading
from invset.files.tabular import Table
from invset.hub.cache import recorded
from invset.nets.amplitudes import Amplitudes
from invset.nets.caffe.fill import read_mean
from invset.nets.labels import read_labels
from invset.nets.mini import MiniNet
from invset.nets.natural import read_prior
from invset.nets.weights import load_trained, save_mini
from invset.report.run_page import write_report

TABLE = Table(["age"], {"age": [0, 9]})

READERS: dict[str, Callable[[Path], Any]] = {
    **{f"net.{kind}": read_weights for kind in ("pth", "safetensors", "onnx", "mat", "caffemodel")},
    "net.index.json": read_weights,
    "mini.safetensors": lambda path: load_trained(MiniNet, "mini", path),
    "prior.safetensors": read_prior,
    "reference.safetensors": Reference.load,
    "spectrum.safetensors": Amplitudes.load,
    "direction.safetensors": lambda path: load_direction(str(path)),
    "mean.npy": read_mean,
    "bounds.txt": lambda path: bounds(str(path), 4),
    "labels.txt": read_labels,
    "table.csv": TABLE.load,
    "pictures.zip": load_images,
    "config.yaml": lambda path: read_config(path, "write it anew"),
    "net.bin.json": lambda path: recorded(path.with_suffix("")),
}

#: What anything but a folder of pictures may turn out to be.
CONTENTS: dict[str, bytes] = {
    "nothing": b"",
    "noise": np.random.default_rng(0).bytes(3000),
    "a zip": b"PK\3\4" + bytes(500),
    "a pickle": b"\x80\2" + bytes(500),
    "brackets": b"[" * 100_000,
    "a huge length": (1 << 62).to_bytes(8, "little") + b"{" + bytes(100),
    "zeros": bytes(5000),
}


#: Of some, any text will do.
FINE = {("labels.txt", one) for one in CONTENTS if one not in ("noise", "a pickle")}
FINE |= {("config.yaml", "nothing")}


@pytest.mark.parametrize(
    ("name", "content"),
    [pair for pair in itertools.product(READERS, CONTENTS) if pair not in FINE],
)
def test_foreign_content_is_one_sentence_with_the_name(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(CONTENTS[content])
    with pytest.raises(InvsetError) as told:
        READERS[name](path)
    assert name in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a device"])
@pytest.mark.parametrize("name", [name for name in READERS if name != "pictures.zip"])
def test_only_regular_files_are_opened(tmp_path, name, what):
    path = tmp_path / name
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    if name == "net.bin.json":
        assert READERS[name](path) is None  # as if there were none
        return
    with pytest.raises(InvsetError, match=f"{name} is no file, as .* would be"):
        READERS[name](path)


def test_memory_and_ctrl_c_pass_through():
    for error in (MemoryError(), KeyboardInterrupt(), RuntimeError("CUDA out of memory")):
        with pytest.raises(type(error)), reading("a.txt", "a text", "write it anew"):
            raise error


def test_any_other_error_is_a_sentence():
    for error in (RecursionError(), KeyError("a"), AttributeError("no a in b"), OSError(5, "I/O")):
        with (
            pytest.raises(InvsetError, match=r"a\.txt can't be read as a text \(.+\); write"),
            reading("a.txt", "a text", "write it anew"),
        ):
            raise error


@pytest.mark.parametrize(
    "metadata", ["[]", "3", '"text"', "null", "true", "[" * 5000, "{", '{"a": 1}']
)
def test_metadata_of_any_type(tmp_path, metadata):
    save_file({"a": torch.ones(2)}, tmp_path / "m.safetensors", {"mini": metadata})
    with pytest.raises(InvsetError, match=r"m\.safetensors"):
        load_trained(MiniNet, "mini", tmp_path / "m.safetensors")
    save_file({"encodings": torch.ones(2)}, tmp_path / "r.safetensors", {"reference": metadata})
    with pytest.raises(InvsetError, match=r"r\.safetensors can't be read as a reference"):
        Reference.load(tmp_path / "r.safetensors")


def test_metadata_that_claims_a_huge_network_reserves_nothing(tmp_path):
    small = {"widths": (2, 2, 2, 2, 2), "fc6": 3, "fc7": 2, "n_out": 2, "size": 8}
    save_mini(tmp_path / "m.safetensors", MiniNet(**small), small)
    tensors = load_trained(MiniNet, "mini", tmp_path / "m.safetensors")[0].state_dict()
    huge = json.dumps({**small, "fc6": 10**6, "fc7": 10**6})
    plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(plain, tmp_path / "m.safetensors", {"mini": huge})
    with pytest.raises(InvsetError, match=r"fc6\.weight should have shape \(1000000, 2\)"):
        load_trained(MiniNet, "mini", tmp_path / "m.safetensors")


def test_an_array_that_claims_to_be_huge_reserves_nothing(tmp_path):
    np.save(tmp_path / "mean.npy", np.ones((3, 256, 256), "f4"))
    data = (tmp_path / "mean.npy").read_bytes()
    (tmp_path / "mean.npy").write_bytes(data.replace(b"(3, 256, 256)", b"(9999999, 256)", 1)[:500])
    with pytest.raises(InvsetError, match=r"mean\.npy can't be read as a mean image"):
        read_mean(tmp_path / "mean.npy")


def test_a_configuration_of_aliases_is_not_blown_up(tmp_path):
    lines = [
        "a0: &a0 [x, x]",
        *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)),
    ]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    with pytest.raises(InvsetError, match=r"config\.yaml .*it has aliases"):
        read_config(tmp_path / "config.yaml", "write it anew")


TEXT = "Köln\n犬, 'dog'\nÅ=$x"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_text_says_its_encoding(tmp_path, encoding, end):
    (tmp_path / "a.txt").write_bytes(TEXT.replace("\n", end).encode(encoding))
    assert read_lines(tmp_path / "a.txt", "labels", "") == TEXT.split("\n")


def test_lines_end_where_lines_end(tmp_path):
    (tmp_path / "a.txt").write_text("a\x0bb\x1cc\u2028d\x85e\n\nf\n", encoding="utf-8")
    assert read_labels(tmp_path / "a.txt") == ["a\x0bb\x1cc\u2028d\x85e", "", "f"]


def test_a_text_in_another_encoding(tmp_path):
    (tmp_path / "a.txt").write_bytes("Köln".encode("latin-1"))
    with pytest.raises(InvsetError, match=r"a\.txt is no text in UTF-8 \(byte 1\); save it as"):
        read_labels(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no header"),
        ("a,b\n1\n", "row 1 has 1 cells for 2 columns"),
        ("a,b\n1,2\n1,2,3\n", "row 2 has 3 cells"),
        ("a\n" + "x" * 200_000, "field larger"),
    ],
)
def test_tables_that_are_none(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InvsetError, match=rf"a\.csv can't be read as a table \(.*{message}"):
        read_rows(tmp_path / "a.csv", "a table", "")


def test_a_column_that_is_there_twice(tmp_path):
    (tmp_path / "a.csv").write_text("age,age\n1,2\n")
    with pytest.raises(InvsetError, match=r"has 2 column 'age'; .* each once"):
        TABLE.load(tmp_path / "a.csv")


def test_json_that_is_no_object(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(InvsetError, match="it holds list, no object"):
        read_json(tmp_path / "a.json", "a summary", "")


@pytest.mark.parametrize("limit", [0, -1, 1.5, True])
def test_limits_are_whole_numbers(tmp_path, limit):
    (tmp_path / "a.csv").write_text("age\n1\n")
    with pytest.raises(InvsetError, match="limit= is a whole number of at least 1"):
        TABLE.load(tmp_path / "a.csv", limit)


@pytest.mark.parametrize("key", ["neurons", "ranges", "figures", "sentences", "log", "status"])
@pytest.mark.parametrize("value", [None, 3, [], [{}], "text", {"a": [1]}])
def test_a_summary_of_any_type_gives_a_page_or_a_sentence(tmp_path, key, value):
    folder = write_run(tmp_path / "run", 2)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, key: value}))
    with suppress(InvsetError):  # any other error fails the test
        write_report(folder)
