"""Getting a file over HTTP through interruptions: goes on where it stopped, over broken connections
and over runs.
"""

from __future__ import annotations

import http.client
import json
import queue
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from invset import __version__
from invset.errors import InvsetError
from invset.files.reading import read_json
from invset.progress import Progress, quiet

#: Seconds to connect to one address.
CONNECT_SECONDS = 1.0
#: Seconds for all hosts together to show that there is a network at all.
PROBE_SECONDS = 1.5
#: Seconds without a byte after which an established connection counts as broken.
STALL_SECONDS = 30.0
#: Seconds to wait after the first, second, … failure in a row; one that brought new bytes begins a
#: new row.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
CHUNK = 1 << 18


class Unavailable(Exception):
    """An address does not give the file, and the message says why; another may."""


class _Dropped(Exception):
    """What may go better next time."""


def unreachable(urls: Iterable[str]) -> dict[str, str]:
    """Return url -> why nothing answers there, for those where nothing does, within `PROBE_SECONDS`
    in all.

    A look-up of a name has no timeout in Python and may take half a minute without a network. So it
    happens in threads that are left behind: daemons, because the interpreter waits for all others
    when it ends.
    """
    urls = list(urls)
    ends = {url: _end(url) for url in urls}
    answers: queue.Queue[tuple[tuple[str, int], str]] = queue.Queue()
    waiting = set(ends.values())
    for end in waiting:
        threading.Thread(
            target=lambda end=end: answers.put((end, _probe(end))), daemon=True
        ).start()
    why: dict[tuple[str, int], str] = {}
    last = time.monotonic() + PROBE_SECONDS
    while waiting - why.keys():
        try:
            end, reason = answers.get(timeout=max(0.0, last - time.monotonic()))
        except queue.Empty:
            break
        why[end] = reason
    silent = f"no answer within {PROBE_SECONDS:g} s"
    return {url: reason for url, end in ends.items() if (reason := why.get(end, silent))}


def _end(url: str) -> tuple[str, int]:
    """Host and port that a request for `url` connects to: its own, or its proxy's."""
    split = urlsplit(url)
    host = split.hostname or ""
    proxy = (
        None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(split.scheme)
    )
    if proxy:
        split = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return split.hostname or "", split.port or (443 if split.scheme == "https" else 80)


def _probe(end: tuple[str, int]) -> str:
    """Why `end` can't be reached, or an empty string."""
    try:
        socket.create_connection(end, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)  # URLError wraps what happened
    if isinstance(cause, socket.gaierror):
        return "its host was not found"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__).lower()


def download(url: str, part: Path, progress: Progress = quiet) -> None:
    """Get all of `url` into `part`, going on with what is there already from the same address.

    Args:
        url: of the file.
        part: where it goes.
        progress: told bytes that are there, and bytes of the whole file.

    Raises:
        Unavailable: the address does not give it.
        OSError: `part` can't be written.
    """
    furthest = _size(part)
    failures = 0
    while True:
        try:
            return _go_on(url, part, progress)
        except _Dropped as error:
            size = _size(part)
            failures = 1 if size > furthest else failures + 1
            furthest = max(size, furthest)
            if failures > len(PAUSES):
                raise Unavailable(f"{error}, {failures} times in a row") from error
            time.sleep(PAUSES[failures - 1])


def _go_on(url: str, part: Path, progress: Progress) -> None:
    """One request: the rest of the file, or all of it."""
    begun = _origin(part)
    have = _size(part) if begun.get("url") == url else 0
    headers = {"User-Agent": f"invset/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if begun.get("version"):  # a file that has changed since comes as a whole
            headers["If-Range"] = begun["version"]
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=STALL_SECONDS
        )
    except urllib.error.HTTPError as error:
        with error:
            if begun.get("size") in (have, None) and _nothing_left(error, have):
                return
            raise _refused(error, part, have) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(_reason(error)) from error
    with response:
        _receive(response, url, part, progress)


def _nothing_left(error: urllib.error.HTTPError, have: int) -> bool:
    """The answer to a request for what lies beyond the end."""
    return (
        error.code == 416
        and have > 0
        and error.headers.get("Content-Range", "").replace(" ", "") == f"bytes*/{have}"
    )


def _refused(error: urllib.error.HTTPError, part: Path, have: int) -> Exception:
    if error.code == 416:
        part.unlink(missing_ok=True)
        return _Dropped("the server has less of it than we have")
    text = f"HTTP {error.code} {error.reason}"
    # a server that gave half of it and is busy now will give the rest; one that gave nothing has
    # others behind it
    return (
        _Dropped(text) if have and (error.code >= 500 or error.code == 429) else Unavailable(text)
    )


def _receive(response: http.client.HTTPResponse, url: str, part: Path, progress: Progress) -> None:
    start, total = _extent(response)
    if start and (start != _size(part) or _origin(part).get("size") != total):
        part.unlink(missing_ok=True)
        raise _Dropped("the server sent another part than was asked for")
    if not start:
        part.unlink(missing_ok=True)
        version = response.headers.get("ETag", "")
        # weak tags don't promise the same bytes
        version = version if version.startswith('"') else response.headers.get("Last-Modified", "")
        _origin_file(part).write_text(
            json.dumps({"url": url, "version": version, "size": total}), encoding="utf-8"
        )
    done = start
    progress(done, total)
    with part.open("ab") as file:
        while chunk := _read(response):
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
    if total is not None and _size(part) != total:
        raise _Dropped(f"the connection broke at {_size(part):,} of {total:,} bytes")


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """First byte of an answer, and the length of the whole file if the server tells it."""
    if response.status == 206:
        match = re.match(r"bytes\s+(\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        return (int(match[1]), None if match[2] == "*" else int(match[2])) if match else (-1, None)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        # what has come; read would wait for all of it, and lose it when the connection breaks
        return response.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(_reason(error)) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _origin_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _origin(part: Path) -> dict[str, Any]:
    """From where `part` was begun, and which version of the file it was."""
    if not _origin_file(part).is_file():
        return {}
    try:
        return read_json(_origin_file(part), "a note of a download", "delete it")
    except InvsetError:  # what can't be read was cut off: the download begins anew
        return {}


def discard(part: Path) -> None:
    """Delete an unfinished download and what is remembered of it."""
    part.unlink(missing_ok=True)
    _origin_file(part).unlink(missing_ok=True)
