"""Hydra's own flags, completion, and what a sweep tells of jobs in other processes."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from invset import __version__, cli
from invset.cli import COMMANDS, flags_last
from invset.commands.outcome import exit_code, objective, told, worst
from invset.completion import complete, found
from invset.config.compose import compose, loader
from invset.errors import InvsetError
from invset.launch import _hold, _Job

CONFIGURED = {name: config for name, (_, config, _) in COMMANDS.items()}


@pytest.mark.parametrize(
    ("line", "words"),
    {
        "invset r": ["run ", "report "],
        "invset train ": ["network ", "generator ", "autoencoder "],
        "invset run networ": ["network.", "network="],
        "invset run network=mini6": ["network=mini64"],
        "invset run -m sampler=two_stage sampler.sl": ["sampler.slack="],
        "invset run --mul": ["--multirun"],
        "invset run network=none neu": [],
        "invset fetch caf": [],
        "invset nothing ": [],
    }.items(),
)
def test_completion(line: str, words: list[str]) -> None:
    assert found(line, CONFIGURED) == words


def test_completion_knows_own_options(own: Path) -> None:
    line = f"invset run --config-dir {own} sampler=ow"
    assert found(line, CONFIGURED) == ["sampler=own"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no Bash here")
def test_bash_takes_what_is_found() -> None:
    (script,) = complete(["install=bash"], CONFIGURED)
    typed = "invset run network=mi"
    code = f"""invset() {{ test "$COMP_LINE" = "{typed}" && printf '%s\\n' network=mini{{,64}}; }}
{script}
COMP_LINE="{typed} and more" COMP_POINT={len(typed)}
for word in mi network=mi; do
    _invset_complete invset $word run; echo "${{COMPREPLY[@]}}"
done"""
    done = subprocess.run(["bash", "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "mini mini64\nnetwork=mini network=mini64\n"


@pytest.mark.parametrize("words", [[], ["install=tcsh"], ["n=1"]])
def test_no_completion(words: list[str]) -> None:
    with pytest.raises(InvsetError, match="type invset -sc install=bash"):
        complete(words, CONFIGURED)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "mine" / "sampler").mkdir(parents=True)
    text = "defaults: [stream]\nwalk: 0.625\n"
    (tmp_path / "mine" / "sampler" / "own.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "mine"


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["invset", *words])
    GlobalHydra.instance().clear()
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("form", ["--config-dir {}", "--config-dir={}", "-cd {}"])
def test_a_folder_of_options_anywhere(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    own: Path,
    place: int,
    form: str,
) -> None:
    words = ["list", "options", "sampler=own"]
    assert typed(monkeypatch, *words[:place], *form.format(own).split(" "), *words[place:]) == 0
    assert "sampler.walk=0.625" in capsys.readouterr().out


def test_flags_before_the_command() -> None:
    assert flags_last(["-m", "--cfg", "job", "run", "n=1"]) == ["run", "n=1", "-m", "--cfg", "job"]
    assert flags_last(["run", "-m"]) == ["run", "-m"]
    with pytest.raises(InvsetError, match="a command is missing"):
        flags_last(["--config-dir", "run"])


def test_no_folder_of_options() -> None:
    with pytest.raises(InvsetError, match="no folder of options nowhere"):
        loader(more="nowhere")


def test_version_anywhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--version"], ["run", "--version"], ["fit", "prior", "out=x", "-V"]):
        assert typed(monkeypatch, *words) == 0
        assert capsys.readouterr().out == f"invset {__version__}\n"


def test_verbose_lets_libraries_log() -> None:
    quiet = compose("run", with_hydra=True).hydra
    assert quiet.job_logging.root is None
    verbose = compose("run", ["hydra.verbose=[matplotlib]"], with_hydra=True).hydra
    for logging in (verbose.job_logging, verbose.hydra_logging):
        assert logging.root.handlers == ["terminal"]


def job(sweep: Path, number: int, name: str, content: dict[str, Any] | None) -> Path:
    folder = sweep / str(number)
    folder.mkdir(parents=True)
    if content is not None:
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_exit_codes_are_those_of_the_folders(tmp_path: Path) -> None:
    status = ("reached", "budget", "unreachable", "not finite", "interrupted")
    ended = [job(tmp_path, i, "summary.json", {"status": one}) for i, one in enumerate(status)]
    assert [exit_code(folder) for folder in ended] == [0, 3, 3, 3, 130]
    assert exit_code(job(tmp_path, 5, "summary.json", {"kind": "probe"})) == 0
    assert exit_code(job(tmp_path, 6, "failed.json", {"exit_code": 2})) == 2
    assert exit_code(job(tmp_path, 7, "", None)) == 1
    assert worst(tmp_path) == 130
    assert worst(tmp_path / "none") == 0


def test_jobs_of_other_processes_count(tmp_path: Path) -> None:
    one = _Job(lambda: lambda cfg: 0, "run")
    assert one.ended() == 0
    job(tmp_path, 0, "failed.json", {"exit_code": 2})
    one.sweep = tmp_path
    assert one.ended() == 2
    one.codes = [0, 3]
    assert one.ended() == 3


def test_a_sweeper_is_told_the_objective(tmp_path: Path) -> None:
    summary = {"diversity": {"vendi": 7.5}, "meter": {"seconds": 2}, "judge": None}
    folder = job(tmp_path, 0, "summary.json", summary)
    assert (objective("vendi", folder), objective("seconds", folder)) == (7.5, 2)
    assert math.isnan(objective("kid", folder))
    assert math.isnan(objective("vendi", tmp_path))
    assert told(OmegaConf.create({"objective": "vendi"}), 3, folder) == 7.5
    assert told(OmegaConf.create({"objective": None}), 3, folder) == 3


class Composer:
    """Hydra, as far as a sweep's folder needs it."""

    def compose_config(self) -> Any:
        return OmegaConf.create({"n": 1})


def test_a_launcher_can_send_hydra_to_other_processes() -> None:
    hydra = Composer()
    _hold(hydra, ExitStack(), _Job(lambda: lambda cfg: 0, "run"))
    assert hydra.compose_config() == {"n": 1}
    assert vars(pickle.loads(pickle.dumps(hydra))) == {}
