"""What a person types: help, versions, mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from invset.bad_input import bad_input
from invset.cli import COMMANDS, main, pick
from invset.errors import InvsetError
from invset.progress import ABOUT_FLAGS


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    if words[0] == "run" and not any(
        word.startswith(("network=", "experiment=", "--resume")) for word in words
    ):
        words = ("run", "network=mini", *words[1:])  # the default's weights have to be fetched
    monkeypatch.setattr(sys, "argv", ["invset", *words])
    GlobalHydra.instance().clear()
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_pick_takes_one_or_two_words() -> None:
    assert pick(["run", "neuron=8"]) == ("run", ["neuron=8"])
    assert pick(["fit", "prior", "out=x"]) == ("fit prior", ["out=x"])
    with pytest.raises(InvsetError, match="Did you mean run"):
        pick(["rum"])
    with pytest.raises(InvsetError, match="invset train network, invset train generator"):
        pick(["train"])


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['invset', '--help']; from invset.cli import main; main();"
        " print('torch' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.endswith("False\n")
    assert all(name in out for name in COMMANDS)


MISTAKES = {
    "z1 must be below z2": ["neuron=horse", "z1=5", "z2=4"],
    "must be finite": ["neuron=horse", "z1=nan", "z2=4"],
    "finite": ["neuron=horse", "z1=0", "z2=inf"],
    "two numbers": ["neuron=horse", "z1=three", "z2=4"],
    "the range is missing": ["neuron=horse"],
    "not both": ["neuron=horse", "z1=1", "range=[1,2]"],
    "neurons 1 to 10": ["neuron=11", "z1=3", "z2=4"],
    "neuron=0 is out of range": ["neuron=0", "z1=3", "z2=4"],
    "Did you mean horse": ["neuron=hors", "z1=3", "z2=4"],
    "Did you mean conv5": ["layer=conv9", "neuron=1", "z1=3", "z2=4"],
    "K must be a whole number": ["neuron=1", "z1=3", "z2=4", "K=0"],
    "n must be a whole number": ["neuron=1", "z1=3", "z2=4", "n=0"],
    "more than the n=3 samples": ["neuron=1", "z1=3", "z2=4", "n=3", "K=4"],
    "mu0 must be": ["neuron=1", "z1=3", "z2=4", "mu0=0"],
    "alpha must be": ["neuron=1", "z1=3", "z2=4", "alpha=1"],
    "seed must be": ["neuron=1", "z1=3", "z2=4", "seed=-1"],
    "no option nueron. Did you mean neuron": ["nueron=1", "z1=3", "z2=4"],
    "Did you mean mini": ["network=minni", "neuron=1", "z1=3", "z2=4"],
    "prior must be": ["neuron=1", "z1=3", "z2=4", "prior=natura"],
    "sampler.walk must be": ["neuron=1", "z1=3", "z2=4", "sampler.walk=2"],
    "no weights at": ["neuron=1", "z1=3", "z2=4", "generator.weights=/nowhere/at.all"],
    "takes codes of 1024 numbers": ["neuron=1", "z1=3", "z2=4", "encoder=fc7", "prior=none"],
    "no natural region": ["neuron=1", "z1=3", "z2=4", "generator=pixels", "prior=natural"],
    "device=abacus is unknown": ["neuron=1", "z1=3", "z2=4", "device=abacus"],
    "position must be": ["layer=conv5", "neuron=1", "z1=3", "z2=4", "position=middle"],
    "lies outside layer": ["layer=conv5", "neuron=1", "z1=3", "z2=4", "position=[9,0]"],
    "no direction at": ["direction=/nowhere.safetensors", "z1=3", "z2=4"],
    "neurons= for several, not both": ["neuron=1", "neurons=[{neuron: 1, z1: 1, z2: 2}]"],
    "neurons= is a list": ["neurons=[horse]"],
    "neuron= is one neuron here": ["neuron=[horse,ship]", "z1=3", "z2=4"],
    "can't be in [4, 6] and in [14, 16] at once": [
        "neurons=[{neuron: horse, z1: 4, z2: 6}, {neuron: 8, z1: 14, z2: 16}]"
    ],
    "neuron=-1 is out of range": ["neuron=-1", "z1=3", "z2=4"],
    "range must be two numbers, not 5": ["neuron=1", "range=5"],
    "range must be two numbers, not [5]": ["neuron=1", "range=[5]"],
    "K must be a whole number of at least 1, not 2.5": ["neuron=1", "z1=3", "z2=4", "K=2.5"],
    "below 2^63": ["neuron=1", "z1=3", "z2=4", "seed=9223372036854775808"],
    "inner_steps must be": ["neuron=1", "z1=3", "z2=4", "inner_steps=0"],
    "clip=[0, 3] is for prior=clip": ["neuron=1", "z1=3", "z2=4", "prior=natural", "clip=[0,3]"],
    "clip must be": ["neuron=1", "z1=3", "z2=4", "prior=clip", "clip=[3,1]"],
    "checkpoint_seconds must be": ["neuron=1", "z1=3", "z2=4", "checkpoint_seconds=often"],
    "constraint must be": ["neuron=1", "z1=3", "z2=4", "sampler=two_stage", "constraint=one"],
    "eight_bit must be true or false": ["neuron=1", "z1=3", "z2=4", "eight_bit=maybe"],
    "device=meta is unknown": ["neuron=1", "z1=3", "z2=4", "device=meta"],
    "generator.size must be at least 1 pixel": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "generator=pixels",
        "generator.size=0",
    ],
    "generator.size must be at least 2 pixels": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "generator=fourier",
        "generator.size=1",
    ],
    "position is a word": ["neuron=1", "z1=3", "z2=4", "position=1.5"],
    "has units, which have no positions": [
        "network=mini",
        "neuron=1",
        "z1=3",
        "z2=4",
        "position=max",
    ],
    "two whole numbers": ["layer=conv5", "neuron=1", "z1=3", "z2=4", "position=[1]"],
    "has no layer '3'": ["layer=3", "neuron=1", "z1=3", "z2=4"],
    "has no layer 'fc9'": ["encoder=fc9", "neuron=1", "z1=3", "z2=4"],
    "sampler.longest must be a number": ["neuron=1", "z1=3", "z2=4", "sampler.longest=long"],
    "sampler.relaxation must be a number of at least 0": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler.relaxation=-1",
    ],
    "+network@encoder_network=mini": ["neuron=1", "z1=3", "z2=4", "encoder_network=mini"],
    "no reference at": ["neuron=1", "z1=3", "z2=4", "reference=/nowhere"],
    "make some with: invset train generator": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "generator.weights=garbage.safetensors",
    ],
    "make some with: invset train network": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "network.weights=garbage.safetensors",
    ],
    "make one with: invset fit reference": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "reference=garbage.safetensors",
    ],
    "make one with: invset fit prior": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "generator.prior=garbage.safetensors",
    ],
    "generator.weights is missing": ["neuron=1", "z1=3", "z2=4", "generator=upconv"],
    "sampler invset.samplers.ppgn.PPGN has no mu0; leave mu0=9 out": [
        "neuron=1",
        "sampler._target_=invset.samplers.ppgn.PPGN",
        "mu0=9",
    ],
    "there is no Nobody in invset.errors; _target_= takes file.Name": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler._target_=invset.errors.Nobody",
    ],
    "broken.A can't be loaded: ZeroDivisionError: division by zero (broken.py, line 2, in A)": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler._target_=broken.A",
    ],
    "unfinished.A can't be loaded: SyntaxError: invalid syntax (unfinished.py, line 1)": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler._target_=unfinished.A",
    ],
    "there is no Misspelt in broken_not; _target_= takes file.Name": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler._target_=broken_not.Misspelt",
        "sampler.burn=0",
    ],
    "sampler/mine.yaml lies here: type --config-dir . before sampler=mine": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler=mine",
    ],
    "there is no nowhere.build: neither a file nowhere.py in this directory": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "network=custom",
        "network.module._target_=nowhere.build",
    ],
    "experiment has no option demo. Did you mean demo/": ["experiment=demo"],
    "network=null": ["neuron=1", "z1=3", "z2=4", "network=null"],
    "sampler has no option steam. Did you mean stream": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler=steam",
    ],
    "sampler.ranges is missing": ["neuron=1", "sampler=ladder"],
    "each range of a ladder": ["neuron=1", "sampler=ladder", "sampler.ranges=[5,6]"],
    "one neuron, not 2": [
        "sampler=ladder",
        "sampler.ranges=[[1,2]]",
        "neurons=[{neuron: 1, z1: 1, z2: 2}, {neuron: 2, z1: 1, z2: 2}]",
    ],
    "no option sampler.earlyer. Did you mean sampler.earlier": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler=two_stage",
        "sampler.earlyer=all",
    ],
    "no option sampler.spar. Did you mean sampler.spare?": ["sampler=ladder", "sampler.spar=2"],
    "no option sampler.n. Did you mean sampler.K": ["neuron=1", "sampler=ladder", "sampler.n=7"],
    "no option runtime.autocst. Did you mean runtime.autocast?": ["runtime.autocst=bf16"],
    "no option limits.second. Did you mean limits.seconds?": ["limits.second=60"],
    "no option limit.seconds. Did you mean limits.seconds": ["limit.seconds=60"],
    "limits.patience must be a whole number of at least 1, or null, not 0; for example limits": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "limits.patience=0",
    ],
    "limits.seconds must be a number of at least 0, or null, not -1.0": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "limits.seconds=-1",
    ],
    "limits has several options; type for example limits.seconds=60": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "limits=60",
    ],
    "runtime has several options; type each by its name, runtime.NAME=VALUE": ["runtime=[1]"],
    "mini_network() got an unexpected keyword argument 'labels'; leave that option out": [
        *("network=mini", "neuron=1", "z1=3", "z2=4", "+network.labels=9")
    ],
    "sampler.walk must be a number above 0 and at most 1, or null, not 2.0; for example": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler.walk=2",
    ],
    "sampler.walk must be a number above 0 and at most 1, or null, not far": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler.walk=far",
    ],
    "there is no sampler.wlak. Did you mean walk": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "+sampler.wlak=0.5",
    ],
    "sampler ppgn has no mu0; leave mu0=99 out, or type sampler= and one that has it: full": [
        "neuron=1",
        "z1=3",
        "z2=4",
        "sampler=ppgn",
        "mu0=99",
    ],
    "sampler ladder has no n; leave n=7 out": ["sampler=ladder", "sampler.ranges=[[1,2]]", "n=7"],
    "sampler stream has no constraint": ["neuron=1", "z1=3", "z2=4", "constraint=paper"],
    "not enough memory": ["neuron=1", "z1=3", "z2=4", "n=1000000000000"],
    "no option --multirum. Did you mean --multirun": ["neuron=1", "z1=3", "z2=4", "--multirum"],
    "options are typed key=value, not neuron": ["neuron"],
    "range got several values: a list is typed 'range=[5,6]', and a sweep over them needs -m": [
        "neuron=1",
        "range=5,6",
    ],
    "can't read neuron=[horse: are all brackets and quotes closed?": [
        "neuron=[horse",
        "z1=3",
        "z2=4",
    ],
    "can't read neuron='horse: are all": ["neuron='horse", "z1=3", "z2=4"],
    "sampler.ranges is missing; type sampler.ranges=… ([z1, z2] of each row": [
        "neuron=1",
        "sampler=ladder",
        "K=3",
    ],
    "Did you mean figures/caffenet/fig1, figures/mini/fig1? All names: invset list experiments": [
        "experiment=fig1"
    ],
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_one_sentence(
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "garbage.safetensors").write_bytes(b"these are no weights" * 9)
    (tmp_path / "broken.py").write_text("class A:\n    x = 1 / 0\n")
    (tmp_path / "unfinished.py").write_text("class A(:\n")
    (tmp_path / "broken_not.py").write_text("class Mine:\n    pass\n")
    (tmp_path / "sampler").mkdir()
    (tmp_path / "sampler" / "mine.yaml").write_text("_target_: broken_not.Mine\n")
    before = {p.name for p in tmp_path.rglob("*")}
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert run(monkeypatch, "run", *MISTAKES[message]) == 2
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("invset: ")
    assert message.lower() in err.lower()
    # how much memory there is shows when sampling has begun
    assert len(err.strip().splitlines()) == 1 or message == "not enough memory"
    left = {p.name for p in tmp_path.rglob("*")}
    assert left <= before | {"outputs"}  # bad input leaves nothing behind


def test_a_mistake_in_a_process_of_its_own(tmp_path: Path) -> None:
    code = "from invset.cli import main; main()"
    words = ["run", "network=mini", "neuron=hors", "z1=3", "z2=4"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(
        "invset: no neuron of layer fc8 of mini is called 'hors'. Did you mean horse?"
    )
    assert len(done.stderr.splitlines()) == 1


MISSING = [
    "weights of caffenet (244 MB) are not in {cache}",
    "dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel: ",
    "Put the file at {cache}/bvlc_reference_caffenet.caffemodel by hand, or type network.weights=",
    "Put the file at {cache}/181007__generator.caffemodel by hand, or type generator.weights=",
    "`invset fetch caffenet ppgn_generator`",
    "invset run network=mini neuron=horse",
]


def test_the_paper_without_its_weights(tmp_path: Path) -> None:
    code = (
        "import sys; from invset.hub import obtain; obtain.unreachable = lambda urls:"
        " dict.fromkeys(urls, 'no network')\n"
    )
    code += "from invset.cli import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    words = ["run", "neuron=981", "z1=50", "z2=60"]
    environment = {**os.environ, "INVSET_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert (done.returncode, done.stdout) == (
        2,
        "False\n",
    )  # within two seconds: torch takes one to import
    assert all(part.format(cache=tmp_path / "cache") in done.stderr for part in MISSING)
    assert done.stderr.count("invset: ") == 1
    assert {p.name for p in tmp_path.iterdir()} <= {"cache", "outputs"}


#: What is told before anything is fetched, when the network is a published one.
BEFORE_FETCHING = {
    "called 'volcno'. Did you mean volcano": ["neuron=volcno", "z1=50", "z2=60"],
    "fits several labels: crane (bird)": ["neuron=crane", "z1=50", "z2=60"],
    "neurons 1 to 1000": ["neuron=1001", "z1=50", "z2=60"],
    "neurons 1 to 205": ["network=places205", "neuron=206", "z1=50", "z2=60"],
    "the range is missing": ["neuron=981"],
    "a name: tench, goldfish": ["z1=50", "z2=60"],
    "called 'toilet set'. Did you mean toilet seat": [
        "neurons=[{neuron: monastery, z1: 1, z2: 2}, {neuron: toilet set, z1: 1, z2: 2}]"
    ],
    "z1 must be below z2": ["neuron=981", "z1=60", "z2=50"],
}


@pytest.mark.parametrize("message", BEFORE_FETCHING)
def test_mistakes_before_a_download(
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INVSET_CACHE", str(tmp_path / "cache"))
    words = BEFORE_FETCHING[message]
    assert (
        run(
            monkeypatch,
            "run",
            *([] if "network=places205" in words else ["network=caffenet"]),
            *words,
        )
        == 2
    )
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_versions_and_unknown_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("invset 0.")
    assert run(monkeypatch, "sample") == 2
    assert capsys.readouterr().err.startswith("invset: there is no command 'sample'.")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *command.split(), "--help") == 0
    told = capsys.readouterr().out
    assert f"invset {command}" in told
    assert told.endswith(f"\n{ABOUT_FLAGS}\n")


def test_ctrl_c_while_starting_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("invset.config.build.problem", ctrl_c)
    assert run(monkeypatch, "run", "neuron=1", "z1=3", "z2=4") == 130
    assert capsys.readouterr().err == "invset: interrupted\n"


def test_a_name_that_fits_several(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join(["grey whale", "killer whale", *"abcdefgh"]))
    (tmp_path / "twins.py").write_text(
        "from invset.nets.embedded import mini_network\ndef build(): return mini_network().module\n"
    )
    custom = [
        "network=custom",
        "network.module._target_=twins.build",
        "network.labels=labels.txt",
        "network.image_size=32",
    ]
    assert (
        run(
            monkeypatch,
            "run",
            "neuron=whale",
            "z1=3",
            "z2=4",
            "prior=none",
            "generator=pixels",
            *custom,
        )
        == 2
    )
    err = capsys.readouterr().err
    assert "grey whale" in err
    assert "killer whale" in err


def test_memory_and_defects_are_told_apart() -> None:
    assert (
        bad_input(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "run")
        is not None
    )
    assert bad_input(RuntimeError("shapes do not match"), "run") is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_is_not_replaced_in_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "run", "neuron=1", "z1=3", "z2=4", "device=cuda") == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    assert (
        run(monkeypatch, "run", "neuron=1", "z1=3", "z2=4", f"hydra.run.dir={tmp_path}/file/run")
        == 2
    )
    assert "can't write" in capsys.readouterr().err


def test_bad_input_of_other_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = {
        "compare use=[strem]": "Did you mean stream",
        "compare neurons=horse": "neurons= is a list of layers",
        "run network=mini neurons=horse": "neurons= is a list",
        "train network": "is missing",
        "train generator": "is missing",
        "fit prior data=/nowhere out=p": "/nowhere",
        "fit reference data=/nowhere out=p": "/nowhere",
    }
    for words, message in wrong.items():
        assert run(monkeypatch, *words.split()) == 2
        err = capsys.readouterr().err
        assert err.splitlines()[-1].startswith("invset: ")
        assert message in err
    assert not list(tmp_path.iterdir())


def test_resume_wants_a_run_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "run", "--resume", str(tmp_path)) == 2
    assert "is no run folder" in capsys.readouterr().err
    assert run(monkeypatch, "run", "--resume") == 2
