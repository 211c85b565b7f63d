"""The folder of a run: what it holds, written whole or not at all.

.hydra/                the configuration
samples.png            a grid of samples
samples/00001.png …    every sample, 8 bits; of a table, a picture of its row
samples.csv            every sample of a table, a row each
samples.safetensors    codes, encodings, activations
activations.csv        a row a sample
optimization.csv       a row a gradient step
summary.json           counts, quality, timings, versions
animation.gif, .mp4    the samples in the order they were taken
report.html            the run as a page
failed.json            only in a sweep: why the job ended without a result
state.pt               only while the run is not finished: where to resume
"""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from invset.errors import InvsetError

if TYPE_CHECKING:
    from torch import Tensor

    from invset.files.medium import Medium

# torch is imported where tensors are written, because a report is made without it

#: Files of a run, beside samples/ and .hydra/.
FILES = (
    *(
        "samples.png",
        "samples.csv",
        "samples.safetensors",
        "activations.csv",
        "optimization.csv",
        "summary.json",
        "animation.gif",
        "animation.mp4",
    ),
    *("report.html", "failed.json", "state.pt"),
)


class RunDir:
    """A run's folder, made if it is not there.

    Raises:
        InvsetError: the folder can't be written to.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".write"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InvsetError(
                f"can't write to {self.path} ({error.strerror}); type out=, or for a run"
                " hydra.run.dir=, and a folder of yours"
            ) from error

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write(self, name: str, how: Callable[[Path], Any]) -> Path:
        """Let `how` write a temporary file, then rename it to `name`."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # the suffix stays last: writers choose the format by it
        temporary = target.with_name(f".part-{target.name}")
        how(temporary)
        os.replace(temporary, target)
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

    def write_samples(self, medium: Medium, stored: Tensor) -> None:
        """Write the files of samples in the stored form of their medium."""
        for name, how in medium.files(stored):
            self.write(name, how)

    def save_state(self, state: dict[str, Any]) -> None:
        import torch

        self.write("state.pt", lambda path: torch.save(state, path))

    def load_state(self) -> dict[str, Any]:
        """What `save_state` wrote.

        Raises:
            InvsetError: there is nothing to resume.
        """
        import torch

        path = self.path / "state.pt"
        if not path.exists():
            raise InvsetError(
                f"{self.path} has no state.pt: the run is finished, or is no run; start a new one"
                " with: invset run …"
            )
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise InvsetError(
                f"{path} can't be read; start a new run with: invset run …"
            ) from error

    def overrides(self) -> list[str]:
        """What was typed to start the run."""
        path = self.path / ".hydra" / "overrides.yaml"
        return [str(word) for word in OmegaConf.load(path)] if path.exists() else []

    def clear(self) -> None:
        """Delete what an earlier run left in the folder: a new run begins."""
        shutil.rmtree(self.path / "samples", ignore_errors=True)
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)

    def finish(self) -> None:
        """The run is complete: there is nothing to resume."""
        (self.path / "state.pt").unlink(missing_ok=True)
