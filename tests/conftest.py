"""What the tests share: every sampler and study, found by the options of ``sampler=``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from invset.config.catalogue import sampler_class, sampler_names
from invset.studies.study import Study, study_of

#: Ranges for studies that take several.
RANGES = [(0.3, 0.6), (0.9, 1.2)]


def study(name: str, **options: Any) -> Study:
    """A small study by the option of ``sampler=`` that names it; options it lacks are left out."""
    kind = sampler_class(name)
    known = {field.name for field in fields(kind)}
    asked = {"K": 5, "n": 30, "ranges": RANGES, **options}
    return study_of(kind(**{key: value for key, value in asked.items() if key in known}))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument ``sampler_name`` is run for every option of ``sampler=``."""
    if "sampler_name" in metafunc.fixturenames:
        metafunc.parametrize("sampler_name", sampler_names())
