"""A small true file, or several, of every kind that invset reads, and what reads each."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms
from scipy.io import savemat
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from caffe_files import message, number, write_caffemodel
from report_folders import write_run

from invset.analysis.judged import Judged
from invset.analysis.reference import Reference
from invset.commands.sweep import join
from invset.config.build import bounds
from invset.config.directions import load_direction
from invset.core.space import CodePrior
from invset.files.images import load_images
from invset.files.readers import read_weights
from invset.files.reading import read_config
from invset.files.rundir import RunDir
from invset.files.tabular import Table
from invset.hub.archives import unpack
from invset.hub.cache import recorded
from invset.hub.download import Unavailable
from invset.nets.amplitudes import Amplitudes
from invset.nets.caffe.fill import read_mean
from invset.nets.labels import read_labels
from invset.nets.mini import MiniNet
from invset.nets.natural import read_prior, save_prior
from invset.nets.upconv import UpConv
from invset.nets.weights import load_trained, save_mini, save_upconv
from invset.report.run_page import write_report
from invset.training.checkpoint import load_checkpoint, save_checkpoint, surroundings

MINI = {"widths": (2, 2, 2, 2, 2), "fc6": 3, "fc7": 2, "n_out": 2, "size": 8}
UP = {"code_dim": 4, "size": 8, "hidden": (4,), "start": 2, "widths": ((2, 2),)}
TABLE = Table(["age", "job"], {"age": [0, 9]}, None, {"job": ["none", "a b", "König"]})


@dataclass(frozen=True)
class Kind:
    """One reader.

    Attributes:
        file: a true file; or a folder, of which files are changed.
        read: reads it, whatever is in it now.
        parts: files of a folder that are changed, by pattern.
    """

    file: Path
    read: Callable[[Path], Any]
    parts: str = ""


def kinds(folder: Path) -> dict[str, Kind]:
    """Every kind, with its true file in `folder`."""
    found = {**_weights(folder), **_fitted(folder), **_texts(folder), **_pictures(folder)}
    return {**found, **_runs(folder)}


def look(value: Any) -> Any:
    """Touch every number, as whoever uses it would."""
    if isinstance(value, Tensor):
        return value.to_dense().to(torch.complex128).sum().item() if value.numel() else 0
    if isinstance(value, np.ndarray):
        return value.sum() if value.dtype.kind in "fiu" else None
    if isinstance(value, dict):
        return [look(one) for one in value.values()]
    if isinstance(value, (list, tuple)):
        return [look(one) for one in value]
    if isinstance(value, nn.Module):
        return look(value.state_dict())
    return look(vars(value)) if is_dataclass(value) else None


def _tensors() -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    shapes = {"conv1.weight": (2, 3, 2, 2), "conv1.bias": (2,), "fc.weight": (3, 2)}
    found = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    found["fc.bias"] = found["fc.weight"][:, 0]  # of one storage with another
    found["count"] = torch.tensor(3)
    found["half"] = torch.ones(4).bfloat16()
    return found


def _weights(folder: Path) -> dict[str, Kind]:
    from safetensors.torch import save_file

    state = _tensors()
    torch.save(state, folder / "zip.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    checkpoint = {"model_state_dict": state, "epoch": 3, "optimizer": {"state": {0: state}}}
    torch.save(checkpoint, folder / "checkpoint.pth")
    single = {name: tensor.clone() for name, tensor in state.items()}
    save_file(single, folder / "plain.safetensors", {"about": "me"})
    blobs = {
        "conv1": [np.arange(24, dtype="f").reshape(2, 3, 2, 2), np.array([1, 2], "f")],
        "fc": [np.arange(6, dtype="f").reshape(3, 2), np.array([3, 4, 5], "f")],
    }
    for dialect in ("v0", "v1", "layer"):
        write_caffemodel(folder / f"{dialect}.caffemodel", blobs, dialect=dialect)
    (folder / "net.onnx").write_bytes(_onnx())
    _write_mat(folder / "net.mat", compressed=False)
    _write_mat(folder / "packed.mat", compressed=True)
    shards = folder / "shards"
    shards.mkdir()
    save_file(single, shards / "model-1.safetensors")
    names = {"weight_map": dict.fromkeys(single, "model-1.safetensors")}
    (shards / "model.index.json").write_text(json.dumps(names))
    mini = folder / "mini.safetensors"
    save_mini(mini, MiniNet(**MINI), MINI)
    save_upconv(folder / "up.safetensors", UpConv(**UP), UP)
    files = ("zip.pth", "old.pth", "checkpoint.pth", "plain.safetensors", "net.onnx", "net.mat")
    files += ("packed.mat", *(f"{dialect}.caffemodel" for dialect in ("v0", "v1", "layer")))
    return {
        **{f"weights {name}": Kind(folder / name, read_weights) for name in files},
        "weights in shards": Kind(
            shards, lambda path: read_weights(path / "model.index.json"), "*.json"
        ),
        "a mini network": Kind(mini, lambda path: load_trained(MiniNet, "mini", path)),
        "a generator": Kind(
            folder / "up.safetensors", lambda path: load_trained(UpConv, "upconv", path)
        ),
    }


def _onnx() -> bytes:
    weights = np.arange(24, dtype="<f4")
    dims = b"".join(number(1, side) for side in (2, 3, 2, 2))
    tensors = (
        dims + number(2, 1) + message(8, "conv1_w_0") + message(9, weights.tobytes()),
        number(1, 2) + number(2, 1) + message(4, weights[:2].tobytes()) + message(8, "conv1_b_0"),
    )
    return number(1, 3) + message(7, b"".join(message(5, tensor) for tensor in tensors))


def _write_mat(path: Path, compressed: bool) -> None:
    weights = np.empty((1, 2), object)
    weights[0, 0] = np.arange(24, dtype="f").reshape(2, 2, 3, 2)
    weights[0, 1] = np.ones((2, 1), "f")
    layers = np.empty((1, 1), object)
    layers[0, 0] = {"name": "conv1", "type": "conv", "weights": weights}
    savemat(path, {"layers": layers, "meta": {"about": "me"}}, do_compression=compressed)


def _fitted(folder: Path) -> dict[str, Kind]:
    from safetensors.torch import save_file

    rng = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    save_prior(folder / "prior.safetensors", CodePrior.fit(normal(40, 6)))
    judged = Judged(
        "judge", "sum", "fc", normal(40, 3), torch.ones(40, 2).int(), torch.ones(2).int()
    )
    about = {"network": "net", "encoder": "fc6", "images": 40}
    reference = Reference.fit(normal(40, 6), {"fc": normal(40, 2)}, ["fc"], 0.9, about)
    reference = Reference(**{**vars(reference), "judged": judged})
    reference.save(folder / "reference.safetensors")
    pictures = torch.randint(0, 256, (4, 3, 8, 8), generator=rng, dtype=torch.uint8)
    Amplitudes.fit(pictures).save(folder / "spectrum.safetensors")
    save_file({"v": normal(5)}, folder / "direction.safetensors")
    np.save(folder / "mean.npy", np.ones((3, 256, 256), np.float32))
    state = {"state": {"u": normal(4, 6), "step": 3}, "rows": [[1.0, 2.0]], "rng": rng.get_state()}
    run = RunDir(folder / "begun")
    run.write(".hydra/config.yaml", lambda path: path.write_text("seed: 0\n"))
    around = surroundings({"network": "net", "steps": 3}, "cpu")
    run.save_state({**state, "split": None}, around)
    save_checkpoint(folder / "checkpoint.pt", {"rows": 2, **state}, around)
    return {
        "a prior": Kind(folder / "prior.safetensors", read_prior),
        "a reference": Kind(folder / "reference.safetensors", Reference.load),
        "a spectrum": Kind(folder / "spectrum.safetensors", Amplitudes.load),
        "a direction": Kind(
            folder / "direction.safetensors", lambda path: load_direction(str(path))
        ),
        "a mean image": Kind(folder / "mean.npy", read_mean),
        "a state": Kind(
            folder / "begun", lambda path: RunDir(path).load_state(around, (), "go on"), "state.pt"
        ),
        "a checkpoint": Kind(folder / "checkpoint.pt", lambda path: load_checkpoint(path, around)),
    }


def _texts(folder: Path) -> dict[str, Kind]:
    (folder / "labels.txt").write_text("cat\nKöln, Cologne\n犬\n", encoding="utf-8")
    (folder / "table.csv").write_text(
        'age,job,more\n3,none,x\n4.5,König,"y, z"\n', encoding="utf-8"
    )
    (folder / "bounds.txt").write_text("1 2.5 3e2\n4\n")
    (folder / "config.yaml").write_text(
        "sampler:\n  _target_: a.B\n  K: 3\n  names: [a, 'b: c']\nseed: 0\nother: ${seed}\n"
    )
    record = {"sha256": "0", "size": 3, "mtime_ns": 4, "origin": "there"}
    (folder / "net.bin.json").write_text(json.dumps(record))
    return {
        "labels": Kind(folder / "labels.txt", read_labels),
        "a table": Kind(folder / "table.csv", TABLE.load),
        "bounds": Kind(folder / "bounds.txt", lambda path: bounds(str(path), 4)),
        "a configuration": Kind(folder / "config.yaml", lambda path: read_config(path, "again")),
        "a record": Kind(folder / "net.bin.json", lambda path: recorded(path.with_suffix(""))),
    }


def _pictures(folder: Path) -> dict[str, Kind]:
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(rng.integers(0, 65536, (12, 16), dtype=np.uint16))
    made: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "a.png": (colours.convert("RGBA"), {"icc_profile": profile}),
        "palette.png": (colours.convert("P"), {"transparency": 3}),
        "deep.png": (deep, {}),
        "a.jpg": (colours, {"exif": exif, "icc_profile": profile}),
        "cmyk.jpg": (colours.convert("CMYK"), {}),
        "a.bmp": (colours, {}),
        "a.webp": (colours, {"exif": exif}),
        "lossless.webp": (colours.convert("RGBA"), {"lossless": True}),
        "a.tif": (colours, {"compression": "tiff_lzw"}),
        "plain.tif": (deep, {}),
        "jpeg.tif": (colours, {"compression": "jpeg"}),
        "a.gif": (colours.convert("P"), {}),
        "a.ppm": (colours, {}),
    }
    found = {}
    for name, (image, options) in made.items():
        held = folder / f"of {name}"
        held.mkdir()
        image.save(held / name, **options)
        found[f"picture {name}"] = Kind(held, lambda path: load_images(path, 8), "*")
    several = folder / "several"
    several.mkdir()
    for i in range(3):
        colours.rotate(i).save(several / f"{i}.png")
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(several.iterdir()):
            archive.write(file, f"class/{file.name}")
    for kind in ("tar", "tar.gz", "tar.xz"):
        mode: Any = "w" if kind == "tar" else f"w:{kind[4:]}"
        with tarfile.open(folder / f"a.{kind}", mode, format=tarfile.PAX_FORMAT) as archive:
            archive.add(several, f"{'long ' * 30}ü")
    archives = ("a.zip", "a.tar", "a.tar.gz", "a.tar.xz")
    found |= {
        f"pictures {n}": Kind(folder / n, lambda path: load_images(path, 8)) for n in archives
    }
    found |= {f"a download {n}": Kind(folder / n, _unpack) for n in ("a.zip", "a.tar.gz")}
    return found


def _unpack(path: Path) -> None:
    """An archive that `invset fetch` got; one that is damaged is got from elsewhere."""
    if not path.is_file():
        return
    target = path.with_suffix(".out")
    try:
        unpack(path, "1.png", target)
    except Unavailable:
        pass
    finally:
        target.unlink(missing_ok=True)


def _runs(folder: Path) -> dict[str, Kind]:
    run = write_run(folder / "run", 3)
    (run / ".hydra").mkdir(exist_ok=True)
    (run / ".hydra" / "config.yaml").write_text(
        "sampler:\n  _target_: invset.samplers.stream.Stream\n  K: 2\nseed: 0\n"
    )
    (run / ".hydra" / "overrides.yaml").write_text("- neuron=horse\n- 'range=[3,4]'\n")
    sweep = folder / "sweep"
    shutil.copytree(run, sweep / "0")
    failed = sweep / "1"
    shutil.copytree(run / ".hydra", failed / ".hydra")
    (failed / "failed.json").write_text(json.dumps({"reason": "it did not work", "code": 2}))
    return {
        "a run, its texts": Kind(run, write_report, "*.[jc]s[ov]*"),
        "a run, its tensors": Kind(run, write_report, "*.safetensors"),
        "a run, its pictures": Kind(run, write_report, "samples/*.png"),
        "a run, its configuration": Kind(run, write_report, ".hydra/config.yaml"),
        "a sweep": Kind(sweep, lambda path: _silent(join, path), "*/*.json"),
        "a sweep, its words": Kind(sweep, lambda path: _silent(join, path), "*/.hydra/o*.yaml"),
    }


def _silent(function: Callable[..., Any], path: Path) -> None:
    from contextlib import redirect_stdout

    with redirect_stdout(io.StringIO()):
        function(path, True)
