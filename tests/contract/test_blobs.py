"""Any Blobs: all or nothing, below one root."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from upath import UPath

from sluice.adapters.objects import UPathBlobs
from sluice.errors import BadRequest, NotFound, Transient
from sluice.ports.content import Blobs
from sluice.testing.blobs import MemoryBlobs


@pytest.fixture(params=["memory", "pathlib", "upath", "file uri", "object store"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    root = tmp_path / "not made yet"
    match request.param:
        case "memory":
            return MemoryBlobs()
        case "pathlib":
            return UPathBlobs(root)
        case "upath":
            return UPathBlobs(UPath(root))
        case "file uri":
            return UPathBlobs(UPath(root.as_uri()))
        case _:
            return UPathBlobs(UPath(f"memory://{uuid.uuid4().hex}/artefacts"))


def test_what_is_written_is_read(blobs: Blobs) -> None:
    uri = blobs.write("runs/1/2-chunked.parquet", b"\x00first")
    assert "://" in uri or uri.startswith("memory:/")
    assert uri == blobs.uri("runs/1/2-chunked.parquet")
    assert uri.endswith("runs/1/2-chunked.parquet")
    assert blobs.read("runs/1/2-chunked.parquet") == b"\x00first"
    blobs.write("runs/1/2-chunked.parquet", b"")
    assert blobs.read("runs/1/2-chunked.parquet") == b""


def test_remove_takes_all_below_and_nothing_beside(blobs: Blobs) -> None:
    for path in ("runs/1/a", "runs/1/deep/er/b", "runs/10/c"):
        blobs.write(path, b"x")
    blobs.remove("runs/1")
    blobs.remove("runs/1")
    for path in ("runs/1/a", "runs/1/deep/er/b"):
        with pytest.raises(NotFound):
            blobs.read(path)
    assert blobs.read("runs/10/c") == b"x"
    blobs.remove("runs/10/c")
    with pytest.raises(NotFound):
        blobs.read("runs/10/c")


def test_a_list_has_all_below_and_nothing_beside(blobs: Blobs) -> None:
    for path in ("runs/1/a", "runs/1/deep/er/b", "runs/10/c"):
        blobs.write(path, b"x")
    assert blobs.list("runs/1") == ["runs/1/a", "runs/1/deep/er/b"]
    assert blobs.list("runs") == ["runs/1/a", "runs/1/deep/er/b", "runs/10/c"]
    blobs.remove("runs/1")
    assert blobs.list("runs/1") == blobs.list("nowhere") == []


def test_a_walk_lists_the_same_folder_by_folder(blobs: Blobs) -> None:
    paths = ["runs/1/a", "runs/1/deep/er/b", "runs/1/deep/er/c", "runs/10/c", "runs/2"]
    for path in paths:
        blobs.write(path, b"x")
    found = list(blobs.walk("runs"))
    assert sorted(found) == sorted(paths)
    first, last = found.index("runs/1/deep/er/b"), found.index("runs/1/deep/er/c")
    assert abs(first - last) == 1  # what is in one folder comes together
    assert list(blobs.walk("nowhere")) == []


def test_an_object_tells_when_it_was_written(blobs: Blobs) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # file systems round
    blobs.write("runs/1/a", b"x")
    written = blobs.modified_at("runs/1/a")
    assert before <= written <= datetime.now(UTC) + timedelta(seconds=2)
    for missing in ("runs/1/b", "nowhere/at/all", "runs/1/a/below"):
        with pytest.raises(NotFound):
            blobs.modified_at(missing)


def test_a_walk_shows_what_a_write_left_unfinished(tmp_path: Path) -> None:
    blobs = UPathBlobs(tmp_path)
    blobs.write("runs/1/a", b"x")
    (tmp_path / "runs" / "1" / ".b.0123.part").write_bytes(b"half")
    assert blobs.list("runs") == ["runs/1/a"]
    assert set(blobs.walk("runs")) == {"runs/1/a", "runs/1/.b.0123.part"}


def test_what_is_missing_is_not_found(blobs: Blobs) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        blobs.read("nowhere/at/all")
    blobs.write("folder/file", b"x")
    with pytest.raises(NotFound):
        blobs.read("folder")
    with pytest.raises(NotFound):
        blobs.read("folder/file/below")


@pytest.mark.parametrize("path", ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a\\..\\b", "s3://x/y", "a\0b"])
def test_a_path_that_leaves_the_root_is_refused(blobs: Blobs, path: str) -> None:
    for call in (blobs.read, blobs.remove, blobs.uri, lambda each: blobs.write(each, b"x")):
        with pytest.raises(BadRequest):
            call(path)


def test_readers_beside_a_writer_see_one_content_or_the_other(tmp_path: Path) -> None:
    blobs = UPathBlobs(tmp_path)
    contents = [bytes([letter]) * 300_000 for letter in b"ab"]
    blobs.write("x", contents[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                blobs.write("x", content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(blobs.read("x") in contents for _ in range(200))
    finally:
        stop.set()
        writer.join()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]  # no partial file is left


def test_a_disk_that_refuses_is_transient_and_keeps_the_old(tmp_path: Path) -> None:
    blobs = UPathBlobs(tmp_path)
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(Transient, match="file"):
        blobs.write("file/below", b"new")
    assert blobs.read("file") == b"old"
