"""Any Blobs: all or nothing, below one root."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest
from upath import UPath

from sluice.adapters.objects import UPathBlobs
from sluice.errors import Transient
from sluice.ports.content import Blobs
from sluice.testing.blobs import MemoryBlobs
from sluice.testing.contracts.objects import BlobsContract


class TestMemoryBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self) -> Blobs:
        return MemoryBlobs()


class TestUPathBlobs(BlobsContract):
    @pytest.fixture(params=["pathlib", "upath", "file uri", "object store"])
    def blobs(self, request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
        root = tmp_path / "not made yet"
        match request.param:
            case "pathlib":
                return UPathBlobs(root)
            case "upath":
                return UPathBlobs(UPath(root))
            case "file uri":
                return UPathBlobs(UPath(root.as_uri()))
            case _:
                return UPathBlobs(UPath(f"memory://{uuid.uuid4().hex}/artefacts"))


def test_a_walk_shows_what_a_write_left_unfinished(tmp_path: Path) -> None:
    blobs = UPathBlobs(tmp_path)
    blobs.write("runs/1/a", b"x")
    (tmp_path / "runs" / "1" / ".b.0123.part").write_bytes(b"half")
    assert blobs.list("runs") == ["runs/1/a"]
    assert set(blobs.walk("runs")) == {"runs/1/a", "runs/1/.b.0123.part"}


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
