"""Bytes to text: exact text, what is refused and why, and that a hostile document costs itself alone."""

from __future__ import annotations

import gzip
import io
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from docx import Document as Docx
from fpdf import FPDF
from fpdf.enums import EncryptionMethod
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.model.document import FetchedDocument
from sluice.model.reasons import REASONS
from sluice.model.records import RECORD_MIME
from sluice.model.scan import ListingEntry, WorkItem
from sluice.parsing.extractor import IsolatedExtractor
from sluice.parsing.pages import page_starts
from sluice.parsing.text import decode, markdown_title
from sluice.ports.content import Extracted
from support.waiting import wait_until

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def extractor(**changed: Any) -> IsolatedExtractor:
    limits = {"workers": 2, "timeout_s": 20.0, "memory_mb": 1024, "max_text_chars": 1_000_000, "max_bytes": 50_000_000}
    return IsolatedExtractor(**{**limits, **changed})


@pytest.fixture(scope="module")
def shared() -> Iterator[IsolatedExtractor]:
    with extractor() as opened:
        yield opened


def raw(content: bytes, name: str = "x", mime: str | None = None) -> FetchedDocument:
    return FetchedDocument(
        WorkItem(uuid4(), ListingEntry(name, f"file:///{name}", "", len(content)), new=True), content, mime
    )


def one(opened: IsolatedExtractor, content: bytes, name: str = "x", mime: str | None = None) -> Extracted:
    return opened.extract([raw(content, name, mime)])[0]


def code(opened: IsolatedExtractor, content: bytes, name: str = "x") -> str | None:
    result = one(opened, content, name)
    assert result.failure is None or (result.text == "" and result.failure[1].startswith(REASONS[result.failure[0]]))
    return result.failure[0] if result.failure else None


def pdf(pages: list[str], password: str | None = None) -> bytes:
    document = FPDF()
    document.set_title("A title")
    document.set_font("helvetica", size=12)
    for page in pages:
        document.add_page()
        document.multi_cell(0, text=page)
    if password:
        document.set_encryption("owner", password, encryption_method=EncryptionMethod.AES_256)
    return bytes(document.output())


def docx(text: str = "A paragraph.") -> bytes:
    document, buffer = Docx(), io.BytesIO()
    document.core_properties.author = "Ann"
    document.core_properties.title = ""
    document.add_heading("A heading", 1)
    document.add_paragraph(text)
    document.save(buffer)
    return buffer.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# --- text ---------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n\r\t")))
def test_text_stays_exactly_as_it_is(text: str) -> None:
    assert decode(text.encode()) == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "iso-8859-1"]
)
def test_encodings(encoding: str) -> None:
    text = "Übergrößen, dass die Straße naß wäre, hätten wir gewußt.\r\nÄpfel und Öl für später\n" * 5
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("shift_jis", "名前,年齢,住所\n佐藤太郎,30,東京\n"), ("cp1251", "Съешь же ещё этих мягких булок\n" * 5)],
)
def test_other_alphabets(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_the_charset_a_page_declares_is_used(shared: IsolatedExtractor) -> None:
    page = (
        '<html><head><meta charset="iso-8859-2"><title>Tytuł</title></head><body><p>Zażółć gęślą jaźń</p></body></html>'
    )
    result = one(shared, page.encode("iso-8859-2"), "x.html")
    assert (result.text.strip(), result.title) == ("Zażółć gęślą jaźń", "Tytuł")


def test_random_bytes_are_not_text(shared: IsolatedExtractor) -> None:
    for seed in range(5):
        assert code(shared, random.Random(seed).randbytes(5000), "x.md") in ("binary", "unsupported", "image")


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", "\n".encode("utf-16")])
def test_nothing_is_empty(shared: IsolatedExtractor, content: bytes) -> None:
    assert code(shared, content, "x.md") == "empty"
    assert code(shared, content, "x.html") == "empty"


def test_titles() -> None:
    assert markdown_title("intro\n\n## The *first* #\n# Second") == "The *first*"
    assert markdown_title("```sh\n# comment\n```\nReal\n====\n") == "Real"
    assert markdown_title('---\ndate: x\ntitle: "From above"\n---\n# Heading') == "From above"
    assert markdown_title("no heading\n#hashtag") is None


def test_a_record_is_its_text(shared: IsolatedExtractor) -> None:
    result = one(shared, b'{"_id": "a", "text": "%PDF-1.4 is how a PDF begins"}', "a.pdf", RECORD_MIME)
    assert (result.text, result.mime) == ("%PDF-1.4 is how a PDF begins", "text/plain")
    assert one(shared, b'{"_id": "a", "text": " "}', "a", RECORD_MIME).failure == ("empty", REASONS["empty"])


def test_text_needs_no_worker_and_little_time() -> None:
    raws = [raw(f"# Title {n}\n\n{'word ' * 200}\n".encode(), f"{n}.md") for n in range(1400)]
    with extractor() as opened:
        before = time.process_time()
        results = opened.extract(raws)
        spent_s = time.process_time() - before
        assert opened.pids == ()
    assert [result.title for result in results] == [f"Title {n}" for n in range(1400)]
    assert spent_s < 5  # of processor time; it takes 0.05 s, and a worker would import for longer


# --- documents ----------------------------------------------------------------------------------------------


def test_pages_begin_where_they_begin(shared: IsolatedExtractor) -> None:
    pages = [f"Page {n} tells of number {n * 37}.\n\nIts last words are end{n}." for n in range(1, 6)]
    result = one(shared, pdf(pages), "x.pdf")
    assert (result.mime, result.title, len(result.page_starts)) == ("application/pdf", "A title", 5)
    assert result.page_starts[0] == 0
    for n, start in enumerate(result.page_starts, start=1):
        assert result.text[start:].lstrip("# ").startswith(f"Page {n} tells")


def test_pages_that_begin_alike_and_blank_pages() -> None:
    text = "Header\n\none\n\nHeader\n\ntwo\n\nHeader\n\nfour"
    blocks = [
        {"page": page, "content": {"node_type": "paragraph", "text": part}}
        for page, part in [(1, "Header"), (1, "one"), (2, "Header"), (2, "two"), (4, "Header"), (4, "four")]
    ]
    assert page_starts(blocks, 5, text) == (0, 13, 26, 26, len(text))
    assert page_starts([], 0, text) == ()


def test_office_documents(shared: IsolatedExtractor) -> None:
    result = one(shared, docx(), "x.docx")
    assert (result.mime, result.title, result.text) == (DOCX, "A heading", "# A heading\n\nA paragraph.\n")
    assert result.metadata is not None and result.metadata["author"] == "Ann"


def test_content_decides_not_the_name(shared: IsolatedExtractor) -> None:
    assert one(shared, docx(), "x.pdf").mime == DOCX
    assert one(shared, pdf(["hello there"]), "x.docx").mime == "application/pdf"
    assert one(shared, b"just some words", "x.pdf").text == "just some words"
    assert one(shared, b"<!doctype html><title>T</title><p>words", "x.txt").mime == "text/html"
    assert one(shared, b"{\\rtf1 hello}", "x.md").text.strip() == "hello"
    assert one(shared, b"# Not HTML", "x.html").text == "# Not HTML"
    for words in (b"ID3 is a tag", b"RIFF-RAFF", b"GIF89a was new", b"BZhang wrote", b"PAR1 and 2"):
        assert one(shared, words, "x.md").text == words.decode()
    assert one(shared, b"From: a@b.c\nSubject: Hi\n\nwords\n", "x.eml").title == "Hi"


def test_html_is_its_body(shared: IsolatedExtractor) -> None:
    page = b"""<html lang="en"><head><title>The title</title><meta name="author" content="Ann">
        <style>p {color: red}</style></head><body><h1>Head</h1><p>Words &amp; more</p><script>go()</script></body>"""
    result = one(shared, page, "x.html")
    assert (result.text, result.title) == ("# Head\n\nWords & more\n", "The title")
    assert result.metadata == {"mime": "text/html", "language": "en", "author": "Ann"}


def test_equal_bytes_give_equal_text(shared: IsolatedExtractor) -> None:
    contents = [docx("word " * 500), pdf(["one " * 300, "two " * 300]), b"<html><body><p>x</p><ul><li>y</ul>"]
    first = shared.extract([raw(content) for content in contents])
    with extractor(workers=1) as other:
        assert other.extract([raw(content) for content in contents]) == first


# --- what cannot be read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_cut_off(shared: IsolatedExtractor, share: float) -> None:
    for content in (docx("words " * 2000), pdf(["words " * 2000])):
        result = one(shared, content[: int(len(content) * share)], "x")
        assert result.failure is None or result.failure[0] in ("corrupt", "no_text")
    assert code(shared, docx()[:2000], "x.docx") == "corrupt"
    assert code(shared, pdf(["x"])[:100], "x.pdf") == "corrupt"


def test_encrypted(shared: IsolatedExtractor) -> None:
    assert code(shared, pdf(["secret"], password="p"), "x.pdf") == "encrypted"
    package = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(100)
    assert code(shared, package, "x.docx") == "encrypted"
    manifest = b"<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    sealed = {"mimetype": b"application/vnd.oasis.opendocument.text", "META-INF/manifest.xml": manifest}
    assert code(shared, zipped(sealed), "x.odt") == "encrypted"
    locked = bytearray(zipped({"a.txt": b"hello"}, zipfile.ZIP_STORED))
    locked[6] |= 1
    locked[locked.rfind(b"PK\x01\x02") + 8] |= 1
    assert code(shared, bytes(locked), "x.zip") == "encrypted"


def test_archives_and_pictures(shared: IsolatedExtractor) -> None:
    inner = zipped({"a.txt": b"hello"})
    assert code(shared, zipped({"a.zip": inner}), "x.zip") == "archive"
    assert code(shared, zipped({}), "x.zip") == "empty"
    assert code(shared, gzip.compress(bytes(257) + b"ustar" + bytes(1000)), "x.tar.gz") == "archive"
    assert code(shared, b"\x89PNG\r\n\x1a\n" + bytes(50), "x.docx") == "image"
    assert code(shared, zipped({"Index/Document.iwa": b"x"}), "x.pages") == "unsupported"
    assert "PDF, DOCX" in REASONS["unsupported"] and "Markdown" in REASONS["binary"]


def test_zip_bombs(shared: IsolatedExtractor) -> None:
    parts = {"[Content_Types].xml": b"<Types/>", "word/document.xml": bytes(400 << 20)}
    flat = zipped(parts)
    assert len(flat) < 1 << 20
    assert code(shared, flat, "x.docx") == "zip_bomb"
    nested = zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>", "word/embeddings/a.zip": flat})
    assert code(shared, nested, "x.docx") == "zip_bomb"
    many = b"PK\x03\x04" + bytes(100) + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, 0, 0, 0)
    assert code(shared, many, "x.docx") == "zip_bomb"


def test_a_zip_that_lies_about_its_size_is_not_read_in_part(shared: IsolatedExtractor) -> None:
    content = docx("word " * 5000)
    lying, place = bytearray(content), content.index(b"PK\x01\x02")
    while lying[place : place + 4] == b"PK\x01\x02":
        name_bytes, extra, comment = struct.unpack_from("<HHH", lying, place + 28)
        if lying[place + 46 : place + 46 + name_bytes] == b"word/document.xml":
            struct.pack_into("<I", lying, place + 24, 5000)
        place += 46 + name_bytes + extra + comment
    assert code(shared, content, "x.docx") is None
    assert code(shared, bytes(lying), "x.docx") == "corrupt"


def test_a_document_that_needs_too_much_memory_fails_alone() -> None:
    rows = b"".join(b"<tr><td>%d</td></tr>" % n for n in range(1_500_000))
    with extractor(workers=1, memory_mb=256, timeout_s=60.0, max_text_chars=10**9) as opened:
        results = opened.extract([raw(b"<html><table>" + rows, "big.html"), raw(docx(), "good.docx")])
    assert results[0].failure == ("out_of_memory", REASONS["out_of_memory"])
    assert results[1].failure is None


def test_too_much(shared: IsolatedExtractor) -> None:
    with extractor(max_text_chars=100, max_bytes=100_000) as opened:
        assert code(opened, b"x" * 101, "x.md") == "too_long"
        assert code(opened, docx("word " * 50), "x.docx") == "too_long"
        assert code(opened, b"x" * 100_001, "x.md") == "too_large"


def test_a_reason_never_holds_the_document(shared: IsolatedExtractor) -> None:
    result = one(shared, b'{"cells": [ "Zanzibar" ' * 3, "x.ipynb")
    assert result.failure is not None and "Zanzibar" not in str(result)


# --- workers ------------------------------------------------------------------------------------------------


def test_a_hanging_document_is_stopped_and_the_others_go_on() -> None:
    with extractor(workers=2, timeout_s=3.0) as opened:
        opened.extract([raw(docx(), "warm.docx"), raw(docx(), "up.docx")])
        results = opened.extract([raw(docx(str(n)), f"{n}.docx") for n in range(5)] + [raw(_slow(), "slow.html")])
    assert [result.failure for result in results[:5]] == [None] * 5
    assert results[5].failure is not None and results[5].failure[0] in ("timeout", "out_of_memory", "crashed")


def _slow() -> bytes:
    return b"<html><body>" + b"<head" * 400_000


def test_a_killed_worker_costs_one_document_and_is_replaced() -> None:
    with extractor(workers=1) as opened:
        assert code(opened, docx(), "a.docx") is None
        (pid,) = opened.pids
        os.kill(pid, signal.SIGKILL)
        assert code(opened, docx(), "b.docx") is None  # the second try in a new worker
        assert opened.pids and opened.pids != (pid,)


def test_a_worker_killed_each_time_fails_its_document_only() -> None:
    with extractor(workers=1, timeout_s=60.0) as opened:
        assert code(opened, docx(), "a.docx") is None
        stop = threading.Event()
        killer = threading.Thread(target=_kill_all, args=(opened, stop))
        killer.start()
        try:
            result = one(opened, _slow(), "b.html")
        finally:
            stop.set()
            killer.join()
        assert result.failure == ("crashed", REASONS["crashed"])
        assert code(opened, docx(), "c.docx") is None


def _kill_all(opened: IsolatedExtractor, stop: threading.Event) -> None:
    """Whatever worker has been parsing for half a second."""
    while not stop.wait(0.05):
        for pid in opened.pids:
            ticks = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
            if ticks > 0.8 * os.sysconf("SC_CLK_TCK") and not stop.is_set():
                os.kill(pid, signal.SIGKILL)


def test_a_worker_ends_with_whoever_started_it() -> None:
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2] / "include")!r})
from sluice.parsing.isolation.process import Limits, Worker
worker = Worker(Limits(20, 512, 1000))
worker.ask(b"<p>x</p>", "text/html")
print(worker.pid, os.readlink(f"/proc/{{worker.pid}}/cwd"), flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    pid, folder = done.stdout.split()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the worker did not end")
    assert not Path(folder).exists()


def test_workers_are_confined() -> None:
    os.environ["SLUICE_TEST_SECRET"] = "s3cret"
    try:
        with extractor(workers=1, memory_mb=700) as opened:
            assert code(opened, docx(), "a.docx") is None
            (pid,) = opened.pids
            proc = Path(f"/proc/{pid}")
            limits = {line[:25].strip(): line[26:].split()[0] for line in (proc / "limits").read_text().splitlines()}
            assert limits["Max data size"] == str(700 << 20)
            assert limits["Max core file size"] == "0"
            environment = (proc / "environ").read_bytes()
            assert b"s3cret" not in environment and b"SLUICE_" not in environment and b"AIRFLOW" not in environment
            assert os.getpgid(pid) == pid
            folder = (proc / "cwd").readlink()
            if os.getuid() == 0:
                assert f"Uid:\t{65534}" in (proc / "status").read_text()
                assert (proc / "ns/net").readlink() != Path("/proc/self/ns/net").readlink()
        assert not proc.exists() and not folder.exists()
    finally:
        del os.environ["SLUICE_TEST_SECRET"]
