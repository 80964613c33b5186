"""Contract tests of the port Blobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sluice.errors import BadRequest, NotFound
from sluice.ports.content import Blobs


class BlobsContract:
    """Writes are atomic; all objects are below one root."""

    @pytest.fixture
    def blobs(self) -> Blobs:
        """The adapter under test. It may hold data of other tests: ids and names are new in each test."""
        raise NotImplementedError

    def test_what_is_written_is_read(self, blobs: Blobs) -> None:
        uri = blobs.write("runs/1/2-chunked.parquet", b"\x00first")
        assert "://" in uri or uri.startswith("memory:/")
        assert uri == blobs.uri("runs/1/2-chunked.parquet")
        assert uri.endswith("runs/1/2-chunked.parquet")
        assert blobs.read("runs/1/2-chunked.parquet") == b"\x00first"
        blobs.write("runs/1/2-chunked.parquet", b"")
        assert blobs.read("runs/1/2-chunked.parquet") == b""

    def test_remove_takes_all_below_and_nothing_beside(self, blobs: Blobs) -> None:
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

    def test_a_list_has_all_below_and_nothing_beside(self, blobs: Blobs) -> None:
        for path in ("runs/1/a", "runs/1/deep/er/b", "runs/10/c"):
            blobs.write(path, b"x")
        assert blobs.list("runs/1") == ["runs/1/a", "runs/1/deep/er/b"]
        assert blobs.list("runs") == ["runs/1/a", "runs/1/deep/er/b", "runs/10/c"]
        blobs.remove("runs/1")
        assert blobs.list("runs/1") == blobs.list("nowhere") == []

    def test_a_walk_lists_the_same_folder_by_folder(self, blobs: Blobs) -> None:
        paths = ["runs/1/a", "runs/1/deep/er/b", "runs/1/deep/er/c", "runs/10/c", "runs/2"]
        for path in paths:
            blobs.write(path, b"x")
        walked = list(blobs.walk("runs"))
        assert sorted(walked) == sorted(paths)
        first, last = walked.index("runs/1/deep/er/b"), walked.index("runs/1/deep/er/c")
        assert abs(first - last) == 1  # what is in one folder comes together
        assert list(blobs.walk("nowhere")) == []

    def test_an_object_tells_when_it_was_written(self, blobs: Blobs) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)  # file systems round
        blobs.write("runs/1/a", b"x")
        written = blobs.modified_at("runs/1/a")
        assert before <= written <= datetime.now(UTC) + timedelta(seconds=2)
        for missing in ("runs/1/b", "nowhere/at/all", "runs/1/a/below"):
            with pytest.raises(NotFound):
                blobs.modified_at(missing)

    def test_what_is_missing_is_not_found(self, blobs: Blobs) -> None:
        with pytest.raises(NotFound, match="nowhere"):
            blobs.read("nowhere/at/all")
        blobs.write("folder/file", b"x")
        with pytest.raises(NotFound):
            blobs.read("folder")
        with pytest.raises(NotFound):
            blobs.read("folder/file/below")

    @pytest.mark.parametrize(
        "path", ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a\\..\\b", "s3://x/y", "a\0b"]
    )
    def test_a_path_that_leaves_the_root_is_rejected(self, blobs: Blobs, path: str) -> None:
        for call in (blobs.read, blobs.remove, blobs.uri, lambda each: blobs.write(each, b"x")):
            with pytest.raises(BadRequest):
                call(path)
