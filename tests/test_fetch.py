"""Fetching from a server that misbehaves, and what is found, refused and told about the cache."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sites import Site, serving

from invset import cli
from invset.commands.fetch import listing
from invset.errors import InvsetError
from invset.hub import cache, download
from invset.hub import obtain as fetch
from invset.hub.cards import WEIGHTS, Source, Weights, find_weights
from invset.hub.obtain import OFFLINE, weights
from invset.progress import ABOUT_FLAGS

CONTENT = random.Random(0).randbytes(40_000)
OTHER = random.Random(1).randbytes(40_000)
NOT_THERE = "http://127.0.0.1:9/file"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no waiting, no proxy."""
    monkeypatch.setenv("INVSET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "PAUSES", (0.0,) * 3)
    return tmp_path / "cache"


def digest(content: bytes, algorithm: str = "sha1") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def publish(monkeypatch: pytest.MonkeyPatch, *sources: Source, name: str = "net") -> Weights:
    """Add an entry of 10,000 numbers to the table."""
    entry = Weights("a net", "none", 10_000, "network.weights", sources)
    monkeypatch.setitem(WEIGHTS, name, entry)
    return entry


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


# What a server may do


def test_a_file_is_fetched_once(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = site.add("/a", CONTENT)
    publish(monkeypatch, Source(url, "a.caffemodel", digest(CONTENT)))
    path = weights("net")
    assert path == folder / "a.caffemodel"
    assert path.read_bytes() == CONTENT
    assert left(folder) == {"a.caffemodel", "a.caffemodel.json"}
    assert f"net: fetching {url}" in caplog.text
    # the second time nothing is asked, and nothing is read
    monkeypatch.setattr(cache, "_hashes", lambda *_: pytest.fail("read again"))
    assert weights("net") == path
    assert site.asked == [("/a", None)]


def test_a_download_is_on_the_disk_before_it_has_its_name(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(fd: int) -> None:
        done.append(f"sync {os.fstat(fd).st_ino}")
        sync(fd)

    def replaced(file: Path, path: Path) -> None:
        done.append(f"name {Path(path).name}")
        replace(file, path)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    publish(monkeypatch, Source(site.add("/a", CONTENT), "a.caffemodel", digest(CONTENT)))
    number, names = weights("net").stat().st_ino, folder.stat().st_ino
    assert done[:3] == [f"sync {number}", "name a.caffemodel", f"sync {names}"]


def test_ten_broken_connections(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    url = site.add("/a", CONTENT, drops=10, stride=3000)
    publish(monkeypatch, Source(url, "a.caffemodel", digest(CONTENT)))
    assert weights("net").read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == [
        None,
        *(f"bytes={3000 * i}-" for i in range(1, 11)),
    ]


def test_bytes_are_counted_over_a_broken_connection(site: Site, folder: Path) -> None:
    folder.mkdir(parents=True)
    told: list[tuple[int, int | None]] = []
    url = site.add("/a", CONTENT, drops=1)
    download.download(url, folder / "a.part", lambda done, total: told.append((done, total)))
    assert (folder / "a.part").read_bytes() == CONTENT
    assert {total for _, total in told} == {len(CONTENT)}
    counts = [done for done, _ in told]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts.count(1000) == 2  # where it broke, and where it went on
    assert counts[-1] == len(CONTENT)


def test_a_server_without_ranges_starts_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    url = site.add("/a", CONTENT, drops=2, stride=30_000, ranges=False)
    publish(monkeypatch, Source(url, "a.caffemodel", digest(CONTENT)))
    assert weights("net").read_bytes() == CONTENT
    assert len(site.asked) == 3


def test_a_server_without_ranges_that_always_breaks_is_given_up(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = site.add("/a", CONTENT, drops=99, ranges=False)
    publish(monkeypatch, Source(url, "a.caffemodel", digest(CONTENT)))
    with pytest.raises(
        InvsetError, match=r"the connection broke at 1,000 of 40,000 bytes, 4 times in a row"
    ):
        weights("net")
    assert not (folder / "a.caffemodel").exists()


def test_silence_counts_as_a_broken_connection(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "STALL_SECONDS", 0.05)
    url = site.add("/a", CONTENT, stalls=1)
    publish(monkeypatch, Source(url, "a.caffemodel", digest(CONTENT)))
    assert weights("net").read_bytes() == CONTENT
    assert site.asked == [("/a", None), ("/a", "bytes=1000-")]


def test_a_wrong_checksum_goes_to_the_next_address(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, right = site.add("/wrong", OTHER), site.add("/right", CONTENT)
    publish(
        monkeypatch,
        Source(wrong, "a.caffemodel", digest(CONTENT, "md5")),
        Source(right, "b.onnx", digest(CONTENT, "sha256")),
    )
    assert weights("net") == folder / "b.onnx"
    assert left(folder) == {"b.onnx", "b.onnx.json"}


def test_a_wrong_checksum_everywhere_names_both(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, Source(site.add("/a", OTHER), "a.caffemodel", digest(CONTENT)))
    with pytest.raises(InvsetError) as caught:
        weights("net")
    assert digest(OTHER).removeprefix("sha1:") in str(caught.value)
    assert digest(CONTENT).removeprefix("sha1:") in str(caught.value)
    assert left(folder) == set()  # a later call begins afresh


def test_a_page_that_is_missing_goes_to_the_next_address(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, busy, right = (
        f"{site.address}/none",
        site.add("/busy", status=503),
        site.add("/right", CONTENT),
    )
    publish(
        monkeypatch,
        *(Source(url, "a.caffemodel", digest(CONTENT)) for url in (missing, busy, right)),
    )
    assert weights("net").read_bytes() == CONTENT
    assert [path for path, _ in site.asked] == ["/none", "/busy", "/right"]


def test_redirections_are_followed_by_parts_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = site.add("/a", status=302, target=site.add("/b", CONTENT, drops=1))
    publish(monkeypatch, Source(url, "a.caffemodel", digest(CONTENT)))
    assert weights("net").read_bytes() == CONTENT
    assert site.asked[-1] == ("/b", "bytes=1000-")


@pytest.mark.parametrize("claim", [30_000, 50_000])
def test_a_wrong_length_is_no_file(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, claim: int
) -> None:
    publish(monkeypatch, Source(site.add("/a", CONTENT, claim=claim), "a.caffemodel"))
    with pytest.raises(
        InvsetError,
        match=r"has 30,000 bytes, but the weights alone are 40,000|has less of it than we have",
    ):
        weights("net")
    assert not (folder / "a.caffemodel").exists()


def test_a_page_of_a_parked_domain_is_no_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, Source(site.add("/a", b"<html>buy this domain</html>"), "a.caffemodel"))
    with pytest.raises(InvsetError, match="it has 28 bytes, but the weights alone are 40,000"):
        weights("net")


# Going on


def interrupted(site: Site, monkeypatch: pytest.MonkeyPatch, tag: str | None = '"1"') -> None:
    """Leave the first 4,000 bytes of /a."""
    publish(
        monkeypatch, Source(site.add("/a", CONTENT, drops=1, stride=4000, tag=tag), "a.caffemodel")
    )
    with monkeypatch.context() as once:
        once.setattr(download, "PAUSES", ())
        with pytest.raises(InvsetError, match="broke at 4,000 of 40,000 bytes"):
            weights("net")


@pytest.mark.parametrize("tag", ['"1"', None])
def test_a_second_call_goes_on(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, tag: str | None
) -> None:
    interrupted(site, monkeypatch, tag)
    assert left(folder) == {"a.caffemodel.part", "a.caffemodel.part.json"}
    assert fetch.present(WEIGHTS["net"]) is None  # it never counts as the file
    assert weights("net").read_bytes() == CONTENT
    assert site.asked[-1] == ("/a", "bytes=4000-")
    assert left(folder) == {"a.caffemodel", "a.caffemodel.json"}


def test_a_file_that_has_changed_meanwhile_is_not_joined_to_the_old_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(site, monkeypatch)
    site.add("/a", OTHER, tag='"2"')
    assert weights("net").read_bytes() == OTHER


def test_a_server_without_versions_is_known_by_the_length(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(site, monkeypatch, None)
    site.add("/a", OTHER + b"longer", tag=None)
    assert weights("net").read_bytes() == OTHER + b"longer"


def test_a_part_from_another_address_is_not_gone_on_with(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(site, monkeypatch)
    publish(monkeypatch, Source(site.add("/b", OTHER), "a.caffemodel"))
    assert weights("net").read_bytes() == OTHER
    assert site.asked[-1] == ("/b", None)


@pytest.mark.parametrize("extra", [b"", b"more than there is"])
def test_a_part_that_is_whole_already(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, extra: bytes
) -> None:
    interrupted(site, monkeypatch)
    (folder / "a.caffemodel.part").write_bytes(CONTENT + extra)
    assert weights("net").read_bytes() == CONTENT


# No network


def test_nobody_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{closed_port()}/a"
    publish(monkeypatch, Source(url, "a.caffemodel", digest(CONTENT)))
    with pytest.raises(InvsetError) as caught:
        weights("net")
    message = str(caught.value)
    with pytest.raises(InvsetError, match=r"or type encoder_network\.weights="):
        fetch.fetch(["net"], {"net": "encoder_network.weights"})
    for part in (
        "weights of net",
        str(folder),
        url,
        "refused",
        str(folder / "a.caffemodel"),
        "network.weights=",
        OFFLINE,
    ):
        assert part in message


def test_a_black_hole_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = threading.Event()

    def swallow(*_: object, **__: object) -> None:
        silence.wait()
        raise TimeoutError

    monkeypatch.setattr(download.socket, "create_connection", swallow)
    monkeypatch.setattr(download, "PROBE_SECONDS", 0.01)
    publish(
        monkeypatch,
        Source("http://one.invalid/a", "a.caffemodel"),
        Source("http://two.invalid/a", "a.caffemodel"),
    )
    with pytest.raises(
        InvsetError, match=r"(?s)one.invalid/a: no answer within 0.01 s.*two.invalid/a: no answer"
    ):
        weights("net")
    silence.set()


def test_how_long_a_connection_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(end: tuple[str, int], timeout: float) -> None:
        asked.append((end, timeout))
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(download.socket, "create_connection", refuse)
    down = download.unreachable(
        ["http://a.invalid/1", "http://a.invalid/2", "https://b.invalid:81/3"]
    )
    assert set(down.values()) == {"its host was not found"}
    assert sorted(asked) == [(("a.invalid", 80), 1.0), (("b.invalid", 81), 1.0)]
    assert download.PROBE_SECONDS < 2


def test_behind_a_proxy_only_the_proxy_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "inside.invalid")
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    assert download._end("http://outside.invalid/a") == ("proxy.invalid", 3128)
    assert download._end("http://inside.invalid/a") == ("inside.invalid", 80)


def test_one_look_for_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def nothing(urls: list[str]) -> dict[str, str]:
        looks.append(list(urls))
        return dict.fromkeys(looks[-1], "no network")

    monkeypatch.setattr(fetch, "unreachable", nothing)
    with pytest.raises(InvsetError) as caught:
        fetch.fetch(WEIGHTS)
    assert len(looks) == 1
    for entry in WEIGHTS.values():
        for source in entry.sources:
            assert f"  {source.url}: no network" in str(caught.value)
    assert str(caught.value).count(OFFLINE) == 1


def test_what_can_be_had_is_had(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, Source(NOT_THERE, "a.caffemodel"), name="gone")
    publish(monkeypatch, Source(site.add("/b", CONTENT), "b.caffemodel"))
    with pytest.raises(InvsetError, match="weights of gone"):
        fetch.fetch(["gone", "net"])
    assert (folder / "b.caffemodel").read_bytes() == CONTENT


# Archives

MEMBER = "release/fc6/generator.caffemodel"


def tar_gz(content: bytes = CONTENT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as bundle:
        for name, data in (
            ("release/readme", b"text"),
            ("release/fc6/._generator.caffemodel", b"of macOS"),
            (f"../../{MEMBER}", content),
            ("z", b"z"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            bundle.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def zipped(content: bytes = CONTENT) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        bundle.writestr("release/fc7/generator.caffemodel", OTHER)
        bundle.writestr(f"../../{MEMBER}", content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "archive"), [("a.tar.gz", tar_gz()), ("a.zip", zipped())], ids=["tar", "zip"]
)
def test_one_member_of_an_archive(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, archive: bytes
) -> None:
    url = site.add(f"/{name}", archive, drops=3)
    publish(
        monkeypatch,
        Source(url, "gen.caffemodel", digest(CONTENT), member="fc6/generator.caffemodel"),
    )
    assert weights("net").read_bytes() == CONTENT
    assert left(folder) == {"gen.caffemodel", "gen.caffemodel.json"}
    assert {path.name for path in folder.parent.iterdir()} == {"cache"}  # nothing beside it


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (tar_gz()[:-2000], "is no complete archive"),
        (zipped()[:-200], "is no complete archive"),
        (tar_gz()[:-8] + bytes(8), "is no complete archive"),  # the checksum at the end of a gzip
        (zipped().replace(CONTENT[:9], bytes(9)), "is no complete archive"),
        (gzip.compress(b"no tar", mtime=0), "is no complete archive"),
        (b"<html>", "is no complete archive"),
        (tar_gz(b"short"), "has 5 bytes, but the weights alone are"),
    ],
    ids=["cut tar", "cut zip", "sum of gzip", "sum of zip", "gzip of text", "page", "short"],
)
def test_an_archive_that_is_not_whole(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, archive: bytes, message: str
) -> None:
    publish(
        monkeypatch,
        Source(site.add("/a.zip", archive), "gen.caffemodel", member="fc6/generator.caffemodel"),
    )
    with pytest.raises(InvsetError, match=message):
        weights("net")
    assert left(folder) == set()


def test_an_archive_without_the_member(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for archive in (tar_gz(), zipped()):
        publish(
            monkeypatch,
            Source(
                site.add("/a.zip", archive), "gen.caffemodel", member="fc5/generator.caffemodel"
            ),
        )
        with pytest.raises(InvsetError, match=r"holds no …fc5/generator\.caffemodel"):
            weights("net")


def test_an_archive_put_there_by_hand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(
        monkeypatch,
        Source("http://127.0.0.1:9/a.tar.gz", "gen.caffemodel", member="fc6/generator.caffemodel"),
    )
    folder.mkdir()
    (folder / "a.tar.gz").write_bytes(tar_gz()[:-3000])
    with pytest.raises(
        InvsetError, match=r"a\.tar\.gz is of no use: .* Delete it, then type invset fetch net"
    ):
        weights("net")
    (folder / "a.tar.gz").write_bytes(tar_gz())
    assert weights("net").read_bytes() == CONTENT
    assert left(folder) == {"a.tar.gz", "gen.caffemodel", "gen.caffemodel.json"}


def test_a_member_that_claims_too_much(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invset.hub.archives.LARGEST", 10_000)
    publish(
        monkeypatch,
        Source("http://127.0.0.1:9/a.zip", "gen.caffemodel", member="fc6/generator.caffemodel"),
    )
    folder.mkdir()
    (folder / "a.zip").write_bytes(zipped())
    with pytest.raises(InvsetError, match="claims to have 40,000 bytes"):
        weights("net")


# What is in the cache


def test_a_checksum_seen_first_is_checked_from_then_on(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(monkeypatch, Source(site.add("/a", CONTENT), "a.caffemodel"))
    path = weights("net")
    seen = digest(CONTENT, "sha256").removeprefix("sha256:")
    assert "no checksum of a.caffemodel was published" in caplog.text
    assert json.loads((folder / "a.caffemodel.json").read_text())["sha256"] == seen
    path.write_bytes(OTHER)
    os.utime(path, ns=(1, 1))
    with pytest.raises(
        InvsetError, match=rf"{seen} when it was first seen.*Delete it, then type invset fetch net"
    ):
        weights("net")
    # fetched again, it still has to be what it was
    path.unlink()
    site.add("/a", OTHER)
    with pytest.raises(InvsetError, match="when it was first seen"):
        weights("net")
    site.add("/a", CONTENT)
    assert weights("net") == path
    # who knows better can say so
    path.write_bytes(OTHER)
    (folder / "a.caffemodel.json").unlink()
    assert weights("net").read_bytes() == OTHER


def test_a_copy_with_another_date_is_read_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, Source(NOT_THERE, "a.caffemodel"))
    folder.mkdir()
    path = folder / "a.caffemodel"
    path.write_bytes(CONTENT)
    assert weights("net") == path
    os.utime(path, ns=(1, 1))
    assert not cache.unchanged(path)
    assert weights("net") == path
    assert cache.unchanged(path)


@pytest.mark.parametrize("checksum", [digest(CONTENT), None])
def test_a_truncated_file_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, checksum: str | None
) -> None:
    publish(monkeypatch, Source(NOT_THERE, "a.caffemodel", checksum))
    folder.mkdir()
    path = folder / "a.caffemodel"
    for known in (False, True):
        path.write_bytes(CONTENT[:-1])
        with pytest.raises(InvsetError, match=r"a\.caffemodel is not the published file"):
            weights("net")
        assert path.exists()  # a person's file is not ours to delete
        if not known:
            path.write_bytes(CONTENT)
            assert weights("net") == path


def test_a_file_of_any_address_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(
        monkeypatch,
        Source(NOT_THERE, "a.caffemodel", digest(OTHER)),
        Source(NOT_THERE, "b.mat", digest(CONTENT)),
    )
    folder.mkdir()
    (folder / "b.mat").write_bytes(CONTENT)
    assert weights("net") == folder / "b.mat"


def test_a_cache_whose_records_cannot_be_written_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, Source(NOT_THERE, "a.caffemodel", digest(CONTENT)))
    (folder / "a.caffemodel.json").mkdir(parents=True)  # in the way
    (folder / "a.caffemodel").write_bytes(CONTENT)
    assert weights("net") == folder / "a.caffemodel"
    assert left(folder) == {"a.caffemodel", "a.caffemodel.json"}


def test_a_cache_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INVSET_CACHE", str(tmp_path / "file"))
    with pytest.raises(InvsetError, match=r"can't read or write .*type INVSET_CACHE="):
        weights("caffenet")


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("INVSET_CACHE", "~/weights")
    assert cache.cache_folder() == tmp_path / "weights"
    monkeypatch.delenv("INVSET_CACHE")
    assert cache.cache_folder().name == "invset"


def test_two_at_once_fetch_one_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    publish(monkeypatch, Source(site.add("/a", CONTENT, gate=gate), "a.caffemodel"))
    # the server answers when the second has found the door closed
    monkeypatch.setattr(
        cache.log, "info", lambda text, *_: gate.set() if "waiting" in text else None
    )
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: got.append(weights("net").read_bytes())) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [CONTENT, CONTENT]
    assert site.asked == [("/a", None)]


def test_two_processes_at_once(site: Site, folder: Path) -> None:
    url = site.add("/a", CONTENT, drops=20)
    code = (
        "from invset.hub.cards import *\nWEIGHTS['net'] = Weights('', '', 10_000, '',"
        f" (Source({url!r}, 'a.caffemodel', {digest(CONTENT)!r}),))\nfrom invset.hub import"
        " download, obtain as fetch\ndownload.PAUSES = (0, 0)\nprint(fetch.weights('net'))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate()[0].strip() for process in running] == [
        str(folder / "a.caffemodel")
    ] * 3
    assert (folder / "a.caffemodel").read_bytes() == CONTENT
    assert len(site.asked) == 21


# The table and the command


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_table(name: str) -> None:
    files = {}
    for source in find_weights(name).sources:
        assert source.url.startswith(("http://", "https://"))
        assert Path(source.file).suffix in (".caffemodel", ".onnx", ".mat")
        if source.checksum:
            algorithm, digits = source.checksum.split(":")
            assert len(bytes.fromhex(digits)) == hashlib.new(algorithm).digest_size
        # one name in the cache, one file
        assert files.setdefault(source.file, source.checksum) == source.checksum


def test_the_page_about_them() -> None:
    page = (Path(__file__).parents[1] / "docs" / "models" / "weights.md").read_text(
        encoding="utf-8"
    )
    for name, entry in WEIGHTS.items():
        assert f"| `{name}` |" in page
        assert f"| {entry.size} |" in page
        for source in entry.sources:
            assert (
                f"| {source.url} | `{source.file}` |"
                f" {(source.checksum or 'none').replace(':', ' ')} |" in page
            )


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["invset", *words])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(monkeypatch, Source(site.add("/a", CONTENT), "a.caffemodel"))
    assert run(monkeypatch, "fetch", "net") == 0
    assert capsys.readouterr().out == f"net: {folder / 'a.caffemodel'}\n"
    assert run(monkeypatch, "fetch") == 0
    out = capsys.readouterr().out
    assert f"in the cache: {folder / 'a.caffemodel'}" in out
    assert f"not in the cache; goes to {folder / 'bvlc_reference_caffenet.caffemodel'}" in out
    assert all(
        text in out
        for entry in WEIGHTS.values()
        for text in (entry.about, entry.licence, entry.size)
    )
    assert run(monkeypatch, "fetch", "--help") == 0
    assert out == listing() + "\n"
    assert capsys.readouterr().out == f"{out}\n{ABOUT_FLAGS}\n"


@pytest.mark.parametrize(
    ("word", "message"),
    [("nonsense", "It takes caffenet, "), ("cafenet", "Did you mean caffenet"), ("--all", "all?")],
)
def test_mistakes(
    word: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "fetch", word) == 2
    err = capsys.readouterr().err
    assert err.startswith("invset: invset fetch knows no ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_the_command_without_a_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(monkeypatch, Source(f"http://127.0.0.1:{closed_port()}/a", "a.caffemodel"))
    assert run(monkeypatch, "fetch", "net") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("invset: the weights of net")


def test_ctrl_c_keeps_what_has_come(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(monkeypatch, Source(site.add("/a", CONTENT), "a.caffemodel"))
    read, calls = download._read, iter(range(3))

    def ctrl_c(response: object) -> bytes:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return read(response)

    monkeypatch.setattr(download, "CHUNK", 1000)
    monkeypatch.setattr(download, "_read", ctrl_c)
    assert run(monkeypatch, "fetch", "net") == 130
    assert capsys.readouterr().err.endswith(
        "invset: interrupted; the same command goes on from what has come\n"
    )
    assert left(folder) == {"a.caffemodel.part", "a.caffemodel.part.json"}
    monkeypatch.setattr(download, "_read", read)
    assert run(monkeypatch, "fetch", "net") == 0
    assert site.asked[-1][1] is not None
    assert (folder / "a.caffemodel").read_bytes() == CONTENT


def test_no_torch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['invset', 'fetch', 'nonsense']\nfrom invset.cli import main\ntry:"
        " main()\nexcept SystemExit: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
