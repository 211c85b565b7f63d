"""The wheel holds all it needs: it is built, installed elsewhere, and run from there without the
source tree.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from report_folders import write_run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (file,) = out.glob("*.whl")
    return file


def test_wheel_holds_configs_and_assets(wheel):
    expected = {Path("invset/py.typed")}
    expected |= {"invset" / file.relative_to(ROOT) for file in (ROOT / "configs").rglob("*.yaml")}
    folders = [ROOT / "invset" / "assets", ROOT / "invset" / "report" / "templates"]
    expected |= {
        file.relative_to(ROOT) for folder in folders for file in folder.rglob("*") if file.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {path.as_posix() for path in expected} - names == set()
    assert "invset/configs/run.yaml" in names


def test_installed_wheel_runs_anywhere(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
        "--target",
        site,
        wheel,
        cwd=tmp_path,
    )

    # -S skips the .pth files, by which an editable install would put the source tree back on the
    # path
    packages = [path for path in sys.path if path.endswith("-packages")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *packages])}
    paths = run(
        "-S",
        "-c",
        "import invset, sys; print(invset.__file__, *sys.path, sep='\\n')",
        cwd=elsewhere,
        env=env,
    ).splitlines()
    assert Path(paths[0]).is_relative_to(site)
    assert str(ROOT) not in paths

    assert "sampler" in run("-S", "-m", "invset.cli", "run", "--cfg", "job", cwd=elsewhere, env=env)

    # the templates of reports are found
    folder = write_run(tmp_path / "run", 3)
    run("-S", "-m", "invset.cli", "report", folder, cwd=elsewhere, env=env)
    assert (folder / "report.html").stat().st_size > 10_000
