"""The paper's figures: their sweeps compose, run and are drawn; their tables hold what NumPy says;
``make`` types their commands.
"""

from __future__ import annotations

import csv
import functools
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from report_folders import write_pictures, write_run
from safetensors.numpy import load_file
from typed import typed

from invset.commands.figure import main
from invset.commands.real_row import real_rows
from invset.config.compose import compose, config_dir
from invset.config.validate import check_config
from invset.errors import InvsetError
from invset.files.images import to_float
from invset.nets.embedded import mini_network
from invset.nets.labels import find_neuron, labels
from invset.report.paper_figure import Composition, label, rows, table
from invset.report.sweep_folder import read_job
from invset.samplers.ppgn import PPGN

CONFIGS = config_dir()
FIGURES = sorted(
    p.relative_to(CONFIGS / "experiment/figures").with_suffix("").as_posix()
    for p in (CONFIGS / "experiment/figures").rglob("*.yaml")
)
SWEEPS = [name for name in FIGURES if not name.endswith("/ladder")]


@functools.cache
def config(*overrides: str) -> DictConfig:
    return compose("run", overrides, with_hydra=True)


@cache
def jobs_of(name: str) -> list[list[str]]:
    """The words of each job, split as Hydra splits them."""
    params = OmegaConf.to_container(config(f"experiment=figures/{name}").hydra.sweeper.params)
    assert isinstance(params, dict)
    words = OverridesParser.create().parse_overrides(
        [f"{key}={value}" for key, value in params.items()]
    )
    return [
        list(job)
        for batch in BasicSweeper.split_arguments(words, max_batch_size=None)
        for job in batch
    ]


def values(jobs: list[list[str]], key: str) -> list[str]:
    return list(
        dict.fromkeys(
            word.removeprefix(f"{key}=")
            for job in jobs
            for word in job
            if word.startswith(f"{key}=")
        )
    )


#: Jobs of each figure: methods times questions, and times seeds in Table 1.
COUNTS = {
    "fig1": 2 * 6,
    "fig2": 3 * 3,
    "fig3": 2 * 2,
    "fig4": 2 * 3,
    "fig5": 2 * 2,
    "fig6": 2 * 2,
    "fig7": 3,
    "fig8": 3,
    "fig9": 4,
}
COUNTS["table1"] = 3 * 3 * 3
#: Of the claims, with three neurons or pairs and three seeds each; only the embedded pair has them.
CLAIMS = {
    "claims_seeds": 5 * 3 * 3,
    "claims_walk": 2 * 3 * 3,
    "claims_levels": 2 * 3 * 3,
    "claims_both": 2 * 3 * 3,
}
COUNTS |= CLAIMS


def test_every_figure_is_there() -> None:
    of = {
        network: {name.split("/")[1] for name in FIGURES if name.startswith(f"{network}/")}
        for network in ("mini", "caffenet", "places205")
    }
    here = {*COUNTS, "ladder"}
    assert of == {"mini": here, "caffenet": here - {"fig6", *CLAIMS}, "places205": {"fig6"}}


@pytest.mark.parametrize("name", SWEEPS)
def test_every_job_of_a_figure_composes(name: str) -> None:
    jobs = jobs_of(name)
    network, figure = name.split("/")
    assert len(jobs) == COUNTS[figure] == len({tuple(job) for job in jobs})
    for option in values(jobs, "sampler"):
        job = next(job for job in jobs if f"sampler={option}" in job)
        cfg = config(f"experiment=figures/{name}", *job)
        few = {"fig7": 10, "fig8": 10, "fig9": 100, "claims_seeds": 10, "claims_levels": 100}
        n = few.get(figure, 500)
        assert hydra.utils.instantiate(cfg.sampler).n == n
        assert cfg.hydra.sweep.dir == f"outputs/figures/{name}"  # where the Makefile looks for it
        assert cfg.network.name == ("mini64" if name == "mini/fig6" else network)
    asked = values(jobs, "neurons") or values(jobs, "range") or values(jobs, "neuron")
    for question in asked:
        check_config(
            config(
                f"experiment=figures/{name}",
                next(word for job in jobs for word in job if word.endswith(f"={question}")),
            )
        )


#: Experiments of the paper, and ours in their place: the networks of neuron, E and generator.
PROTOCOL = {
    "caffenet": ("caffenet", "caffenet", "ppgn_generator"),
    "places205": ("places205", "caffenet", "ppgn_generator"),
    "mini": ("mini", "mini", "mini"),
    "mini64": ("mini64", "mini64", "mini64"),
}
PLACES = {"paper/gas_station", "paper/phone_booth"}
EXPERIMENTS = [
    *(f"figures/{name}" for name in FIGURES),
    *(
        f"paper/{path.stem}"
        for path in sorted((CONFIGS / "experiment/paper").glob("*.yaml"))
        if path.stem not in ("base", "both")  # of any network
    ),
]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_the_papers_protocol(name: str) -> None:
    """Section 4: E is CaffeNet's fc6 in all experiments, and G inverts it; section 3.4: the
    published sampler starts at E of random pictures, in all of code space, and knows z1 alone.
    """
    of = "mini64" if name == "figures/mini/fig6" else name.split("/")[1]
    of = of if name.startswith("figures/") else "places205" if name in PLACES else "caffenet"
    sampler = [] if name.endswith("/ladder") else ["sampler=paper"]
    cfg = config(f"experiment={name}", *sampler)
    e = cfg.network if cfg.encoder_network is None else cfg.encoder_network
    assert (cfg.network.name, e.name, cfg.generator.name) == PROTOCOL[of]
    assert cfg.encoder == "fc6"
    if sampler:
        assert (cfg.prior, cfg.sampler.constraint, cfg.sampler.units) == ("none", "paper", "raw")
        assert cfg.eight_bit == compose("run", ["sampler=paper"]).eight_bit
        assert cfg.generator.get("prior") is None


@pytest.mark.parametrize("name", SWEEPS)
def test_every_method_of_a_figure_has_a_label(name: str) -> None:
    figure = Composition(**OmegaConf.to_container(config(f"experiment=figures/{name}").figure))  # type: ignore[arg-type]
    assert list(figure.labels) == values(jobs_of(name), "sampler") or set(figure.labels) == set(
        values(jobs_of(name), "sampler")
    )
    assert len(set(figure.labels.values())) == len(figure.labels)
    assert figure.picked >= figure.columns


#: The paper's neurons, by number from 1, and what its figures call them.
PAPER = {
    "caffenet": {
        981: "volcano",
        947: "cardoon",
        1000: "toilet tissue",
        664: "monastery",
        862: "toilet seat",
    },
    "places205": {88: "gas_station", 141: "phone_booth"},
}


@pytest.mark.parametrize("name", FIGURES)
def test_neurons_of_figures_are_known(name: str) -> None:
    network = name.split("/")[0]
    cfg = config(f"experiment=figures/{name}")
    asked: list[dict[str, Any]] = (
        [{"layer": cfg.layer, "neuron": cfg.neuron}] if cfg.neuron is not None else []
    )
    for text in [] if name.endswith("/ladder") else values(jobs_of(name), "neurons"):
        asked += OverridesParser.create().parse_override(f"neurons={text}").value()  # type: ignore[arg-type,operator]
    assert asked
    for one in asked:
        layer = one.get("layer") or "fc8"
        if network == "mini":
            mini = mini_network(name=cfg.network.name)
            find_neuron(
                one["neuron"],
                mini.shape(layer)[0],
                mini.labels if layer == mini.output else None,
                layer,
            )
        elif layer == "conv5":
            assert one["neuron"] == 197
        else:
            names = labels("imagenet" if network == "caffenet" else network)
            assert PAPER[network][one["neuron"]] in names[one["neuron"] - 1]


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def close(text: str, value: float) -> bool:
    return float(text) == pytest.approx(value, rel=1e-4, abs=1e-6)


LITTLE = ["n=4", "K=2", "report=false", "progress=false"]

#: A figure, what is typed so that few of its jobs are sampled (that each of them composes is tested
#: above), and its methods.
SAMPLED = [
    pytest.param("fig3", ["range=[1,2]"], ["as published", "ours"], id="fig3"),
    pytest.param(
        "fig8",
        [],
        ["eq. (15): no distances, one start", "eq. (6), one start", "ours, many starts"],
        id="fig8",
    ),
    pytest.param(
        "table1",
        ["neurons=[{neuron: horse, z1: 3, z2: 5}]", "sampler=stream,ppgn", "seed=0,1"],
        ["ours", "PPGN"],
        id="table1",
    ),
    pytest.param(
        "fig1",
        ["range=[16,18],[1,3]"],
        ["as published", "ours"],
        id="fig1",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "fig2",
        ["neurons=[{neuron: truck, z1: 12, z2: 14}]"],
        ["ours", "as published", "PPGN"],
        id="fig2",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "fig4",
        [
            "neurons=[{neuron: ship, z1: 4, z2: 6}],[{neuron: horse, z1: 4, z2: 6},"
            "{neuron: ship, z1: 4, z2: 6}]"
        ],
        ["as published", "ours"],
        id="fig4",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "fig5",
        [
            "neurons=[{layer: conv5, neuron: 80, z1: 2, z2: 3},"
            "{layer: fc8, neuron: ship, z1: 4, z2: 6}]"
        ],
        ["as published", "ours"],
        id="fig5",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "fig7",
        [],
        ["eq. (14): codes", "eq. (6): encodings", "ours"],
        id="fig7",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "fig9",
        # processors without bfloat16 take ten times as long with it
        ["runtime.autocast=off", "limits.code_steps=300"],
        [
            "eq. (16)",
            "seed codes to the end, then eq. (7)",
            "the fast way, section 3.4",
            "ours",
        ],
        id="fig9",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("figure", "words", "methods"), SAMPLED)
def test_a_figure_is_sampled_and_drawn(
    figure: str,
    words: list[str],
    methods: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original = PPGN.__init__
    monkeypatch.setattr(
        PPGN, "__init__", lambda self, **options: original(self, **{**options, "n_iters": 2})
    )  # one option of few samplers
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / figure
    assert typed(
        monkeypatch,
        "run",
        "-m",
        f"experiment=figures/mini/{figure}",
        *LITTLE,
        # PPGN has no inner steps
        *(["limits.code_steps=60"] if "PPGN" in methods else ["inner_steps=2"]),
        *words,
        f"hydra.sweep.dir={folder}",
    ) in (0, 3)
    assert [path.name for path in tmp_path.iterdir()] == [
        figure
    ]  # no folder of another name is left
    capsys.readouterr()
    assert typed(monkeypatch, "figure", str(folder)) == 0
    printed = capsys.readouterr().out
    assert printed == (folder / "figure.md").read_text() + f"{folder / 'figure.png'}\n"
    jobs = [path for path in folder.iterdir() if path.name.isdigit()]
    table = read(folder / "figure.csv")
    few = {"fig1": 4, "fig2": 3, "fig3": 2, "fig4": 4, "fig5": 2, "table1": 4}
    assert len(table) == len(jobs) == few.get(figure, COUNTS[figure])
    assert list(dict.fromkeys(row["method"] for row in table)) == methods
    for job, row in zip(sorted(jobs, key=lambda path: int(path.name)), table, strict=True):
        tensors, activations = load_file(job / "samples.safetensors"), read(job / "activations.csv")
        codes, e = tensors["codes"], tensors["encodings"].astype(float)
        assert int(row["counts.saved"]) == len(codes) == len(activations)
        assert float(row["counts.share_in_range"] or 0) == (
            np.mean([r["in_range"] == "True" for r in activations]) if activations else 0
        )
        assert (
            row["codes.extreme"] == ""
            if not len(codes)
            else close(row["codes.extreme"], np.median(np.abs(codes).max(1)))
        )
        pairs = [
            np.linalg.norm(a - b) / np.sqrt(e.shape[1]) for i, a in enumerate(e) for b in e[:i]
        ]
        assert (
            row["diversity.distance_over_root_d"] == ""
            if not pairs
            else close(row["diversity.distance_over_root_d"], np.mean(pairs))
        )
    assert any(int(row["counts.saved"]) > 1 for row in table)
    with Image.open(folder / "figure.png") as picture:
        assert picture.height > len(jobs) * 96

    if figure == "fig3":
        real = real_pictures(folder, tmp_path / "photographs", capsys)
        with Image.open(real) as picture:
            assert picture.height > (len(jobs) + 1) * 96
        assert main([str(folder)]) == 0

    # once more, without sampling: the same bytes
    names = ("figure.png", "figure.csv", "figure.md")
    first = [(folder / name).read_bytes() for name in names]
    monkeypatch.setattr("invset.samplers.drive.drive", None)
    assert main([str(folder)]) == 0
    assert first == [(folder / name).read_bytes() for name in names]


def real_pictures(folder: Path, photographs: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The figure with a row of real pictures, whose label says how many are in range."""
    write_pictures(photographs, 12, 32, np.random.default_rng(0))
    jobs = [read_job(path) for path in folder.iterdir() if path.name.isdigit()]
    section = Composition.of(jobs, folder)
    (row,) = real_rows(section, jobs, photographs)
    stored = mini_network().medium.load(photographs)
    with torch.no_grad():
        maps = mini_network().taps(to_float(stored), ["conv5"])["conv5"]
        f = maps[:, 79, maps.shape[2] // 2, maps.shape[3] // 2]
    inside = ((f >= 1) & (f <= 2)).sum().item()
    assert row.label.split("\n") == [
        "real images",
        "conv5:80 in [1, 2]",
        f"{inside} of 12 in range",
    ]
    away = torch.maximum(1 - f, f - 2).clamp_min(0)
    nearest = away.argsort(stable=True)[:10]
    expected = nearest[f[nearest].argsort(stable=True)]
    assert row.captions == [f"{f[i]:.1f}" + ("" if away[i] == 0 else "*") for i in expected]
    assert row.images.equal(stored[expected])
    capsys.readouterr()
    assert main([str(folder), f"real={photographs}"]) == 0
    return folder / "figure.png"


SECTION = {"title": "Figure 0", "labels": {"paper": "as published", "stream": "ours"}}


def write_job(
    folder: Path,
    sampler: str,
    reason: str = "",
    section: dict[str, Any] | None = SECTION,
    **options: Any,
) -> Path:
    """A job's folder; with a reason it failed."""
    if not reason:
        write_run(folder, **options)
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(
        json.dumps(["network=mini", f"sampler={sampler}"])
    )
    (folder / ".hydra" / "config.yaml").write_text(
        json.dumps({"figure": section} if section else {})
    )
    if reason:
        (folder / "failed.json").write_text(json.dumps({"exit_code": 2, "reason": reason}))
    return folder


def ink(picture: Image.Image, row: int, left: int = 0) -> int:
    """Pixels of a row of the figure that are not paper; rows are 96 pixels, a caption of 16 and a
    gap of 4 apart, below 40.
    """
    pixels = np.array(picture)[40 + row * 116 : 40 + row * 116 + 96, left:]
    return int((pixels < 250).any(-1).sum())


def test_jobs_without_samples_are_drawn(tmp_path: Path) -> None:
    write_job(tmp_path / "0", "paper", n=12)
    write_job(tmp_path / "1", "stream", reason="z1 must be below z2")
    write_job(tmp_path / "2", "stream", n=0)
    nothing = json.loads((tmp_path / "2" / "summary.json").read_text())
    for diversity in (nothing["diversity"], nothing["beside_real"]["alike"]):
        diversity.update(dict.fromkeys(diversity, None), samples=0)
    (tmp_path / "2" / "summary.json").write_text(json.dumps(nothing))
    write_job(tmp_path / "3", "paper", n=1)
    one = json.loads((tmp_path / "3" / "summary.json").read_text())
    one["beside_real"]["alike"] |= {"nearest_neighbour": None, "vendi": 1.0}
    (tmp_path / "3" / "summary.json").write_text(json.dumps(one))
    assert main([str(tmp_path)]) == 0
    with Image.open(tmp_path / "figure.png") as picture:
        width, shown = (
            picture.width,
            [ink(picture, row, left=picture.width - 10 * 100 - 10) for row in range(4)],
        )
        named = [ink(picture, row) for row in range(4)]
    assert width > 10 * 100
    assert shown[0] > 9 * 96 * 96  # ten pictures
    assert shown[1] == shown[2] == 0
    assert 0 < shown[3] < 2 * 96 * 96
    assert min(named) > 200  # each row is labelled
    table = read(tmp_path / "figure.csv")
    assert [row["counts.saved"] for row in table] == [
        "12",
        "0",
        "1",
    ]  # the job that failed has no figures
    assert [row["codes.extreme"] for row in table][1] == ""
    assert "nan" not in (tmp_path / "figure.md").read_text()


def test_labels_of_jobs_without_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from invset.report import paper_figure as figure

    drawn: list[Any] = []
    original = figure.label_grid
    monkeypatch.setattr(
        figure,
        "label_grid",
        lambda grid, *rest, **options: drawn.extend(grid) or original(grid, *rest, **options),
    )
    write_job(tmp_path / "0", "paper", n=12)
    write_job(
        tmp_path / "1",
        "stream",
        reason="z1 must be below z2, but z1=4 and z2=3; for example z1=3 z2=4",
    )
    write_job(tmp_path / "2", "stream", n=0)
    assert main([str(tmp_path)]) == 0
    texts = [text for text, _, _ in drawn]
    assert (
        texts[1]
        == "ours (job 1)\nfailed: z1 must be below z2, but z1=4\nand z2=3; for example z1=3 z2=4"
    )
    assert texts[2] == "ours\nfc8:8 horse in [3, 4]\nno samples"

    # ten of twelve, evenly spaced from the lowest activation to the highest
    samples = sorted(
        read(tmp_path / "0" / "activations.csv"), key=lambda row: float(row["fc8:8 horse"])
    )
    picked = [samples[i] for i in (0, 1, 2, 4, 5, 6, 7, 9, 10, 11)]  # 11 i / 9, rounded
    assert drawn[0][2] == [f"{float(row['fc8:8 horse']):.1f}" for row in picked]
    for image, row in zip(drawn[0][1], picked, strict=True):
        with Image.open(tmp_path / "0" / "samples" / f"{int(row['sample']):05d}.png") as picture:
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), np.array(picture))


def test_what_a_row_measures(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "0", "paper", n=5)
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    figure = Composition(**SECTION)  # type: ignore[arg-type]

    def read() -> tuple[dict[str, Any], str]:
        path.write_text(json.dumps(summary))
        job = read_job(folder)
        assert job.run
        return rows(figure, [job])[0], label(figure, job, job.run)

    summary["counts"] |= {"saved": 5, "in_range": 4, "share_in_range": 0.8}
    row, told = read()
    assert (row["method"], row["neurons"], row["seed"]) == (
        "as published",
        "fc8:8 horse in [3, 4]",
        5,
    )
    assert (row["counts.share_in_range"], row["counts.steps_to_seeds"]) == (0.8, 12)
    assert (row["meter.gradient_steps"], row["beside_real.real.samples"]) == (47, 41)
    assert (
        told == "as published\nfc8:8 horse in [3, 4]\n80% in range\nnearest 17.9 (17.9)\nVendi 9.90"
        " (11.1)"
    )
    summary["beside_real"]["kind"] = "nearest to the range"
    assert read()[1].endswith("Vendi 9.90 (11.1*)")
    summary["beside_real"]["real"] = None
    row, told = read()
    assert told.endswith("80% in range")
    assert row["beside_real.real.vendi"] is None


def test_the_table_has_a_line_for_each_question_and_method(tmp_path: Path) -> None:
    jobs = []
    for i, (sampler, high) in enumerate([("paper", 4), ("stream", 5), ("stream", 4), ("paper", 4)]):
        write_job(tmp_path / str(i), sampler, n=5, ranges=((3.0, float(high)),))
        jobs.append(read_job(tmp_path / str(i)))
    lines = table(Composition(**SECTION), jobs)  # type: ignore[arg-type]
    head, _, *found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [line[:3] for line in found] == [
        ["fc8:8 horse in [3, 4]", "as published", "2"],
        ["fc8:8 horse in [3, 4]", "ours", "1"],
        ["fc8:8 horse in [3, 5]", "ours", "1"],
    ]
    vendi = head.index("Vendi score (real images)")
    assert [line[vendi] for line in found] == ["9.90 ± 0.00 (11.1)"] + ["9.90 (11.1)"] * 2


@pytest.mark.parametrize(
    "case", ["no folder", "no jobs", "no section", "a section of other keys", "no job ended"]
)
def test_what_is_no_figure(case: str, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    if case == "no jobs":
        folder.mkdir()
    elif case == "no job ended":
        write_job(folder / "0", "paper", reason="z1 must be below z2")
    elif case != "no folder":
        write_job(
            folder / "0",
            "paper",
            section=None if case == "no section" else {**SECTION, "rows": 3},
            n=2,
        )
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvsetError) as error:
        main([str(folder)])
    said = {
        "no section": "is no figure's",
        "a section of other keys": (
            "takes title, labels, picked, columns, order, chains, but holds title, labels, rows"
        ),
        "no job ended": "has ended",
    }
    assert said.get(case, "holds no jobs of a sweep") in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert (main(["--help"]), main(["-h"]), main([]), main(["--redo"])) == (0, 0, 2, 2)
    said = capsys.readouterr().out.splitlines()
    assert len(set(said)) == 1
    assert said[0].startswith("usage: invset figure outputs/figures/mini/fig1")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile, the figures' files and a virtual environment that counts as installed."""
    if not shutil.which("make"):
        pytest.skip("needs make")
    source = CONFIGS.parent
    if not (source / "Makefile").is_file():
        pytest.skip("needs the checkout's Makefile")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(source / name, tmp_path / name)
    shutil.copytree(CONFIGS / "experiment/figures", tmp_path / "configs/experiment/figures")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.installed").touch()
    return tmp_path


def make(checkout: Path, *words: str) -> tuple[int, list[str]]:
    """Exit code, and the lines that would be typed."""
    done = subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [re.sub(" +", " ", line) for line in done.stdout.splitlines()]


def commands(figure: str, network: str = "mini") -> list[str]:
    folder = f"outputs/figures/{network}/{figure}"
    sample = f".venv/bin/invset run -m experiment=figures/{network}/{figure} || test $? -eq 3"
    return [f"rm -rf {folder}", sample, f".venv/bin/invset figure {folder}"]


def ladder(network: str = "mini") -> list[str]:
    sample = f".venv/bin/invset run experiment=figures/{network}/ladder || test $? -eq 3"
    return [f"rm -rf outputs/figures/{network}/ladder", sample]


def test_make_types_the_commands(checkout: Path) -> None:
    assert make(checkout, "-n", "fig3") == (0, commands("fig3"))
    assert make(checkout, "-n", "fig1") == (0, [*ladder(), *commands("fig1")])
    assert make(checkout, "-n", "fig6", "NETWORK=places205") == (0, commands("fig6", "places205"))
    code, typed = make(checkout, "-n", "figures", "NETWORK=caffenet")
    names = [f"fig{i}" for i in (1, 2, 3, 4, 5, 7, 8, 9)] + ["table1"]
    assert code == 0
    collect = ".venv/bin/python benchmarks/results.py outputs/figures/caffenet"
    lines = [line for name in names for line in commands(name, "caffenet")]
    assert sorted(typed) == sorted([*ladder("caffenet"), *lines, collect])
    assert typed[-1] == collect
    for name in names:  # a figure is drawn after its sweep
        first, second, third = (typed.index(line) for line in commands(name, "caffenet"))
        assert first < second < third
    assert "n=4 || test $? -eq 3" in make(checkout, "-n", "fig3", "ARGS=n=4")[1][1]


def test_make_draws_again_without_sampling(checkout: Path) -> None:
    folder = checkout / "outputs/figures/mini/fig3"
    folder.mkdir(parents=True)
    (folder / "sweep.csv").touch()
    assert make(checkout, "-n", "fig3") == (0, commands("fig3")[2:])
    (folder / "figure.png").touch()
    code, typed = make(checkout, "-n", "fig3")
    assert (code, [line for line in typed if "invset" in line]) == (0, [])


@pytest.mark.parametrize(
    "words",
    [["fig6", "NETWORK=caffenet"], ["fig1", "NETWORK=places205"], ["figures", "NETWORK=nothing"]],
    ids=" ".join,
)
def test_make_says_which_figures_a_network_has(checkout: Path, words: list[str]) -> None:
    code, said = make(checkout, *words)
    assert code == 2
    assert re.match(
        r"NETWORK=\w+ has no fig\d, it has ([\w ]*fig1 fig2[\w ]*|fig6|none): see"
        r" configs/experiment/figures",
        said[0],
    )


def test_samples_as_they_were_taken_and_one_of_each_chain(tmp_path: Path) -> None:
    write_job(tmp_path / "0", "ppgn", n=6)
    job = read_job(tmp_path / "0")
    assert job.run is not None
    f = [sample.after[0] for sample in job.run.samples]
    parents = [sample.parent for sample in job.run.samples]
    section = {**SECTION, "picked": 4}
    assert Composition(**section, order="taken").chosen(job, job.run) == [0, 1, 2, 3]  # type: ignore[arg-type]
    chains = Composition(**section, chains=["ppgn"]).chosen(job, job.run)  # type: ignore[arg-type]
    assert {parents[i] for i in chains} == set(parents)
    assert [f[i] for i in chains] == sorted(f[i] for i in chains)
    assert Composition(**section, chains=["stream"]).chosen(job, job.run) != chains  # type: ignore[arg-type]
