"""A folder from somebody else runs no code, reads no other files, and is only text in a page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import html5lib
import pytest
import yaml
from omegaconf import OmegaConf
from report_folders import write_run
from typed import typed

from invset.config.compose import compose
from invset.config.foreign import as_values, check_foreign
from invset.errors import InvsetError

RUN = {"neuron": "horse", "network": {"_target_": "invset.nets.embedded.mini_network"}}

#: What somebody may write into a configuration: each makes a file, or reads the environment.
HOSTILE: dict[str, Any] = {
    "a pickle": {},
    "a command": {"network": {"_target_": "os.system", "command": "touch SIGN"}},
    "evaluated": {"robust": {"_target_": "builtins.eval", "_args_": ["open('SIGN', 'w')"]}},
    "nested": {
        "generator": {"module": {"deep": {"_target_": "os.system", "command": "touch SIGN"}}}
    },
    "in a list": {"neurons": [[{"_target_": "os.mkdir", "path": "SIGN"}]]},
    "in _args_": {"judge": {"_target_": "builtins.list", "_args_": [{"_target_": "os.getcwd"}]}},
    "found": {"sampler": {"_target_": "hydra.utils.get_method", "path": "os.system"}},
    "through ours": {"sampler": {"_target_": "invset.cli.os.system", "command": "touch SIGN"}},
    "ours, of no use": {"limits": {"_target_": "invset.files.rundir.RunDir", "path": "SIGN"}},
    "partial": {"sampler": {"_partial_": True, "_target_": "os.system"}},
    "a name that is looked up": {"name": "os.system", "network": {"_target_": "${name}"}},
    "no name": {"network": {"_target_": ["os", "system"]}},
    "odd name": {"network": {"_target_": "os..system"}},
    "the environment": {"network": {"weights": "${oc.env:HOME}"}},
    "made of text": {"network": "${oc.create:'{_target_: os.system}'}"},
    "decoded": {"network": {"weights": "a/${oc.decode:${b}}"}},
    "a key": {"network": {"${oc.env:HOME}": 1}},
    "grown": {"a": "xxxxxxxx", "b": "${a}${a}", "c": "${b}${b}"},
    "Hydra's own": {"hydra": {"launcher": {"_target_": "os.system"}}},
}


def written(folder: Path, config: dict[str, Any]) -> None:
    """The folder of a run that was interrupted, from somebody else."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.dump({**RUN, **config}))
    (folder / "state.pt").write_bytes(b"cos\nsystem\n(S'touch SIGN'\ntR.")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_folder_runs_no_code(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "theirs"
    written(folder, HOSTILE[kind])
    # a list of what a run wrote, so that all looks right
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.dump(HOSTILE["a command"]))
    assert typed(monkeypatch, "run", "--resume", "theirs") == 2
    err = capsys.readouterr().err
    assert err.startswith("invset: ")
    assert err.count("\n") == 1
    assert os.environ["HOME"] not in err
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
    assert {path.name for path in folder.iterdir()} == {".hydra", "state.pt"}


def test_tags_and_aliases_of_yaml_make_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "theirs", {})
    laughs = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)
    )
    for text in (
        "!!python/object/apply:os.system ['touch SIGN']",
        laughs,
        "[" * 5000,
        "a: [",
        "",
        "- a",
        "\0",
    ):
        (tmp_path / "theirs" / ".hydra" / "config.yaml").write_text(text)
        assert typed(monkeypatch, "run", "--resume", "theirs") == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


MODULE = """
import os
from os import system
def build():
    pass
class Net:
    pass
"""


def test_code_is_trusted_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "a_pack").mkdir()
    (tmp_path / "a_pack" / "__init__.py").touch()
    (tmp_path / "a_pack" / "part.py").write_text(MODULE)
    (tmp_path / "a_part.py").write_text("__import__('pathlib').Path('SIGN').touch()\n" + MODULE)

    def check(target: str, *trust: str) -> None:
        check_foreign(OmegaConf.create({"a": [{"_target_": target}]}), trust, Path("a folder"))

    with pytest.raises(InvsetError, match=r"a_part\.build \(a\.0\._target_\); .* 'a folder' --"):
        check("a_part.build")
    monkeypatch.chdir(tmp_path)
    assert not (tmp_path / "SIGN").exists()  # who is not trusted isn't even imported
    for target, trust in (
        ("a_part.build", "a_part"),
        ("a_part.Net", "a_part"),
        ("a_part.build", "a_part.build"),
        ("a_pack.part.Net", "a_pack"),
        ("a_pack.part.Net", "a_pack.part"),
        ("os.getcwd", "os.getcwd"),
    ):
        check(target, "json", trust)
    for target, trust in (
        ("a_part.os.system", "a_part"),  # what it has imported is not its own
        ("a_part.system", "a_part"),
        ("a_part.build.__globals__.clear", "a_part"),
        ("a_part.Net.__init__.__globals__", "a_part"),
        ("a_part.no", "a_part"),
        ("a_part_two.build", "a_part"),
        ("a_pack.part.os.system", "a_pack"),
        ("a_part.build", "a_part.buil"),
        ("a_part.build", ""),
        ("os.system", "a_part"),
    ):
        with pytest.raises(InvsetError, match=f"--trust {trust or target}"):
            check(target, *([trust] if trust else []))


def test_trusted_code_that_is_not_here_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    cfg = OmegaConf.create({"a": {"_target_": "their_part.build"}})
    with pytest.raises(InvsetError, match=r"neither a file their_part\.py .* package$"):
        check_foreign(cfg, ["their_part"], folder)
    (folder / ".hydra").mkdir(parents=True)
    runtime = {"cwd": "/a place", "config_sources": []}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.dump({"hydra": {"runtime": runtime}}))
    with pytest.raises(InvsetError, match=r"elsewhere, so type first: cd '/a place'$"):
        check_foreign(cfg, ["their_part.build"], folder)
    again = rf"type: cd '/a place', and there invset run --resume {folder} --trust their_part\."
    with pytest.raises(InvsetError, match=again):
        check_foreign(cfg, [], folder)
    with pytest.raises(InvsetError, match="--trust names no name,"):
        check_foreign(cfg, ["no name"], folder)


@pytest.mark.parametrize(
    "options", [[], ["sampler=ppgn"], ["sampler=ladder", "sampler.ranges=[[1,2],[3,4]]"]]
)
def test_what_invset_writes_is_taken_back(options: list[str]) -> None:
    cfg = compose("run", ["network=mini", *options])
    cfg.neuron = r"a\${b}"
    held = OmegaConf.create(yaml.safe_load(OmegaConf.to_yaml(OmegaConf.create(as_values(cfg)))))
    check_foreign(held, [], Path("run"))
    assert held.neuron == cfg.neuron == "a${b}"


def test_links_are_not_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = write_run(tmp_path / "mine", 3)
    for name in ("samples", "samples/00002.png", "summary.json", "activations.csv", ".hydra"):
        folder = write_run(tmp_path / name.replace("/", "_"), 3)
        (folder / ".hydra").mkdir(exist_ok=True)
        (mine / ".hydra").mkdir(exist_ok=True)
        path = folder / name
        path.rename(tmp_path / f"kept-{path.name}")
        path.symlink_to(mine / name)
        before = sorted(one.name for one in folder.rglob("*"))
        assert typed(monkeypatch, "report", str(folder)) == 2
        assert f"{path} is a link" in capsys.readouterr().err
        assert sorted(one.name for one in folder.rglob("*")) == before
        sweep = tmp_path / f"sweep-{folder.name}"
        sweep.mkdir()
        folder.rename(sweep / "0")
        for command in ("report", "figure"):
            assert typed(monkeypatch, command, str(sweep)) == 2
            assert "is a link" in capsys.readouterr().err
    (mine / "notes").symlink_to(tmp_path)  # a link of a person's own is nobody's business
    assert typed(monkeypatch, "report", str(mine)) == 0
    assert typed(monkeypatch, "report", str(tmp_path / "no")) == 2


def test_words_from_a_folder_are_only_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    odd = "<img src=x onerror=alert(1)>${oc.env:SECRET}"
    job = write_run(tmp_path / "javascript:alert(1)" / "0", 3, names=(odd,))
    sweep = job.parent
    (job / ".hydra").mkdir(exist_ok=True)
    (job / ".hydra" / "overrides.yaml").write_text(json.dumps([f"neuron={odd}"]))
    (job / ".hydra" / "config.yaml").write_text(json.dumps({"sampler": {"_target_": odd}}))
    (sweep / "javascript:alert(2)").write_text("x")
    (job / "javascript:alert(2)").write_text("x")
    (sweep / "1" / ".hydra").mkdir(parents=True)
    (sweep / "1" / ".hydra" / "overrides.yaml").write_text(json.dumps([f"layer={odd}"]))
    (sweep / "1" / "failed.json").write_text(json.dumps({"exit_code": 2, "reason": odd}))
    assert typed(monkeypatch, "report", str(sweep)) == 0
    parser = html5lib.HTMLParser(
        html5lib.treebuilders.getTreeBuilder("etree"), namespaceHTMLElements=False
    )
    for page in (sweep / "report.html", job / "report.html"):
        text = page.read_text()
        assert "s3cret" not in text
        for one in parser.parse(text).iter():
            assert not any(str(name).startswith("on") for name in one.attrib)
            assert not str(one.get("href", "")).startswith("javascript:")
    assert "s3cret" not in (sweep / "sweep.csv").read_text()
