"""The folder of a run: what it holds, written whole or not at all.

.hydra/                the configuration
.invset/               which files runs wrote here, and the lock of the run that works here
samples.png            a grid of samples
samples/00001.png …    every sample, 8 bits; of a table, a picture of its row
samples.csv            every sample of a table, a row each
samples.safetensors    codes, encodings, activations
activations.csv        a row a sample
optimization.csv       a row a gradient step
summary.json           counts, quality, timings, versions
animation.gif, .mp4    the samples in the order they were taken
report.html            the run as a page
run.log                what was told, and when
failed.json            only in a sweep: why the job ended without a result
state.pt               only while the run is not finished: where to resume
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invset.errors import InvsetError
from invset.files.ledger import Ledger
from invset.files.own_options import own_words_in
from invset.files.reading import read_words
from invset.progress import bar
from invset.whole import put, unfinished

if TYPE_CHECKING:
    from torch import Tensor

    from invset.files.medium import Medium
    from invset.files.surroundings import Surroundings

#: What a person does whose run can't go on.
AGAIN = "start a new run with: invset run …"

# torch is imported where tensors are written, because a report is made without it


class RunDir:
    """A run's folder, made if it is not there.

    Args:
        path: of the folder.
        listed: list what is written, in a folder that keeps such a list: it is a run's own.

    Raises:
        InvsetError: the folder can't be written to.
    """

    def __init__(self, path: str | Path, listed: bool = False) -> None:
        self.path = Path(path)
        self.ledger = Ledger(self.path)
        self.listed = listed
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):  # it has no name that could be a person's
                pass
        except OSError as error:
            raise InvsetError(
                f"can't write to {self.path} ({error.strerror}); type out=, or for a run"
                " hydra.run.dir=, and a folder of yours"
            ) from error

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write(self, name: str, how: Callable[[Path], Any]) -> Path:
        """Let `how` write a temporary file, then rename it to `name`. The file is on the disk
        before it has its name.

        Raises:
            InvsetError: it can't be written.
        """
        try:
            return self._write(name, how)
        except OSError as error:
            raise InvsetError(
                f"can't write {self.path / name} ({error.strerror or error}); make room there, or"
                " type out=, or for a run hydra.run.dir=, and another folder"
            ) from error

    def _write(self, name: str, how: Callable[[Path], Any]) -> Path:
        target = self.path / name
        if target.parent != self.path:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.parent.is_symlink():
                raise InvsetError(
                    f"{target.parent} is a link, which may lead to files of others; delete the link"
                )
        with unfinished(target) as temporary:
            if self.listed and self.ledger.kept:
                self.ledger.note(temporary.relative_to(self.path).as_posix(), None)
            how(temporary)
            if self.listed and self.ledger.kept:
                self.ledger.note(name, temporary)
            put(temporary, target)
        return target

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        self.write(name, lambda path: path.write_text(text, encoding="utf-8"))

    def write_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Write a table whose columns are the keys of all rows; a cell is empty where a row has no
        such key, or None.
        """
        header = list(dict.fromkeys(key for row in rows for key in row))
        return self.write_csv(name, header, [[row.get(key) for key in header] for row in rows])

    def write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
        def how(path: Path) -> None:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(header)
                writer.writerows(rows)

        return self.write(name, how)

    def write_tensors(self, name: str, tensors: dict[str, Tensor]) -> None:
        from invset.files.tensors import write_tensors

        self.write(name, lambda path: write_tensors(path, tensors))

    def write_samples(self, medium: Medium, stored: Tensor, drawn: bool = True) -> None:
        """Write the files of samples in the stored form of their medium; without `drawn` those
        alone that are no picture of a sample, such as a table.
        """
        with bar("writing samples", medium.noun) as progress:
            for done, (name, how) in enumerate(medium.files(stored)):
                progress(done, len(stored))
                if drawn or not name.startswith("samples/"):
                    self.write(name, how)
            progress(len(stored), len(stored))

    def save_state(self, state: dict[str, Any], around: Surroundings) -> None:
        self.write("state.pt", partial(around.write, state=state))

    def load_state(
        self, around: Surroundings, accept: Sequence[str], command: str
    ) -> dict[str, Any]:
        """What `save_state` wrote.

        Args:
            around: what the state has to belong to.
            accept: kinds of surroundings that may differ.
            command: that goes on with the run.

        Raises:
            InvsetError: there is nothing to resume, or it does not belong here.
        """
        check_resumable(self.path)
        way = f"{command} --accept {{}}"
        state = around.read(self.path / "state.pt", AGAIN, accept, way)
        (self.path / "failed.json").unlink(missing_ok=True)  # why it ended before
        return state

    def overrides(self) -> list[str]:
        """What was typed to start the run."""
        return overrides_in(self.path)

    def typed(self) -> list[str]:
        """The same, with ``--config-dir``: what runs again."""
        return [*own_words_in(self.path), *self.overrides()]

    def begin(self, config: Mapping[str, str]) -> None:
        """Delete what earlier runs wrote into the folder, and nothing else; write the configuration
        of the run that begins.

        Args:
            config: name of a file of ``.hydra/`` -> its text.
        """
        self.ledger.remove()
        for name, text in config.items():
            self.write(f".hydra/{name}", partial(Path.write_text, data=text, encoding="utf-8"))

    def finish(self) -> None:
        """The run is complete: there is nothing to resume."""
        (self.path / "state.pt").unlink(missing_ok=True)


def overrides_in(folder: Path) -> list[str]:
    """What was typed to start the run in a folder; as it was typed, with nothing in it resolved:
    the folder may be somebody else's, and ask for what lies in the environment.
    """
    path = folder / ".hydra" / "overrides.yaml"
    if not path.exists():
        return []
    return read_words(path, "run it again")


def folder_of(out: Path) -> RunDir:
    """The folder of one file that is to be written.

    Raises:
        InvsetError: `out` is a folder, or lies in one that can't be written to.
    """
    if out.is_dir():
        raise InvsetError(
            f"out={out} is a folder; type the file to write, for example"
            f" out={out / 'my.safetensors'}"
        )
    return RunDir(out.parent)


def check_resumable(folder: Path) -> None:
    """Raise `InvsetError` for a folder without a run to go on with."""
    if not (folder / ".hydra" / "config.yaml").is_file():
        raise InvsetError(
            f"{folder} is no run folder: it has no .hydra/config.yaml; type invset run --resume"
            " outputs/DATE/TIME"
        )
    if not (folder / "state.pt").exists():
        raise InvsetError(
            f"{folder} has no state.pt: the run is finished, or is no run; start a new one"
            " with: invset run …"
        )
