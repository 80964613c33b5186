"""jsonl:// of a compressed file: the same documents as of the plain one, in bounded memory, and no half listing."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from pathlib import Path

import pytest

from sluice.errors import BadRequest, ExtractionError, Terminal, Transient
from sluice.model.source import SourceSpec
from sluice.ports.readers import SourceReader
from sluice.sources.schemes import reader_for
from unit.test_compression import KINDS, Compress
from unit.test_source_readers import item

EACH_KIND = pytest.mark.parametrize(("suffix", "compress"), KINDS)
LINES = [json.dumps({"_id": f"d{number}", "text": f"Größe {number}"}).encode() + b"\n" for number in range(500)]


def lines(path: Path, max_bytes: int = 10_000) -> SourceReader:
    uri = path.as_uri().replace("file:", "jsonl:", 1)
    return reader_for(SourceSpec(uri, "c"), roots=(path.parent,), max_bytes=max_bytes)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@EACH_KIND
def test_the_lines_are_those_of_the_plain_file(tmp_path: Path, suffix: str, compress: Compress) -> None:
    content = b"\xef\xbb\xbf" + b"".join(LINES) + b"not json\n" + LINES[0]
    plain = lines(written(tmp_path / "a.jsonl", content))
    cut = len(content) // 2  # two streams one after another, as `cat a.gz b.gz` makes them
    packed = lines(written(tmp_path / f"a.jsonl.{suffix}", compress(content[:cut]) + compress(content[cut:])))
    expected, result = list(plain.scan()), list(packed.scan())
    assert [(each.external_id, each.fingerprint, each.size_bytes, each.offset) for each in result] == [
        (each.external_id, each.fingerprint, each.size_bytes, each.offset) for each in expected
    ]
    assert result[0].uri.endswith(f"a.jsonl.{suffix}#d0")
    random.Random(7).shuffle(result)  # out of order, too: it is unpacked again from its beginning
    for entry in result:
        if "#" in entry.external_id:
            with pytest.raises(ExtractionError):
                packed.read(item(entry))
        else:
            assert json.loads(packed.read(item(entry)).content)["_id"] == entry.external_id


@EACH_KIND
def test_a_damaged_or_cut_file_is_no_complete_scan(tmp_path: Path, suffix: str, compress: Compress) -> None:
    noise = b"".join(json.dumps({"_id": f"d{n}", "text": random.Random(n).randbytes(50).hex()}).encode() + b"\n"
                     for n in range(3000))  # fmt: skip
    whole = compress(noise)
    for damaged in (whole[: len(whole) // 2], whole[:-3], whole + b"more", whole[:9]):
        path = written(tmp_path / f"a.jsonl.{suffix}", damaged)
        with pytest.raises(BadRequest, match=r"damaged or truncated.*nothing was changed or deleted"):
            list(lines(path).scan())


@EACH_KIND
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, suffix: str, compress: Compress) -> None:
    bomb = compress(LINES[0] + b'{"_id": "b", "text": "' + b"x" * (96 << 20) + b'"}\n')
    path = written(tmp_path / f"a.jsonl.{suffix}", bomb)
    tracemalloc.start()
    with pytest.raises(BadRequest, match="zip_bomb"):
        list(lines(path).scan())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20


def test_a_file_that_changed_is_not_mixed_up(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl.gz", gzip.compress(b"".join(LINES)))
    source = lines(path)
    entry = list(source.scan())[3]
    for content in (gzip.compress(b"".join(LINES[::-1])), gzip.compress(b"".join(LINES))[:40], b"".join(LINES[1:])):
        written(path, content)
        with pytest.raises(Terminal, match="start the run again") as caught:
            source.read(item(entry))
        assert not isinstance(caught.value, ExtractionError)
    growing = lines(written(path, gzip.compress(b"".join(LINES)))).scan()
    next(growing)
    with path.open("ab") as file:
        file.write(gzip.compress(LINES[0])[:-4])
    with pytest.raises(Transient, match="changed while it was listed"):
        list(growing)


def test_a_line_that_is_too_large_is_listed_and_refused(tmp_path: Path) -> None:
    big = b'{"_id": "big", "text": "' + b"x" * 50_000 + b'"}\n'
    source = lines(written(tmp_path / "a.jsonl.gz", gzip.compress(LINES[0] + big + LINES[1])))
    first, large, last = source.scan()
    with pytest.raises(ExtractionError, match="too_large"):
        source.read(item(large))
    assert json.loads(source.read(item(last)).content)["_id"] == "d1" and first.external_id == "d0"
