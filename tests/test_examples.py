"""The examples of docs/extending.md: each runs as a script and as it is typed, in a folder of its
own, its samples are measured again, and the document shows it as it is.
"""

from __future__ import annotations

import ast
import json
import re
import runpy
import shlex
import shutil
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from a_sampler import Metropolis
from an_analysis import place
from cases import cube, linear, plain_set, run, seeded
from conftest import EXAMPLES
from sample_sets import sample_set
from typed import typed

import invset.analysis
from invset import InverseSetSampler
from invset.core.space import CodePrior
from invset.report import page

DOCUMENT = EXAMPLES.parent / "docs" / "extending.md"
#: houses.py is a model alone: test_regression_document.py. Tutorials: test_tutorials.py.
SCRIPTS = sorted(
    path.stem
    for path in EXAMPLES.glob("*.py")
    if path.stem != "houses" and not path.stem.startswith("tutorial_")
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the examples, where things are typed."""
    here = tmp_path / "examples"
    shutil.copytree(EXAMPLES, here, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(here)
    return here


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of a script that was run, for a few samples."""
    whole = InverseSetSampler.run

    def few(self: InverseSetSampler, *arguments: Any, **named: Any) -> Any:
        smaller = InverseSetSampler(k=2, n=4)
        if not isinstance(self.sampler, type(smaller.sampler)):
            return whole(self, *arguments, **named)
        return whole(smaller, *arguments, **named)

    monkeypatch.setattr(InverseSetSampler, "run", few)
    return runpy.run_path(f"{name}.py", run_name="__main__")


def commands(text: str) -> list[list[str]]:
    """What is typed, in a text that shows it indented."""
    joined = text.replace("\\\n", " ")
    return [shlex.split(line) for line in joined.splitlines() if line.startswith("    invset run ")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_samples_of_a_script_are_in_range_when_measured_again(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = script(name, monkeypatch)
    problem = made["problem"]
    result = made["result"]
    assert len(result) >= 4
    assert capsys.readouterr().out
    stored = problem.medium.restore(result.inputs)
    f, _ = problem.look(stored)
    assert problem.range.contains(f).all()
    assert torch.equal(problem.medium.store(problem.generator(result.codes)), result.inputs)
    assert (result.encodings[0] != result.encodings[1]).any()


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_its_first_lines_say_can_be_typed(
    name: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    text = ast.get_docstring(ast.parse((folder / f"{name}.py").read_text()), clean=False)
    for number, words in enumerate(commands(text or "")):
        out = folder / f"out{number}"
        little = ["n=4", "K=2", "animation=false", "progress=false", f"hydra.run.dir={out}"]
        assert typed(monkeypatch, *words[1:], *little) == 0
        summary = json.loads((out / "summary.json").read_text())
        assert (summary["status"], summary["counts"]["in_range"]) == ("reached", 4)


@pytest.mark.parametrize(
    "path", [p.relative_to(EXAMPLES) for p in sorted(EXAMPLES.rglob("*.yaml"))], ids=str
)
def test_options_say_how_they_are_typed(
    path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    command = path.read_text().splitlines()[0].removeprefix("# ").split("    (")[0]
    little = ["n=2", "K=1", "animation=false", "progress=false", "report=false"]
    words = shlex.split(command)[1:]
    assert f"{path.parent}={path.stem}" in words
    assert typed(monkeypatch, *words, *little, "hydra.run.dir=out") == 0


def test_metropolis_visits_the_range_as_natural_codes_do() -> None:
    # natural codes are N(0, 1) in each axis; of those with 1 or more in the first, all is known
    region = CodePrior.gaussian(2, share=0.9999)
    target = plain_set(lambda c: c[:, :1], [(1.0, 9.0)], region)
    sampler = Metropolis(K=400, n=400, share=0.7, temperature=1e-7)
    rng = seeded()
    state = sampler.init(target, rng)
    visited = []
    for number in range(120):
        state, _ = sampler.step(target, state, rng)
        if number >= 20:
            visited.append(state.u)
    u = torch.cat(visited)
    normal = torch.distributions.Normal(0.0, 1.0)
    one = torch.tensor(1.0)
    mean = normal.log_prob(one).exp() / (1 - normal.cdf(one))
    assert u[:, 0].mean().item() == pytest.approx(mean.item(), abs=0.03)
    assert u[:, 1].mean().item() == pytest.approx(0, abs=0.05)
    assert u[:, 1].std().item() == pytest.approx(1, abs=0.05)


def test_sounds_have_the_tone_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    words = "run --config-dir . network=ear generator=voice neuron=22 z1=0.1 z2=0.2 n=6 K=3"
    assert typed(monkeypatch, *words.split(), "progress=false", "hydra.run.dir=out") == 0
    for number in range(1, 7):
        with wave.open(str(folder / f"out/samples/{number:05d}.wav")) as file:
            assert (file.getframerate(), file.getsampwidth()) == (8000, 2)
            sound = np.frombuffer(file.readframes(10**6), "<i2") / 32767
        assert len(sound) == 400
        # the 22nd band is 440 Hz
        assert 0.1 <= 2 * np.abs(np.fft.rfft(sound))[22] / len(sound) <= 0.2
    # what is typed to repeat it names the folder of its options, where it began
    command = json.loads((folder / "out/summary.json").read_text())["command"]
    assert command.startswith("invset run --config-dir . network=ear ")
    text = (folder / "out/report.html").read_text()
    assert "the wave, from left to right" in text
    assert "16 bits" in text


def test_an_analysis_by_hand() -> None:
    f = torch.tensor([[2.0], [3.0], [3.5], [4.0]])
    made = place(sample_set(f, activations=f, ranges=[[(2.0, 6.0)]]), None)
    assert made is not None
    assert made.places.tolist() == [0, 0.25, 0.375, 0.5]
    assert made.middle == 0.25  # the lower of the two in the middle
    assert made.unevenness == pytest.approx(0.5)  # all lie below 1/2


def test_an_analysis_in_the_package_is_two_files(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    own = folder / "own"  # all modules of the folder are imported
    own.mkdir()
    shutil.copy("an_analysis.py", own / "place.py")
    block = folder / "templates/sections/place.html.jinja"
    block.parent.mkdir(parents=True)
    shutil.copy("an_analysis.html.jinja", block)
    monkeypatch.setattr(invset.analysis, "__path__", [*invset.analysis.__path__, str(own)])
    monkeypatch.setattr(page, "FOLDERS", (*page.FOLDERS, folder / "templates"))
    words = "run network=mini neuron=horse z1=3 z2=5 n=6 K=3 animation=false progress=false"
    assert typed(monkeypatch, *words.split(), "hydra.run.dir=out") == 0
    record = json.loads((folder / "out/summary.json").read_text())["place"]
    assert 0 <= record["middle"] <= 1
    text = (folder / "out/report.html").read_text()
    assert "<h2>Place in the range</h2>" in text
    assert f"unevenness {record['unevenness']:.2f}, where 0 is even" in text
    assert '<option value="place-places">place in the range</option>' in text


def shown() -> list[tuple[str, str, str]]:
    """File, class (or nothing) and code of every example in the document."""
    form = r"<!-- examples/(\S+?)(?:: (\w+))? -->\n```\w*\n(.*?)```\n"
    return re.findall(form, DOCUMENT.read_text(), re.DOTALL)


def code_of(file: str, name: str) -> str:
    """A file, or a class of it."""
    text = (EXAMPLES / file).read_text()
    if not name:
        return text
    node = next(n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == name)
    first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno]) + "\n"


def test_the_document_shows_every_example_as_it_is() -> None:
    assert {file for file, _, _ in shown()} >= {f"{name}.py" for name in SCRIPTS}
    for file, name, code in shown():
        assert code == code_of(file, name), f"docs/extending.md shows another {file} {name}"


def test_what_the_document_says_can_be_typed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    typed_there = commands(DOCUMENT.read_text())
    assert len(typed_there) >= 5
    for number, words in enumerate(typed_there):
        little = ["n=2", "K=1", "animation=false", "progress=false", "report=false"]
        assert typed(monkeypatch, *words[1:], *little, f"hydra.run.dir=typed{number}") == 0, words


def block_with(word: str) -> str:
    """The block of Python in the document that holds a word."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    [block] = [block for block in blocks if word in block]
    return block


def test_the_test_that_is_shown_passes_and_can_fail() -> None:
    names: dict[str, Any] = {}
    exec(block_with("def test_samples_lie_in_the_slab"), names)
    names["test_samples_lie_in_the_slab"]()
    below = names["plain_set"]
    names["plain_set"] = lambda f, ranges, region: below(f, [(0.0, 0.2)], region)
    with pytest.raises(AssertionError):
        names["test_samples_lie_in_the_slab"]()


def test_the_gradient_that_is_shown_leads_into_the_range() -> None:
    names = dict(vars(sys.modules["a_sampler"]))
    exec(block_with("class Descent"), names)
    w = linear()
    # three deviations above the middle of the cube, where draws don't come
    middle, deviation = w.sum().item() / 2, w.norm().item() / 12**0.5
    low = middle + 3 * deviation
    target = plain_set(lambda c: c @ w, [(low, low + 0.2)], cube())
    done = run(names["Descent"](K=5, n=10), target)
    assert done.count >= 10
    assert done.kept is not None
    f = done.kept.u[:10] @ w
    assert ((low <= f) & (f <= low + 0.2)).all()
    assert done.meter.backwards > 0
