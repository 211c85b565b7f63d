"""What a repository has beside its code: classifiers, workflow, hooks and templates that agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def loaded(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_workflow_runs_what_the_classifiers_name() -> None:
    jobs = loaded(".github/workflows/tests.yml")["jobs"]
    matrix = jobs["tests"]["strategy"]["matrix"]
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PROJECT)
    lowest = re.search(r'requires-python = ">=(3\.\d+)"', PROJECT)
    assert matrix["python"] == named
    assert lowest is not None
    assert named[0] == lowest[1]
    systems = {name.split("-")[0] for name in matrix["system"]}
    assert systems == {"ubuntu", "macos"}
    for system in ("MacOS", "POSIX :: Linux"):
        assert f'"Operating System :: {system}"' in PROJECT
    assert {"run": ".ci/run"} in jobs["tests"]["steps"]
    assert (ROOT / ".ci" / "run").is_file()


def test_hooks_are_the_tools_of_make_install_and_make_lint() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = makefile.split("\nlint:")[1].split("\n\n")[0]
    (repository,) = loaded(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        tool, _, words = hook["entry"].removeprefix(".venv/bin/").partition(" ")
        name = words.split()[0] if tool == "python" else tool
        assert name in lint, hook["id"]
        assert tool == "python" or f'    "{tool}>=' in PROJECT, hook["id"]


@pytest.mark.parametrize("form", ["bug", "idea"])
def test_forms_ask_for_something(form: str) -> None:
    found = loaded(f".github/ISSUE_TEMPLATE/{form}.yml")
    assert {"name", "description", "body"} <= set(found)
    ids = [field["id"] for field in found["body"]]
    assert len(ids) == len(set(ids)) > 2
    assert all(field["attributes"]["label"] for field in found["body"])


def test_addresses_are_those_that_are_there() -> None:
    """The project has no address yet; the day it has one, it stands in all of these."""
    urls = PROJECT.split("[project.urls]")[1].split("\n\n")[0]
    assert re.findall(r'^(\w+) = "(.*)"$', urls, re.MULTILINE) == [
        ("Paper", "https://arxiv.org/abs/1910.04857")
    ]
    citation = loaded("CITATION.cff")
    assert citation["references"][0]["identifiers"][0]["value"] == "arXiv:1910.04857"
    assert "repository-code" not in citation
    assert "no public repository" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
