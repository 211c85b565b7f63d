"""A result in a folder of its own: what `Result.save` writes and `Result.load` reads."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invset.core.plain import from_plain, to_plain
from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit
from invset.files.medium import Medium
from invset.files.sealed import read_sealed, write_sealed
from invset.files.tabular import Table
from invset.problem.result_html import page_of
from invset.whole import write_whole

if TYPE_CHECKING:
    from invset.problem.result import Result

#: Holds all of a result, tensors and plain values; it is written last.
WHOLE = "result.state"

_KINDS: dict[str, type[Any]] = {"image": Image8Bit, "table": Table}


def save(result: Result, folder: str | Path) -> None:
    """Write a result: see `Result.save`."""
    home = Path(folder).expanduser()
    try:
        home.mkdir(parents=True, exist_ok=True)
        taken = next(home.iterdir(), None)
    except OSError as error:
        raise InvsetError(f"{home} can't be a folder ({error.strerror}); name another") from error
    if taken is not None:
        raise InvsetError(f"{home} holds {taken.name}; name a folder that is new or empty")
    try:
        if result.medium is not None and len(result):
            (home / "samples").mkdir()
            for name, write in result.medium.files(result.inputs):
                write_whole(home / name, write)
        page = page_of(result)
        write_whole(home / "result.html", lambda file: file.write_text(page, encoding="utf-8"))
        value = {"result": to_plain(replace(result, medium=None)), "medium": _told(result.medium)}
        write_whole(home / WHOLE, partial(write_sealed, value=value))
    except OSError as error:
        raise InvsetError(f"{home} can't be written ({error.strerror})") from error


def load(kind: type[Result], folder: str | Path, medium: Medium | None = None) -> Result:
    """Read a result: see `Result.load`."""
    file = Path(folder).expanduser() / WHOLE
    hint = "name a folder that result.save(folder) wrote"
    if not file.is_file():
        raise InvsetError(f"there is no {file}; {hint}")
    found = read_sealed(file, hint)
    if not isinstance(found, dict) or set(found) != {"result", "medium"}:
        raise InvsetError(f"{file} is a state, but of no result; {hint}")
    return replace(from_plain(kind, found["result"]), medium=medium or _medium(found["medium"]))


def _told(medium: Medium | None) -> dict[str, Any] | None:
    """What a file holds of a medium: its options, or of one of your own its name alone."""
    if medium is None:
        return None
    for kind, known in _KINDS.items():
        if type(medium) is known:
            return {"kind": kind, "options": to_plain(_plain(asdict(medium)))}  # type: ignore[call-overload]
    return {"kind": f"{type(medium).__module__}.{type(medium).__qualname__}", "options": {}}


def _plain(value: Any) -> Any:
    """Options as a configuration may hold them, as lists and dictionaries."""
    if hasattr(value, "items"):
        return {str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "__iter__") and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value


def _medium(told: dict[str, Any] | None) -> Medium | None:
    """The medium that a file tells of."""
    if told is None:
        return None
    if told["kind"] not in _KINDS:
        raise InvsetError(
            f"the inputs are of a medium of your own, {told['kind']}; type"
            " Result.load(folder, medium=…) with an object of that class"
        )
    return _KINDS[told["kind"]](**told["options"])
