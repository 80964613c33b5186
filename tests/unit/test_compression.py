"""One document compressed as a file is read like the document; bombs, nesting and damage have their reasons."""

from __future__ import annotations

import bz2
import ctypes
import gzip
import lzma
from collections.abc import Callable, Iterator

import pytest

from sluice.compression import gunzip, inner_name
from sluice.errors import ExtractionError
from sluice.parsing.extractor import IsolatedExtractor
from unit.test_parsing_documents import code, docx, extractor, one, zipped


def zstd(content: bytes) -> bytes:
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError:
        pytest.skip("this system has no libzstd")
    library.ZSTD_compress.restype = ctypes.c_size_t
    room = ctypes.create_string_buffer(len(content) + 1000)
    size = library.ZSTD_compress(
        room, ctypes.c_size_t(len(room)), content, ctypes.c_size_t(len(content)), ctypes.c_int(3)
    )
    return room.raw[:size]


Compress = Callable[[bytes], bytes]
KINDS = [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zstd)]


@pytest.fixture(scope="module")
def shared() -> Iterator[IsolatedExtractor]:
    with extractor(workers=1) as opened:
        yield opened


@pytest.mark.parametrize(("suffix", "compress"), KINDS)
def test_the_document_inside_is_read(shared: IsolatedExtractor, suffix: str, compress: Compress) -> None:
    page = "<html><head><title>Titel</title></head><body><h1>Größe</h1></body></html>"
    result = one(shared, compress(page.encode()), f"folder/page.html.{suffix}")
    assert (result.text.strip(), result.title, result.mime) == ("# Größe", "Titel", "text/html")
    assert one(shared, compress("# Kopf\n\nСлово\n".encode("cp1251")), f"a.md.{suffix}").title == "Kopf"
    assert "A paragraph." in one(shared, compress(docx()), f"a.docx.{suffix}").text
    lines = compress(b'{"a": "M\\u00fcller"}\n') + compress(b'{"a": 2}\n')
    assert one(shared, lines, f"a.jsonl.{suffix}").text == '{"a": "Müller"}\n{"a": 2}\n'


@pytest.mark.parametrize(("suffix", "compress"), KINDS)
def test_bombs_nesting_and_damage(shared: IsolatedExtractor, suffix: str, compress: Compress) -> None:
    assert code(shared, compress(bytes(64 << 20)), f"a.txt.{suffix}") == "zip_bomb"
    assert code(shared, compress(compress(b"words")), f"a.txt.{suffix}.{suffix}") == "too_deep"
    whole = compress(b"words of a text, some more of them, and more" * 50)
    for damaged in (whole[:-6], whole[:20], whole + b"trailing bytes"):
        assert code(shared, damaged, f"a.txt.{suffix}") == "corrupt"
    assert code(shared, compress(b""), f"a.txt.{suffix}") == "empty"
    assert code(shared, compress(zipped({"a.txt": b"x"})), f"a.zip.{suffix}") == "archive"
    assert code(shared, compress(bytes(257) + b"ustar" + bytes(1000)), f"a.tar.{suffix}") == "archive"
    assert code(shared, compress(b"\x00\x01\x02\x03" * 100), f"a.md.{suffix}") == "binary"


def test_the_name_inside() -> None:
    assert [inner_name(name) for name in ("a.html.gz", "b/a.CSV.BZ2", "a.xz", "a", ".gz")] == [
        "a.html",
        "b/a.CSV",
        "a",
        "a",
        "",
    ]


def test_what_a_server_sends_compressed_is_limited() -> None:
    two = gzip.compress(b"one") + b"\0" * 8 + gzip.compress(b"two") + b"\0"
    assert gunzip(two, 6) == b"onetwo"
    assert gunzip(gzip.compress(b"x" * 30_000_000), 30_000_000) == b"x" * 30_000_000
    for content, most, code_ in (
        (two, 5, "too_large"),
        (b"", 9, "corrupt"),
        (b"plain", 9, "corrupt"),
        (two[:-12], 9, "corrupt"),
        (two + b"rest", 9, "corrupt"),
    ):
        with pytest.raises(ExtractionError) as caught:
            gunzip(content, most)
        assert caught.value.code == code_
