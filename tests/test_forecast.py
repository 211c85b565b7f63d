"""What is told of a sweep before its first job samples, beside what is on the disk after it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from typed import typed

from invset import Neuron, Problem, mini_generator, mini_network
from invset.commands.forecast import Sizes, measured
from invset.commands.status import bytes_in
from invset.files.job_list import jobs_of

WORDS = ["network=mini", "neuron=ship", "z1=2", "z2=5", "judge=null", "progress=false"]


@pytest.mark.parametrize("keep", ["all", "codes"])
def test_bytes_of_a_sweep(
    keep: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "n=4,8", f"keep={keep}", f"hydra.sweep.dir={tmp_path}/sweep"]
    assert typed(monkeypatch, "run", "-m", *words) == 0
    told = re.search(
        r"^2 jobs, 12 samples: about ([\d.]+) MB of the disk, and [\d.]+ s of sampling if a sample"
        r" takes 4 code-steps of [\d.]+ ms$",
        capsys.readouterr().err,
        re.MULTILINE,
    )
    assert told is not None
    there = sum(bytes_in(job) for job in jobs_of(tmp_path / "sweep")) / 1e6
    assert float(told[1]) == pytest.approx(there, rel=0.2)


def test_measuring_draws_no_random_number() -> None:
    problem = Problem(mini_network(), mini_generator(), neurons=[Neuron("fc8", "ship", (2, 5))])
    region = problem.region("auto", torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    sizes, seconds = measured(problem, region)
    assert torch.equal(torch.get_rng_state(), before)
    assert problem.portions.split is None
    assert seconds > 0
    # a code and an encoding in fc6, of 1,024 numbers each, in float32
    assert sizes.tensors == 4 * 2048


def test_parts_of_a_job() -> None:
    sizes = Sizes(tensors=1e6, picture=2e6, cell=3e6, frame=4e6)
    whole = sizes.of_job(10)
    assert whole - sizes.of_job(10, animation=False) == 40e6
    bare = sizes.of_job(10, report=False, animation=False)
    assert 3.6e6 <= whole - 40e6 - bare < 3.7e6  # a page's pictures are limited
    assert bare - sizes.of_job(10, "pictures", False, False) == 10e6
    assert sizes.of_job(10, "codes") == pytest.approx(10e6, rel=0.01)
