"""A state is read back whole or not at all, and goes on where it belongs."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typed import typed

from invset.errors import InvsetError
from invset.files.sealed import MAGIC, read_sealed, write_sealed
from invset.files.surroundings import Surroundings
from invset.samplers import drive as driver

STATE = {
    "axes": torch.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "turned": torch.arange(6).reshape(2, 3).T,
    "none": torch.zeros(0, 4, dtype=torch.bfloat16),
    "scalar": torch.tensor(True),
    "plain": [1, 2.5, float("inf"), None, "é", (True, [])],
    7: {"nested": {1: 2}},
}


def alike(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b) and a.stride() == b.stride()
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
    return repr(a) == repr(b)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_sealed(tmp_path / "state.pt", STATE)
    assert alike(read_sealed(tmp_path / "state.pt", "again"), STATE)
    with pytest.raises(TypeError, match="can't hold set"):
        write_sealed(tmp_path / "state.pt", {1, 2})


def test_no_wrong_bit_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    write_sealed(path, STATE)
    content = path.read_bytes()
    drawn = random.Random(0)
    for bit in [*range(8 * 64), *(drawn.randrange(8 * len(content)) for _ in range(500))]:
        wrong = bytearray(content)
        wrong[bit // 8] ^= 1 << bit % 8
        path.write_bytes(wrong)
        with pytest.raises(InvsetError, match="again"):
            read_sealed(path, "again")


@pytest.mark.parametrize("end", [0, 1, len(MAGIC), len(MAGIC) + 32, 300, -1])
def test_half_a_file_is_a_sentence(tmp_path: Path, end: int) -> None:
    path = tmp_path / "state.pt"
    write_sealed(path, STATE)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(InvsetError, match="again"):
        read_sealed(path, "again")


FOREIGN: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.touch(),
    "text": lambda path: path.write_text("a picture of a cat"),
    "torch": lambda path: torch.save({"state": 1}, path),
    "safetensors": lambda path: save_file({"a": torch.ones(2)}, path),
    "another value": lambda path: write_sealed(path, [1]),
    "forged": lambda path: write_sealed(path, {"surroundings": 1, "changed": 0, "state": 0}),
    "folder": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to("/dev/zero"),
}

WORDS = ["network=mini", "neuron=horse", "z1=4", "z2=6", "n=6", "K=3", "progress=false"]
WORDS += ["report=false", "animation=false", "judge=null"]


def interrupted(patch: pytest.MonkeyPatch, folder: Path, *words: str) -> Path:
    """The folder of a run that Ctrl-C ended."""
    original, calls = driver.closest, []

    def ctrl_c(*args: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return original(*args)  # type: ignore[arg-type]

    with patch.context() as inner:
        inner.setattr("invset.samplers.drive.closest", ctrl_c)
        assert typed(inner, "run", *words, f"hydra.run.dir={folder}") == 130
    return folder


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return interrupted(patch, tmp_path_factory.mktemp("cut") / "run", *WORDS)


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_state_is_a_sentence(
    kind: str, cut: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cut / "state.pt"
    path.rename(cut / "kept")
    try:
        FOREIGN[kind](path)
        capsys.readouterr()
        assert typed(monkeypatch, "run", "--resume", str(cut)) == 2
        err = capsys.readouterr().err
        assert err.startswith("invset: ")
        assert "state.pt" in err
        assert err.count("\n") == 1
    finally:
        (path.rmdir if kind == "folder" else path.unlink)()
        (cut / "kept").rename(path)


def test_a_state_goes_on_where_it_belongs(
    cut: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = cut / ".hydra" / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("z2: 6", "z2: 7").replace("progress: false", "progress: true"))
    assert typed(monkeypatch, "run", "--resume", str(cut)) == 2
    err = capsys.readouterr().err
    assert "here: z2 was 6 and is 7; put the configuration back as it was, or start a new" in err
    config.write_text(text)
    threads = torch.get_num_threads()
    for name, change, told in (
        ("torch.__version__", "99.0.0", r"torch was .* and is 99\.0\.0; install the same versions"),
        ("invset.files.surroundings.__version__", "9", "invset was .* and is 9; install"),
        (
            "torch.get_num_threads",
            lambda: 99,
            rf"threads was {threads} and is 99; type OMP_NUM_THREADS={threads} .*--accept threads",
        ),
        ("torch.backends.cpu.get_cpu_capability", lambda: "Z", r"device was .*Z\); go on where"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(name, change)
            assert typed(patch, "run", "--resume", str(cut)) == 2
        err = capsys.readouterr().err
        assert re.search(told, err), err
        assert err.count("\n") == 1
    assert typed(monkeypatch, "run", "--resume", str(cut), "--accept", "thread") == 2
    assert "thread can't be accepted. Did you mean threads?" in capsys.readouterr().err


def test_what_is_accepted_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = interrupted(monkeypatch, tmp_path / "a run", *WORDS)
    threads = torch.get_num_threads()
    monkeypatch.setattr("torch.get_num_threads", lambda: 99)
    assert typed(monkeypatch, "run", "--resume", str(folder)) == 2
    assert f"invset run --resume '{folder}' --accept threads" in capsys.readouterr().err
    assert typed(monkeypatch, "run", "--accept=threads", "--resume", str(folder)) == 0
    told = f"although threads was {threads} and is 99"
    assert f"going on, {told}" in capsys.readouterr().err
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["sentences"][-1] == f"It was interrupted, and went on {told}."


MODULE = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(3 * 32 * 32, 1024)
        self.head = nn.Linear(1024, 4)
    def forward(self, x):
        return self.head(self.body(x.flatten(1)) * 1.0)
def build():
    return Net()
"""


def test_files_weights_and_code_belong_to_a_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module, clip = tmp_path / "a_net_of_mine.py", tmp_path / "clip.txt"
    module.write_text(MODULE)
    clip.write_text("30 " * 1024)
    words = ["network=custom", "network.module._target_=a_net_of_mine.build", "neuron=1", "z1=-9"]
    words += ["z2=9", "n=9", "K=2", "network.image_size=32", "generator=mini", "progress=false"]
    words += ["report=false", "reference=null", "prior=clip", "clip=clip.txt", "animation=false"]
    capsys.readouterr()
    interrupted(monkeypatch, tmp_path / "cut", *words)
    command = f"invset run --resume {tmp_path}/cut --trust a_net_of_mine.build"
    assert f"go on with: {command}" in capsys.readouterr().out
    go_on = ["run", "--resume", "cut", "--trust", "a_net_of_mine"]

    def other_code() -> None:
        module.write_text(MODULE.replace("1.0", "2.0"))

    def other_file() -> None:
        clip.write_text("29 " * 1024)

    def other_weights() -> None:
        monkeypatch.setattr("torch.manual_seed", lambda seed: None)

    for change, told in (
        (other_file, "clip was .* put the files back"),
        (other_code, r"a_net_of_mine\.py was .* put the code back"),
        (other_weights, "network was .* take the same weights"),
    ):
        before = {path: path.read_text() for path in (clip, module)}
        capsys.readouterr()
        change()
        assert typed(monkeypatch, *go_on) == 2
        err = capsys.readouterr().err
        assert re.search(told, err)
        assert "--trust a_net_of_mine.build --accept " in err
        for path, text in before.items():
            path.write_text(text)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert typed(monkeypatch, *go_on) == 0


def test_a_run_goes_on_on_another_device_and_in_other_portions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "of a GPU")
        patch.setattr("invset.problem.passes.free_memory", lambda device: 2**20)
        interrupted(patch, folder, *WORDS, "runtime.autocast=off")
    config = folder / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("device: auto", "device: cuda"))
    go_on = ["run", "--resume", str(folder)]
    assert typed(monkeypatch, *go_on) == 2
    assert "there is no CUDA device here; type device=cpu" in capsys.readouterr().err
    assert typed(monkeypatch, *go_on, "device=cpu", "runtime.micro_batch=2") == 0
    told = capsys.readouterr().err
    assert re.search(r"although runtime\.micro_batch was auto and is 2, device was .*GPU", told)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "reached"
    assert summary["runtime"]["micro_batch"] == 2
    assert summary["runtime"]["split"] is None  # it was of the other device
    assert "although runtime.micro_batch was auto and is 2" in summary["sentences"][-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["n=20"], "and nothing else (unrecognized arguments: n=20); type: invset"),
        (["runtime=fast"], "unrecognized arguments: runtime=fast"),
        (["runtime.micro_batch=1,2"], "runtime.micro_batch=1,2 has several values"),
        (["runtime.autocast='bf16"], "runtime.autocast='bf16 can't be read ("),
        (["runtime.autocast=bf17"], "must be off, bf16 or tf32"),
        (["runtime.micro_batches=2"], "Did you mean micro_batch"),
        (["device=gpu"], "device=gpu is unknown"),
    ],
)
def test_other_options_are_refused(
    words: list[str],
    message: str,
    cut: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    assert typed(monkeypatch, "run", "--resume", str(cut), *words) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_state_that_knows_fewer_kinds(tmp_path: Path) -> None:
    """Of an earlier version."""
    path = tmp_path / "state.pt"
    Surroundings({"options": {"n": 1, "report": "any"}}, "options").write(path, {"a": 1})
    parts = {"options": {"n": 1, "report": False, "device.b": 2}, "runtime": {"autocast": "off"}}
    around = Surroundings(parts, "options", ("report", "device"))
    assert around.read(path, "again", (), "") == {"a": 1}
    assert around.changed == []
    with pytest.raises(InvsetError, match="report was any and is False"):
        Surroundings(parts, "options", ("device",)).read(path, "again", (), "")
