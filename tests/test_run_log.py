"""``run.log``: what it holds, that it is the run's own, and that it outlives what ends a run."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from typed import typed

from invset.errors import InvsetError
from invset.files.ledger import LOG, Ledger
from invset.files.owner import owned
from invset.files.run_log import log_in, logged
from invset.files.rundir import RunDir
from invset.progress import Volume, listening

SAYS = logging.getLogger("invset.some")

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) [\w.]+: .+")


def lines(folder: Path) -> list[str]:
    """Levels, names and messages."""
    text = (folder / LOG).read_text(encoding="utf-8")
    return [line.split(" ", 2)[2] if LINE.match(line) else line for line in text.splitlines()]


def begun(folder: Path) -> RunDir:
    rundir = RunDir(folder, listed=True)
    rundir.begin({"config.yaml": "n: 1\n"})
    log_in(rundir)
    return rundir


def ends(folder: Path, wrote: str, error: BaseException) -> None:
    """A run that an error ends, when it has written a file or nothing."""
    rundir = begun(folder)
    if wrote:
        rundir.write_json(wrote, {})
    raise error


def own(folder: Path) -> bool:
    ledger = Ledger(folder)
    return ledger.ours(LOG, ledger.sums())


def test_it_holds_what_was_told_before_the_folder_was_known(tmp_path: Path) -> None:
    with listening(Volume.QUIET), owned(tmp_path), logged():
        SAYS.debug("loading")
        logging.getLogger("others").info("fine")
        logging.getLogger("others").warning("old")
        assert not (tmp_path / LOG).exists()
        begun(tmp_path).write_json("summary.json", {})
        SAYS.info("sampling\x1b[2J\n2026-11-29 00:00:00,000 INFO invset.some: forged")
        # a run may be killed at any time
        assert own(tmp_path)
    found = lines(tmp_path)
    assert found[1:4] == [
        "DEBUG invset.some: loading",
        "WARNING others: old",
        r"INFO invset.some: sampling\x1b[2J",
    ]
    assert found[4].startswith("    2026")
    assert re.fullmatch(r"DEBUG invset\.files\.run_log: ended after \d+\.\d s", found[5])
    assert own(tmp_path)


def test_a_run_that_goes_on_goes_on_with_its_log(tmp_path: Path) -> None:
    with listening(Volume.NORMAL):
        with pytest.raises(KeyboardInterrupt), owned(tmp_path), logged():
            ends(tmp_path, "state.pt", KeyboardInterrupt())
        before = lines(tmp_path)
        assert before[-1] == "ERROR invset.files.run_log: KeyboardInterrupt"
        with owned(tmp_path, resume=True), logged():
            log_in(RunDir(tmp_path, listed=True))
            SAYS.info("going on")
    after = lines(tmp_path)
    assert after[: len(before)] == before
    assert "INFO invset.some: going on" in after[len(before) :]


@pytest.mark.parametrize(("error", "where"), [(InvsetError("no"), False), (KeyError("no"), True)])
def test_why_a_run_ended(error: Exception, where: bool, tmp_path: Path) -> None:
    with listening(Volume.NORMAL), owned(tmp_path):
        with pytest.raises(type(error)), logged():
            ends(tmp_path, "failed.json", error)
        told = "\n".join(lines(tmp_path))
    assert f"ERROR invset.files.run_log: {error}" in told
    assert ("Traceback" in told) is ("test_run_log.py" in told) is where


def test_a_run_that_wrote_nothing_else_leaves_none(tmp_path: Path) -> None:
    with listening(Volume.NORMAL), pytest.raises(InvsetError), owned(tmp_path), logged():
        ends(tmp_path, "", InvsetError("there is not enough memory"))
    assert list(tmp_path.iterdir()) == []


def test_the_log_of_somebody_else_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("mine", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(InvsetError, match=LOG), owned(tmp_path, overwrite):
            pytest.fail("it was taken")
    assert (tmp_path / LOG).read_text(encoding="utf-8") == "mine"


def test_a_script_keeps_none(tmp_path: Path) -> None:
    with owned(tmp_path):
        begun(tmp_path).write_json("summary.json", {})
    assert not (tmp_path / LOG).exists()


def test_a_command_is_quiet_and_its_log_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "run network=mini neuron=horse z1=4 z2=6 n=2 K=2 judge=null animation=false"
    words += f" report=false hydra.run.dir={tmp_path}/out"
    assert typed(monkeypatch, *words.split(), "-q") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[-1] == f"{tmp_path}/out/samples.png"
    told = "\n".join(lines(tmp_path / "out"))
    assert "INFO invset.commands.run_job: mini, mini, prior=natural: fc8:8 horse in [4, 6]" in told
    for stage in ("building the network", "sampling: 2 samples", "writing files"):
        assert f"DEBUG invset.progress: {stage}" in told
    overrides = (tmp_path / "out" / ".hydra" / "overrides.yaml").read_text(encoding="utf-8")
    assert "-q" not in overrides
