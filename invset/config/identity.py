"""Which job a configuration is: the same one gives the same number, whatever it is typed like and
whichever command it belongs to.

What a result depends on: every option but those of `FREE`, the content of the files that options
name, the weights of named networks, code of the person's own, and the format of results.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from invset.config.foreign import ours, targets
from invset.errors import InvsetError
from invset.files.ledger import sha256_of
from invset.files.plan import FREE
from invset.hub.cards import WEIGHTS

#: Version of what a run's folder holds: with another one, a job of a sweep is run again.
RESULT_FORMAT = 1

#: Our modules whose networks are a library's -> its package.
_LIBRARIES = {
    "invset.nets.torchvision": "torchvision",
    "invset.nets.timm": "timm",
    "invset.nets.open_clip": "open_clip_torch",
    "invset.nets.transformers": "transformers",
    "invset.nets.latents": "diffusers",
    "invset.nets.turbo": "diffusers",
    "invset.nets.biggan": "pytorch-pretrained-biggan",
}

_ASSETS = Path(__file__).parents[1] / "assets"


def identity(cfg: DictConfig, folder: str | Path = ".") -> str:
    """The identity of a job: 32 hexadecimal digits.

    Args:
        cfg: a command's configuration, without Hydra's part.
        folder: where relative paths begin.
    """
    try:
        held = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException:  # the job itself says what is wrong with it
        held = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(held, dict)
    named = {str(key): one for key, one in held.items() if key not in FREE}
    options = dict(flat(named))
    parts = {
        "format": RESULT_FORMAT,
        "options": {name: _plain(value) for name, value in options.items()},
        "files": {name: _sum(path) for name, path in named_files(options, Path(folder))},
        "weights": dict(_weights(options)),
        "code": dict(own_code(named)),
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def flat(held: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a container, under its path."""
    if not isinstance(held, (dict, list)) or not held:
        yield path, held
        return
    for key, one in held.items() if isinstance(held, dict) else enumerate(held):
        yield from flat(one, f"{path}.{key}" if path else str(key))


def named_files(options: dict[str, Any], folder: Path = Path()) -> Iterator[tuple[str, Path]]:
    """Name of each option that names a file -> the file.

    Args:
        options: what `flat` gives.
        folder: where relative paths begin.
    """
    for name, value in options.items():
        if isinstance(value, str) and name.rpartition(".")[2] == "sae":
            from invset.files.sae import sae_file  # it needs torch, which no other name does

            with suppress(InvsetError):  # the job itself says that it isn't there
                yield name, sae_file(folder / Path(value).expanduser())
            continue
        if not isinstance(value, str) or "." not in value:
            continue
        file, colon, _ = value.partition(".safetensors:")
        path = folder / Path(f"{file}.safetensors" if colon else value).expanduser()
        if path.is_file():
            yield name, path


def _plain(value: Any) -> Any:
    """A number that is whole is the same as an integer: z1=3.0 and z1=3."""
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole else value


def _sum(path: Path) -> str:
    about = path.stat()
    return _sum_of(str(path.resolve()), about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sum_of(path: str, size: int, changed: int) -> str:
    """Checksum of a file; of one that a thousand jobs name, once while it stays as it is."""
    return sha256_of(Path(path))


def _weights(options: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a name of weights stands for: the file that comes with the package, or the checksums
    under which others have published it.
    """
    for name, value in options.items():
        if not isinstance(value, str):
            continue
        if name.endswith(".name") and value in WEIGHTS:
            yield name, [source.checksum for source in WEIGHTS[value].sources]
        elif name.endswith(".name") and value.isidentifier():
            found = sorted(_ASSETS.glob(f"{value}-*.safetensors"))
            yield name, {path.name: _sum(path) for path in found}
        elif name.endswith("_target_") and (package := _LIBRARIES.get(value.rpartition(".")[0])):
            with suppress(metadata.PackageNotFoundError):  # the job itself says that
                yield name, metadata.version(package)  # which weights DEFAULT is


def own_code(held: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Module -> checksum of its file, of the code that a configuration names, but for ours."""
    for _, target in targets(held):
        module = str(target).rpartition(".")[0]
        if target in ours() or module.split(".")[0] == "invset" or not module:
            continue
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, AttributeError, ValueError):
            continue  # the job itself says that it isn't there
        if spec is not None and spec.origin and Path(spec.origin).is_file():
            yield module, _sum(Path(spec.origin))
