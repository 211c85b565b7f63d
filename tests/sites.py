"""A web server on this machine, with pages that misbehave as told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What the server answers at one path.

    Attributes:
        content: the file.
        ranges: whether a request for a part of it gets that part, or all of it.
        drops: how many more answers end in the middle, `stride` bytes after they began.
        stride: see `drops`.
        tag: its version, None for a server that names none.
        status: 200 and 206, or this error or redirection.
        target: where a redirection leads.
        claim: the length that the server tells, if not the true one.
        stalls: how many more answers fall silent, instead of ending, in the middle.
        gate: waited for before the answer.
    """

    content: bytes = b""
    ranges: bool = True
    drops: int = 0
    stride: int = 1000
    tag: str | None = '"1"'
    status: int = 200
    target: str = ""
    claim: int | None = None
    stalls: int = 0
    gate: threading.Event | None = None


@dataclass
class Site:
    """A running server: its pages by path, and what was asked of it as (path, Range)."""

    address: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def add(self, path: str, content: bytes = b"", **options) -> str:
        """Put a page there and return its address."""
        self.pages[path] = Page(content, **options)
        return f"{self.address}{path}"


@contextmanager
def serving() -> Iterator[Site]:
    """A site on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            site.asked.append((self.path, self.headers.get("Range")))
            _answer(self, site, site.pages.get(self.path, Page(status=404)))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # a client that goes away is no news
    site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        site.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(request: BaseHTTPRequestHandler, site: Site, page: Page) -> None:
    if page.gate is not None:
        page.gate.wait()
    if page.status != 200:
        request.send_response(page.status)
        if page.target:
            request.send_header("Location", page.target)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    size, start = len(page.content), _wanted(request, page)
    if start >= size > 0:
        request.send_response(416)
        request.send_header("Content-Range", f"bytes */{size}")
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
    if page.tag:
        request.send_header("ETag", page.tag)
    request.send_header("Content-Length", str(size - start if page.claim is None else page.claim))
    request.end_headers()
    _send(request, site, page, page.content[start:])


def _wanted(request: BaseHTTPRequestHandler, page: Page) -> int:
    """First byte that was asked for and will be sent."""
    asked = request.headers.get("Range")
    same = request.headers.get("If-Range") in (None, page.tag)
    return (
        int(asked.removeprefix("bytes=").removesuffix("-")) if asked and page.ranges and same else 0
    )


def _send(request: BaseHTTPRequestHandler, site: Site, page: Page, content: bytes) -> None:
    if page.drops or page.stalls:
        request.wfile.write(content[: page.stride])
        request.wfile.flush()
        if page.drops:
            page.drops -= 1
        else:
            page.stalls -= 1
            site.over.wait()
        return
    request.wfile.write(content)
