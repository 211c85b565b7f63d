"""One job of ``invset run``: it builds the question, samples, shows how far it is, and writes the
folder. Its module imports torch; `invset.commands.run` does not.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig

from invset import interrupt
from invset.commands.forecast import tell_plan
from invset.commands.moving_views import first_check
from invset.commands.outcome import exit_code
from invset.commands.own_folder import begin_in
from invset.commands.pictures import judged, perturbed, real_inputs
from invset.commands.run_surroundings import surroundings
from invset.commands.side_by_side import alone
from invset.commands.turns import member
from invset.config import build, kept_parts
from invset.config.foreign import foreign, go_on
from invset.config.judging import judging
from invset.config.real_images import load_reference
from invset.core.checks import as_words, goal_of
from invset.core.plain import on_device
from invset.errors import InvsetError
from invset.files.run_log import log_in
from invset.files.rundir import RunDir
from invset.problem.enough_memory import enough_memory, how_after
from invset.problem.perturbing import Perturbing
from invset.problem.result import Result, finish
from invset.problem.shared_passes import why_alone
from invset.problem.shared_target import shared
from invset.problem.start_codes import ANY
from invset.progress import bar, stage
from invset.report.run_folder import Ended, keeping, write_run
from invset.report.run_page import write_report
from invset.report.sentences import beyond_known, read_at
from invset.samplers.base import Limits, Status
from invset.streams import tell
from invset.studies.study import check_real, codes_at_once, loaded, saved, study_of

log = logging.getLogger(__name__)

#: Numbers in all pictures from which on writing them takes seconds, so that it is announced.
_MUCH = 20_000_000


class Job:
    """A run from its configuration to its folder.

    Args:
        cfg: ``configs/run.yaml``, checked.
        folder: the run's folder.
        resume: go on with the run in `folder`.
        accept: kinds of surroundings that may have changed since.
        how: options of the configuration that were typed to go on.
        anew: begin anew where the state in `folder` does not belong here, and say so.

    Raises:
        InvsetError: the parts of the configuration do not fit.
    """

    def __init__(
        self,
        cfg: DictConfig,
        folder: Path,
        resume: bool,
        accept: Sequence[str] = (),
        how: Sequence[str] = (),
        anew: bool = False,
    ) -> None:
        self.cfg = cfg
        self.how = how
        self.rundir = RunDir(folder, listed=True)
        self.rng = torch.Generator().manual_seed(cfg.seed)
        with stage("building the network and the generator"):
            self.problem = build.problem(cfg)
        build.follow_device(cfg, self.problem.network.device)
        self.study = study_of(hydra.utils.instantiate(cfg.sampler))
        clip = build.bounds(cfg.clip, self.problem.generator.code_dim)
        plain = self.study.space == "codes"
        # a run that is resumed may be older than the option
        starts = hydra.utils.instantiate(cfg.get("starts")) or ANY
        self.region = self.problem.region(cfg.prior, self.rng, clip, plain, starts)
        # a file that can't be read is told before, not after, sampling
        self.reference = load_reference(cfg, self.problem)
        self.judging = judging(cfg, self.problem.network, self.problem.encoder_network)
        self.judging.check(self.problem.input_shape)
        if self.reference is not None:
            self.reference = self.judging.beside(self.reference)
        # a run that is resumed may be older than the option
        self.perturbing = hydra.utils.instantiate(cfg.get("perturbed")) or Perturbing()
        check_real(self.study, cfg.get("images") is not None, "images=FOLDER")
        real = real_inputs(self.problem, cfg.get("images"), cfg.get("limit"))
        self.target = self.problem.target(self.region, goal_of(self.study), real)
        self.study.check(self.target)
        self._share()
        # a run that is resumed may be older than the option
        self.limits = hydra.utils.instantiate(cfg.get("limits")) or Limits()
        self.state: Any = None
        self.rows: list[list[float]] = []
        self.around = surroundings(cfg, self.problem)
        held = self._held(accept, anew) if resume else None
        if held is not None:
            log_in(self.rundir)
            self._go_on(held, accept)
        else:
            begin_in(self.rundir, cfg)
        # together, in one assignment: Ctrl-C may come at any time, and a state goes on rightly with
        # its own random numbers alone
        self.last = (self.state, self.rng.get_state(), self.rows)
        self.told_split = False
        self.saved_at = time.monotonic()

    def _share(self) -> None:
        """Let passes be shared with the other jobs of ``together=``."""
        one = member()
        if one is None:
            return
        why = why_alone(self.problem) or kept_parts.why_anew(self.cfg)
        if why is None:
            self.target = shared(self.problem, self.target, one.wait)
        else:
            alone(self.cfg.together, why)

    def _held(self, accept: Sequence[str], anew: bool) -> dict[str, Any] | None:
        """What `_save` saved; None where the run begins anew."""
        try:
            return self.rundir.load_state(self.around, accept, self._command())
        except InvsetError as error:
            if not anew:
                raise
            log.warning("the job begins anew: %s", error)
            return None

    def _go_on(self, held: dict[str, Any], accept: Sequence[str]) -> None:
        """Take up what `_save` saved."""
        if self.around.changed:
            log.warning("going on, although %s", ", ".join(self.around.changed))
        self.rng.set_state(held["rng"])
        self.rows = held["rows"]
        if not {"device", "runtime"} & {*accept}:
            # the same portions, hence the same samples
            self.problem.portions.go_on(held["split"])
        if held["state"] is not None:  # None: interrupted before the first look
            state = on_device(held["state"], self.problem.network.device)
            self.state = loaded(self.study, state)

    def run(self) -> int:
        about = (
            f"{self.problem.network.name}, {self.problem.generator.name}, prior={self.region.name}"
        )
        wanted = "; ".join(filter(None, [self._wanted(), read_at(self.problem)]))
        log.info("%s: %s -> %s", about, wanted, self.rundir.path)
        for line in beyond_known(self.problem, self.study.rows(self.target), self.reference):
            log.info("%s", line)
        try:
            with self._memory():
                tell_plan(self.cfg, self.problem, self.region, self.study.n)
                ended = self._sample()
                # also of a run that has ended: if an analysis fails or the disk is full, --resume
                # writes it
                self._save()
                return self._write(ended)
        except BaseException as error:
            if (self.rundir / "state.pt").exists():
                tell(f"what was sampled is kept; go on with: {self._command(how_after(error))}")
            raise

    def _memory(self) -> AbstractContextManager[None]:
        return enough_memory(self.problem, codes_at_once(self.study), self.study.n)

    def _sample(self) -> Any:
        """Sample; return the state that the study ends in. What was found is kept if it fails."""
        names = [column.name for column in self.study.columns(len(self.problem.neurons))]
        try:
            with bar("sampling", "sample") as shown:
                shown(0, self.study.n)

                def on_look(state: Any, rows: list[list[float]], count: int) -> None:
                    self.last = (state, self.rng.get_state(), self.last[2] + rows)
                    interrupt.check()
                    shown.about = self._progress(dict(zip(names, rows[-1], strict=True)))
                    shown(count, self.study.n)
                    self._tell_split()
                    if time.monotonic() - self.saved_at > self.cfg.checkpoint_seconds:
                        self._save()

                return self.study.run(self.target, self.rng, self.state, on_look, self.limits)
        except BaseException:
            if self.last[0] is not None:
                self._save()  # --resume goes on from it
            raise

    def _write(self, ended: Any) -> int:
        """Measure and write what was found; return the exit code."""
        found = self.study.found(self.target, ended)
        with bar("measuring what is saved", "sample") as progress:
            progress(0, len(found.u))
            result = finish(self.problem, self.region, found, progress=progress)
        self._write_files(result)
        if ended.status is not Status.INTERRUPTED:
            self.rundir.finish()
        return self._say(result)

    def _command(self, more: Sequence[str] = ()) -> str:
        """What is typed to go on with the run; options of `more` are new."""
        new = {word.split("=")[0] for word in more}
        kept = [word for word in self.how if word.split("=")[0] not in new]
        return go_on(self.rundir.path, foreign(self.cfg), [*kept, *more])

    def _where(self) -> str:
        """The same, and where code of a person's own lies."""
        return self._command() + (f" (in {Path.cwd()})" if foreign(self.cfg) else "")

    def _wanted(self) -> str:
        rows = self.study.rows(self.target)
        if len(rows) == 1:
            goal = goal_of(self.study)
            return f"{'' if goal == 'range' else f'goal={goal} of '}{self.problem.question}"
        listed = ", ".join(f"[{', '.join(as_words(*ends))}]" for (ends,) in rows)
        return f"{self.problem.names[0]} in {listed}"

    def _progress(self, row: dict[str, float]) -> str:
        # of the last pass, which may have had more codes than are wanted
        step = len(self.last[2])
        check = first_check(self.study, self.target, step)
        if check is not None:
            return f"step {step}, moving views; first check at step {check}"
        return f"step {step}, {row['inside']:.0f} codes in range now"

    def _tell_split(self) -> None:
        """Say once that not all codes go at once."""
        split = self.problem.portions.split
        if split is not None and not self.told_split:
            log.info("%s", split.sentence)
            self.told_split = True

    def _save(self) -> None:
        state, rng, rows = self.last
        split = self.problem.portions.split
        held = {"state": saved(state), "rng": rng, "rows": rows}
        held["split"] = None if split is None else asdict(split)
        self.rundir.save_state(held, self.around)
        self.saved_at = time.monotonic()

    def _write_files(self, result: Result) -> None:
        if result.inputs.numel() > _MUCH:
            log.info("writing the pictures and pages of %d samples", len(result))
        with keeping(self.rundir, self.problem, result), self._memory(), stage("writing files"):
            ended = Ended(
                self.problem,
                self.region,
                self.reference,
                result,
                self.last[2],
                self.cfg.seed,
                self.cfg.animation,
                judged(self.judging, result.inputs),
                self.judging.why,
                perturbed(self.perturbing, self.problem, self.region, result.codes),
                self.around.changed,
                # a run that is resumed may be older than the option
                self.cfg.get("keep", "all"),
                self.limits.reached(result.meter, result.seconds),
                self._where() if result.status is Status.INTERRUPTED else "",
            )
            write_run(self.rundir, ended)
        if self.cfg.get("report", False) and ended.keep != "codes":
            with stage("writing report.html"):
                write_report(self.rundir.path)

    def _say(self, result: Result) -> int:
        summary = json.loads((self.rundir / "summary.json").read_text(encoding="utf-8"))
        for line in summary["sentences"]:
            print(line)
        if (self.rundir / "samples.png").exists():
            print(self.rundir / "samples.png")
        if (self.rundir / "report.html").exists():
            print(self.rundir / "report.html")
        if result.status is Status.INTERRUPTED:
            check = first_check(self.study, self.target, len(self.last[2]))
            if check is not None:
                print(f"No check on fixed views has taken place yet: the first is step {check}.")
            print(f"go on with: {self._where()}")
            return interrupt.exit_code()
        return exit_code(self.rundir.path)
