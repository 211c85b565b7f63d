"""What the tests share: every sampler and study, found by the options of ``sampler=``; and that of
``examples/``.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from invset.config import judging
from invset.config.catalogue import sampler_class, sampler_names
from invset.hub import made
from invset.studies.study import Study, study_of

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

#: A sampler outside of the package, as a person writes one.
OUTSIDE = "a_sampler.Metropolis"

#: Ranges for studies that take several.
RANGES = [(0.3, 0.6), (0.9, 1.2)]


def study(name: str, **options: Any) -> Study:
    """A small study by the option of ``sampler=`` that names it, or by file.Name of its class;
    options it lacks are left out.
    """
    module, _, inside = name.rpartition(".")
    kind = getattr(import_module(module), inside) if module else sampler_class(name)
    known = {field.name for field in fields(kind)}
    # the search for proposals of a model of the network is cut short
    quick = {"evaluations": 40, "draws": 64, "climb": 0} if name == "bayesian" else {}
    asked = {"K": 5, "n": 30, "ranges": RANGES, **quick, **options}
    return study_of(kind(**{key: value for key, value in asked.items() if key in known}))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported stays: the garbage collector need not look at it in each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What is trained on first use is kept for the tests alone, in one folder for all their
    processes.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "trained"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "cache_folder", lambda: folder)
        yield folder


@pytest.fixture(autouse=True)
def no_judge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs have no judge, whether the extra imagenet is installed or not; a test that is marked
    ``external`` takes what is there.
    """
    if request.node.get_closest_marker("external") is None:
        monkeypatch.setattr(judging, "is_installed", lambda name: False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sampler", help="a class of your own, file.Name, to test in their place")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument ``sampler_name`` is run for every option of ``sampler=``."""
    if "sampler_name" in metafunc.fixturenames:
        own = metafunc.config.getoption("--sampler")
        metafunc.parametrize("sampler_name", [own] if own else [*sampler_names(), OUTSIDE])
