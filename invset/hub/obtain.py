"""Published weights by name: from the cache folder, or over the network into it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from invset.errors import InvsetError
from invset.hub.archives import unpack
from invset.hub.cache import (
    Mismatch,
    alone,
    cache_folder,
    check,
    recorded,
    remember,
    unchanged,
)
from invset.hub.cards import Source, Weights, find_weights
from invset.hub.download import Unavailable, discard, download, unreachable
from invset.progress import bar
from invset.whole import put

log = logging.getLogger(__name__)

#: What works without any of these files.
OFFLINE = "invset run network=mini neuron=horse z1=5 z2=7"


def weights(name: str) -> Path:
    """The file of published weights, fetched if it isn't in the cache; its suffix is its format.

    Args:
        name: a key of `invset.hub.cards.WEIGHTS`.

    Returns:
        A .caffemodel, .onnx or .mat file.

    Raises:
        InvsetError: no such name; or the file is nowhere to be had, or isn't the published one.
    """
    return fetch([name])[name]


def fetch(names: Iterable[str], options: Mapping[str, str] | None = None) -> dict[str, Path]:
    """The files of several names. What can be had is fetched, also when others can't.

    Args:
        names: keys of `invset.hub.cards.WEIGHTS`.
        options: name -> the option that takes a file of the user's own, where it isn't the usual
            one.

    Raises:
        InvsetError: an unknown name, or a file that can't be had.
    """
    entries = {name: find_weights(name) for name in names}
    for name, option in (options or {}).items():
        entries[name] = replace(entries[name], option=option)
    urls = [
        source.url for entry in entries.values() if not present(entry) for source in entry.sources
    ]
    # once for all of them: without a network this takes its full time
    down = unreachable(urls) if urls else {}
    found: dict[str, Path] = {}
    failed: list[str] = []
    for name, entry in entries.items():
        try:
            found[name] = _get(name, entry, down)
        except InvsetError as error:
            failed.append(str(error))
    if failed:
        missing = " ".join(name for name, entry in entries.items() if not present(entry))
        elsewhere = (
            f"On a machine with a network `invset fetch {missing}` gets them. " if missing else ""
        )
        raise InvsetError(
            "\n".join([*failed, f"{elsewhere}What runs without these files: {OFFLINE}"])
        )
    return found


def present(entry: Weights) -> Path | None:
    """A file of `entry` in the cache, or an archive that holds it, unchecked; None if there is
    neither.
    """
    places = [
        cache_folder() / name for source in entry.sources for name in (source.file, source.download)
    ]
    return next((place for place in places if place.is_file()), None)


def _get(name: str, entry: Weights, down: dict[str, str]) -> Path:
    folder = cache_folder()
    try:
        path = _cached(name, entry)
        if path is not None:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / f".{name}.lock", "fetching this file"):
            # another process may have fetched it while we waited
            return _cached(name, entry) or _unpacked(name, entry) or _download(name, entry, down)
    except OSError as error:
        what = f"can't read or write {error.filename or folder} ({error.strerror or error})"
        raise InvsetError(f"{what}; type INVSET_CACHE=/a/folder/of/yours before invset") from error


def _cached(name: str, entry: Weights) -> Path | None:
    """The first file of `entry` in the cache, whoever put it there."""
    for source in entry.sources:
        path = cache_folder() / source.file
        if not path.is_file():
            continue
        if not unchanged(path):
            try:
                _admit(path, path, entry, source, "put there by hand")
            except Mismatch as error:
                own = f"for weights of your own, leave it and type {entry.option}={path}"
                raise InvsetError(
                    f"{path} is not the published file: {error}. Delete it, then type invset fetch"
                    f" {name}; or, {own}"
                ) from error
        return path
    return None


def _unpacked(name: str, entry: Weights) -> Path | None:
    """The file of `entry` out of an archive that somebody put into the cache."""
    for source in entry.sources:
        archive = cache_folder() / source.download
        if source.member and archive.is_file():
            try:
                return _extract(archive, entry, source, str(archive))
            except (Unavailable, Mismatch) as error:
                raise InvsetError(
                    f"{archive} is of no use: {error}. Delete it, then type invset fetch {name}"
                ) from error
    return None


def _download(name: str, entry: Weights, down: dict[str, str]) -> Path:
    reasons = []
    for source in entry.sources:
        try:
            if source.url in down:
                raise Unavailable(down[source.url])
            return _from(name, entry, source)
        except (Unavailable, Mismatch) as error:
            reasons.append(f"  {source.url}: {error}")
    path = cache_folder() / entry.sources[0].file
    raise InvsetError(
        f"the weights of {name} ({entry.size}) are not in {path.parent}, and no address gives"
        " them:\n"
        + "\n".join(reasons)
        + f"\n  Put the file at {path} by hand, or type {entry.option}=/path/to/it"
    )


def _from(name: str, entry: Weights, source: Source) -> Path:
    """Fetch one source."""
    log.info("%s: fetching %s", name, source.url)
    part = cache_folder() / f"{source.download}.part"
    with bar(str(urlsplit(source.url).hostname), "B") as progress:
        download(source.url, part, progress)
    path = cache_folder() / source.file
    try:
        if source.member:
            _extract(part, entry, source, source.url)
        else:
            _admit(part, path, entry, source, source.url)
    except (Unavailable, Mismatch):
        discard(part)  # it is whole, but wrong: going on with it would never help
        raise
    discard(part)
    return path


def _extract(archive: Path, entry: Weights, source: Source, origin: str) -> Path:
    path = cache_folder() / source.file
    part = path.with_name(f"{path.name}.unpacked.part")
    try:
        unpack(archive, source.member or "", part)
        _admit(part, path, entry, source, origin)
    finally:
        part.unlink(missing_ok=True)
    return path


def _admit(file: Path, path: Path, entry: Weights, source: Source, origin: str) -> None:
    """Check `file`, give it its name in the cache, and remember what was seen.

    Raises:
        Mismatch: it is not what it should be.
    """
    first_sight = recorded(path) is None
    sha256 = check(file, path, source, entry.numbers * 4)
    if file != path:
        put(file, path)
    remember(path, sha256, origin)
    if source.checksum is None and first_sight:
        log.warning(
            "no checksum of %s was published; its sha256 is recorded, and checked from now on: %s",
            path.name,
            sha256,
        )
