"""The one way to read a file that may be anything: whatever its decoder raises becomes one sentence
that names the file.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from invset.errors import InvsetError, first_lines, is_out_of_memory

#: Bytes of the longest text that is read, such as a table of a run with 100,000 samples.
LONGEST_TEXT = 1 << 28

#: Characters and levels of the largest configuration: of more, a reader of YAML takes minutes.
LONGEST_CONFIG = 1 << 20
DEEPEST_CONFIG = 50

#: Marks at the beginning of a text and what they say of it, the longer ones first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextmanager
def reading(path: str | Path, what: str, hint: str) -> Iterator[None]:
    """Turn whatever a decoder raises into one `InvsetError` with the file's name.

    Ctrl-C and memory that runs out pass through: neither is the file's fault.

    Args:
        path: of the file, or the name of one and the archive that it is in.
        what: it should be, for messages: "a table".
        hint: what to do or type instead.

    Raises:
        InvsetError: the file can't be read.
    """
    try:
        yield
    except InvsetError as error:
        if str(path) in str(error):
            raise
        raise InvsetError(f"{path}: {error}") from error
    except Exception as error:
        if is_out_of_memory(error):
            raise
        told = getattr(error, "strerror", None) or first_lines(error, 200) or type(error).__name__
        raise InvsetError(f"{path} can't be read as {what} ({told}); {hint}") from error


def regular_file(path: str | Path, what: str, hint: str) -> Path:
    """The path, if a regular file is there: no folder, pipe or device, which may never end.

    Args:
        path: where ``~`` is a home folder.
        what: should be there, for messages: "weights".
        hint: what to do or type instead.

    Raises:
        InvsetError: there is no such file.
    """
    with reading(path, what, hint):
        found = Path(path).expanduser()
        if not found.exists():
            raise InvsetError(f"no {what} at {found}; {hint}")
        if not found.is_file():
            raise InvsetError(f"{found} is no file, as {what} would be; {hint}")
    return found


def read_text(path: str | Path, what: str, hint: str) -> str:
    """A text in UTF-8, or in what a mark at its beginning says.

    Args:
        path, what, hint: see `regular_file`.

    Raises:
        InvsetError: no such file, or no such text.
    """
    path = regular_file(path, what, hint)
    with reading(path, what, hint):
        if path.stat().st_size > LONGEST_TEXT:
            raise InvsetError(
                f"{path} has {path.stat().st_size:,} bytes; {what} has at most {LONGEST_TEXT:,}"
            )
        content = path.read_bytes()
        encoding = next((one for mark, one in _MARKS if content.startswith(mark)), "utf-8")
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            raise InvsetError(
                f"{path} is no text in UTF-8 (byte {error.start}); save it as UTF-8"
            ) from error
    return text


def read_lines(path: str | Path, what: str, hint: str) -> list[str]:
    """The lines of a text, of any system; arguments and errors as of `read_text`."""
    text = read_text(path, what, hint)
    # str.splitlines would cut at characters of other alphabets, too
    return [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]


def read_json(path: str | Path, what: str, hint: str) -> dict[str, Any]:
    """The object of a JSON file; arguments and errors as of `read_text`."""
    text = read_text(path, what, hint)
    with reading(path, what, hint):
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError(f"it holds {type(found).__name__}, no object")
    return found


def read_rows(path: str | Path, what: str, hint: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file; arguments and errors as of `read_text`. Lines without cells
    are left out.
    """
    text = read_text(path, what, hint)
    with reading(path, what, hint):
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        if not rows:
            raise ValueError("it has no header")
        header, *rest = rows
        odd = next((i for i, row in enumerate(rest) if len(row) != len(header)), None)
        if odd is not None:
            raise ValueError(f"row {odd + 1} has {len(rest[odd])} cells for {len(header)} columns")
    return header, rest


def read_config(path: str | Path, hint: str) -> Any:
    """The configuration in a YAML file, which must have no aliases: a few lines of them can stand
    for gigabytes.

    Args:
        path: of the file.
        hint: what to do or type instead.

    Returns:
        A DictConfig or ListConfig.

    Raises:
        InvsetError: no such file, or no configuration.
    """
    from omegaconf import OmegaConf

    what = "a configuration"
    text = read_text(path, what, hint)
    with reading(path, what, hint):
        _check_yaml(text)
        return OmegaConf.load(io.StringIO(text))


def read_plain(path: str | Path, what: str, hint: str) -> Any:
    """The same as plain dictionaries and lists, in a tenth of the time; nothing in them is
    resolved.
    """
    import yaml  # type: ignore[import-untyped]

    text = read_text(path, what, hint)
    with reading(path, what, hint):
        _check_yaml(text)
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_words(path: str | Path, hint: str) -> list[str]:
    """The same of a list of words. What is no list holds none."""
    held = read_plain(path, "a list of words", hint)
    return [str(word) for word in held] if isinstance(held, list) else []


def _check_yaml(text: str) -> None:
    """Raise `ValueError` for a text that may stand for much more than it is long."""
    import yaml

    if len(text) > LONGEST_CONFIG:
        raise ValueError(f"it has {len(text):,} characters, more than {LONGEST_CONFIG:,}")
    depth = 0
    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST_CONFIG:
            raise ValueError(f"it has aliases, written *name, or {DEEPEST_CONFIG} levels")


def read_options(path: str | Path, hint: str) -> Any:
    """The same as plain dicts and lists; what refers to others stays as it is written."""
    from omegaconf import OmegaConf

    found = read_config(path, hint)
    with reading(path, "a configuration", hint):
        return OmegaConf.to_container(found)
