"""``invset run``: sample an inverse set and write its folder."""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from invset.config.published import prepare
from invset.config.validate import check_config, fit_batch
from invset.files.rundir import RunDir

if TYPE_CHECKING:
    from invset.samplers.base import State


#: Numbers in all pictures from which on writing them takes seconds, so that it is announced.
_MUCH = 20_000_000


def main(cfg: DictConfig, folder: Path | None = None, resume: bool = False) -> int:
    """Run one job; return 0, 3 if the range was not reached, or 130 after Ctrl-C.

    Args:
        cfg: ``configs/run.yaml``.
        folder: the run's folder; None takes Hydra's.
        resume: go on with the run in `folder`.
    """
    # before torch is imported: a typing mistake, or weights that can't be had, are told at once
    folder = folder or _hydra_folder()
    fit_batch(cfg, RunDir(folder).overrides())
    check_config(cfg)
    prepare(cfg)
    return _Run(cfg, folder, resume).run()


def _hydra_folder() -> Path:
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


class _Run:
    def __init__(self, cfg: DictConfig, folder: Path, resume: bool) -> None:
        import hydra
        import torch

        from invset.commands.outputs import load_reference
        from invset.config import build
        from invset.config.validate import check_sampler

        self.cfg = cfg
        self.rundir = RunDir(folder)
        self.rng = torch.Generator().manual_seed(cfg.seed)
        self.problem = build.problem(cfg)
        self.region = self.problem.region(
            cfg.prior, self.rng, build.bounds(cfg.clip, self.problem.generator.code_dim)
        )
        self.sampler = hydra.utils.instantiate(cfg.sampler)
        check_sampler(self.sampler)
        self.reference = load_reference(
            cfg, self.problem
        )  # a file that can't be read is told before, not after, sampling
        self.target = self.problem.inverse_set(self.region)
        self.seconds = 0.0
        if resume:
            self._load()
        else:
            self._begin(self.sampler.init(self.target, self.rng), [])
            self.rundir.clear()
        self.saved_at = time.monotonic()

    def _begin(self, state: State, rows: list[list[float]]) -> None:
        # together, in one assignment: Ctrl-C may come at any time, and a state goes on rightly with
        # its own random numbers alone
        self.last = (state, self.rng.get_state(), rows)

    def _load(self) -> None:
        from invset.samplers.base import load_state_dict

        saved = self.rundir.load_state()
        self.rng.set_state(saved["rng"])
        self._begin(
            load_state_dict(_to(saved["state"], self.problem.network.device)), saved["rows"]
        )
        self.seconds = saved["seconds"]

    def run(self) -> int:
        from tqdm import tqdm

        from invset.api import finish
        from invset.samplers.base import Status, drive

        about = (
            f"{self.problem.network.name}, {self.problem.generator.name}, prior={self.region.name}"
        )
        print(f"{about}: {self._wanted()} -> {self.rundir.path}", file=sys.stderr)
        start = time.monotonic() - self.seconds
        previous = signal.signal(
            signal.SIGTERM, _interrupt
        )  # a cluster's time is up: end as with Ctrl-C
        with tqdm(
            total=self.sampler.n, desc="sampling", unit="sample", disable=not self.cfg.progress
        ) as bar:

            def on_round(state: Any, rows: list[list[float]]) -> None:
                self._begin(state, self.last[2] + rows)
                bar.update(int(state.kept.count) - bar.n)
                bar.set_postfix_str(self._progress(state, rows))
                if time.monotonic() - self.saved_at > self.cfg.checkpoint_seconds:
                    self._save(time.monotonic() - start)

            try:
                drive(self.sampler, self.target, self.rng, self.last[0], on_round)
            finally:
                signal.signal(signal.SIGTERM, previous)
        seconds = time.monotonic() - start
        state = self.last[0]
        if state.status is Status.RUNNING:
            state = replace(state, status=Status.INTERRUPTED)
            self._save(seconds)
        result = finish(self.problem, self.region, state, seconds)
        self._write(result)
        if state.status is not Status.INTERRUPTED:
            self.rundir.finish()
        return self._say(result)

    def _wanted(self) -> str:
        ranges = getattr(self.sampler, "ranges", None)
        if ranges:
            return (
                f"{self.problem.names[0]} in {', '.join(f'[{z1:g}, {z2:g}]' for z1, z2 in ranges)}"
            )
        return self.problem.question

    def _progress(self, state: Any, rows: list[list[float]]) -> str:
        from invset.samplers.base import columns

        last = (
            dict(zip(columns(self.sampler, len(self.problem.neurons)), rows[-1], strict=True))
            if rows
            else {}
        )
        inside = (
            f", {last['inside']:.0f} in range" if "inside" in last else ""
        )  # of that pass, which may have had more codes
        return f"step {state.steps}{inside}"

    def _save(self, seconds: float) -> None:
        from invset.samplers.base import state_dict

        state, rng, rows = self.last
        self.rundir.save_state(
            {"state": state_dict(state), "rng": rng, "rows": rows, "seconds": seconds}
        )
        self.saved_at = time.monotonic()

    def _write(self, result: Any) -> None:
        from invset.commands.outputs import write_run

        if result.inputs.numel() > _MUCH:
            print(
                f"writing the pictures and pages of {len(result)} samples to {self.rundir.path}",
                file=sys.stderr,
            )
        write_run(
            self.rundir,
            self.cfg,
            self.problem,
            self.region,
            self.sampler,
            self.reference,
            result,
            self.last[2],
        )
        if self.cfg.get("report", False):  # a run that is resumed may be older than the option
            from invset.report.run_page import write_report

            write_report(self.rundir.path)

    def _say(self, result: Any) -> int:
        from invset.samplers.base import Status

        summary = json.loads((self.rundir / "summary.json").read_text())
        for line in summary["sentences"]:
            print(line)
        if len(result):
            print(self.rundir / "samples.png")
        if (self.rundir / "report.html").exists():
            print(self.rundir / "report.html")
        return {Status.REACHED: 0, Status.INTERRUPTED: 130}.get(result.status, 3)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _to(value: Any, device: Any) -> Any:
    """Move every tensor in nested dictionaries and lists."""
    if isinstance(value, dict):
        return {k: _to(v, device) for k, v in value.items()}
    if isinstance(value, list):
        return [_to(v, device) for v in value]
    return value.to(device) if hasattr(value, "to") else value
