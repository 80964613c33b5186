"""A worker once it has given up its rights: nothing is imported any more, and no secret is within reach."""

from __future__ import annotations

import ctypes
import encodings
import io
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from docx import Document as Docx
from fpdf import FPDF

from sluice.errors import Terminal
from sluice.model.document import FetchedDocument
from sluice.model.scan import ListingEntry, WorkItem
from sluice.parsing import sniffing
from sluice.parsing.extractor import IsolatedExtractor
from sluice.parsing.isolation import landlock, limits, process
from sluice.parsing.parsing import parse
from sluice.ports.content import Extracted

SLIDE = (
    '<office:presentation><draw:page draw:name="1"><draw:frame><draw:text-box><text:p>Folie</text:p></draw:text-box>'
    "</draw:frame></draw:page></office:presentation>"
)
LIMITS: dict[str, Any] = {"timeout_s": 30.0, "memory_mb": 1024, "max_text_chars": 1_000_000, "max_bytes": 50_000_000}
NOBODY = 65534

# What a worker runs before `main`, instead of the real thing where the machine would hide the fault.
UNREACHABLE = """
import os, sys
from sluice.parsing.isolation import limits, worker
if os.getuid() != 0:
    os.getuid = lambda: 0
    os.chown = os.setgroups = os.setresgid = os.setresuid = lambda *_: None
class Refused:
    def find_spec(self, name, *_):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
def drop_root(folder, real=limits.drop_root):
    dropped = real(folder)
    sys.meta_path.insert(0, Refused())
    return dropped
limits.drop_root = drop_root
worker.main()
"""
INCOMPLETE = """
from sluice.parsing import parsing
from sluice.parsing.isolation import worker
def broken(*_):
    import a_module_that_is_not_there
parsing.parse = broken
worker.main()
"""
HOSTILE = """
import json, os
from sluice.parsing import parsing
from sluice.parsing.isolation import limits, worker
limits._NAMESPACES = ()
def tried(content, mime, *_):
    answers = []
    for path in json.loads(content.removeprefix(b"%PDF-")):
        try:
            opened = os.open(path.replace("PARENT", str(os.getppid())), os.O_RDONLY)
            answers += [path] if os.read(opened, 8) else []
        except OSError:
            pass
    return parsing.Parsed(json.dumps(answers), mime, None, {})
parsing.parse = tried
worker.main()
"""


def one(opened: IsolatedExtractor, content: bytes, name: str) -> Extracted:
    return opened.extract(
        [FetchedDocument(WorkItem(uuid4(), ListingEntry(name, f"file:///{name}", "", len(content)), new=True), content)]
    )[0]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], IsolatedExtractor]]:
    opened: list[IsolatedExtractor] = []

    def started(source: str) -> IsolatedExtractor:
        monkeypatch.setattr(process, "_PROGRAM", ("-c", source))
        opened.append(IsolatedExtractor(workers=1, **LIMITS))
        return opened[-1]

    yield started
    for each in opened:
        each.close()


# --- imports ------------------------------------------------------------------------------------------------


def charsets() -> Iterator[tuple[str, str]]:
    """(codec, a text that it can write) for every codec of this Python that is one of texts."""
    texts = ("Übergröße", "Съешь же", "名前と住所", "Καλημέρα", "مرحبا", "שלום", "สวัสดี", "안녕하세요", "naïve", "plain")
    for module in pkgutil.iter_modules(encodings.__path__):
        for text in texts:
            try:
                if text.encode(module.name).decode(module.name) == text:
                    yield module.name, text
                    break
            except (LookupError, UnicodeError):
                continue


def mail(charset: str, text: str) -> bytes:
    body = b64encode(text.encode(charset)).decode()
    return (
        f"From: a@example.org\r\nSubject: =?{charset}?b?{body}?=\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}\r\n"
    ).encode()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def docx() -> bytes:
    document, buffer = Docx(), io.BytesIO()
    document.add_paragraph("Ein Absatz in Köln.")
    document.save(buffer)
    return buffer.getvalue()


def pdf() -> bytes:
    document = FPDF()
    document.set_font("helvetica", size=12)
    document.add_page()
    document.multi_cell(0, text="A page of words.")
    return bytes(document.output())


def odf(kind: str, body: str) -> bytes:
    names = ("office", "table", "text", "draw", "presentation")
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    content = f"<office:document-content {spaces}><office:body>{body}</office:body></office:document-content>"
    return zipped({"mimetype": f"application/vnd.oasis.opendocument.{kind}".encode(), "content.xml": content.encode()})


def documents() -> dict[str, bytes]:
    """One of every format and charset."""
    cyrillic = "Съешь же ещё этих мягких французских булок"
    book = '<FictionBook xmlns="http://www.gribuser.ru/xml/fictionbook/2.0"><body><section><p>{}</p></section></body></FictionBook>'
    page = "<html><head><title>T</title></head><body><h1>Überschrift</h1><p>Text.</p></body></html>"
    notebook = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": ["# Bäcker"]}], "metadata": {}}
    return {
        **{f"{charset}.eml": mail(charset, text) for charset, text in charsets()},
        **{
            f"{charset}.{suffix}": f'<?xml version="1.0" encoding="{charset}"?>{form.format(cyrillic)}'.encode(charset)
            for charset in ("windows-1251", "koi8-r", "utf-16")
            for suffix, form in (
                ("xml", "<a>{}</a>"),
                ("fb2", book),
                ("dbk", "<article><section><title>Eins</title><para>{}</para></section></article>"),
            )
        },
        "guessed.csv": "имя;город\nАнна;Москва\nПётр;Тверь\n".encode("cp1251"),
        "page.html": page.encode(),
        "old.html": page.replace("<title>", '<meta charset="iso-8859-1"><title>').encode("latin-1"),
        "a.docx": docx(),
        "a.pdf": pdf(),
        "a.odt": odf("text", "<office:text><text:p>Wörter</text:p></office:text>"),
        "a.odp": odf("presentation", SLIDE),
        "a.rtf": rb"{\rtf1\ansi\ansicpg1251 \'cf\'f0\'e8\'e2\'e5\'f2}",
        "a.rst": "Titel\n=====\n\nWörter.\n".encode(),
        "a.org": "* Titel\nWörter.\n".encode(),
        "a.tex": "\\documentclass{article}\n\\begin{document}\nWörter.\n\\end{document}\n".encode(),
        "a.ipynb": json.dumps({**notebook, "nbformat": 4, "nbformat_minor": 5}).encode(),
        "a.opml": b'<?xml version="1.0"?><opml version="2.0"><body><outline text="one"/></body></opml>',
    }


def test_nothing_is_imported_once_root_is_given_up(program: Callable[[str], IsolatedExtractor]) -> None:
    """The same texts as in a process that may import, although Python is out of the worker's reach."""
    opened, wrong, built = program(UNREACHABLE), {}, documents()
    assert len(built) > 100
    for name, content in built.items():
        kind = sniffing.sniff(content, name)
        given = content if kind.text is None else kind.text.encode()
        expected = parse(given, kind.mime, 1 << 30).text
        result = one(opened, content, name)
        if result.failure or result.text != expected or not expected.strip():
            wrong[name] = (result.failure or result.text, expected)
    assert not wrong, wrong


def test_a_missing_module_is_a_fault_of_the_installation(program: Callable[[str], IsolatedExtractor]) -> None:
    with pytest.raises(Terminal, match=r"cannot import 'a_module_that_is_not_there'.*make install"):
        one(program(INCOMPLETE), docx(), "a.docx")


# --- secrets ------------------------------------------------------------------------------------------------


def test_a_worker_cannot_read_its_parent_or_a_key_file(
    program: Callable[[str], IsolatedExtractor], tmp_path: Path
) -> None:
    """With namespaces refused, whoever runs these tests."""
    key = tmp_path / "master.key"
    key.write_text("s3cret")
    key.chmod(0o600)
    paths = [*(f"/proc/PARENT/{name}" for name in ("environ", "maps", "fd/0", "cwd/README.md")), str(key)]
    opened = program(HOSTILE)
    assert json.loads(one(opened, b"%PDF-" + json.dumps(["/proc/self/statm", *paths]).encode(), "a.pdf").text) == []
    assert json.loads(one(opened, b"%PDF-" + b'["/usr/bin/env"]', "a.pdf").text) == ["/usr/bin/env"]


@pytest.mark.parametrize("enclosed", [True, False])
def test_a_worker_of_an_ordinary_user_cannot(enclosed: bool) -> None:
    """In processes of that user, forked: Python may lie where another user cannot start it."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        os.chmod(folder, 0o755)
        _judge(Path(folder), enclosed)


def _judge(folder: Path, enclosed: bool) -> None:
    key = folder / "master.key"
    key.write_text("s3cret")
    key.chmod(0o600)
    if os.getuid() == 0:
        os.chown(key, NOBODY, NOBODY)
    results, answers = os.pipe()
    starter = os.fork()
    if starter == 0:
        _starter(answers, key, folder, enclosed)
    os.close(answers)
    with open(results, encoding="ascii") as pipe:
        said = json.loads(pipe.read())
    os.waitpid(starter, 0)
    assert said.pop("before") == ["environ", "maps", "mem"]  # else the test could not fail
    if enclosed and not said.pop("enclosed"):
        pytest.skip("this kernel has no Landlock")
    assert said["after"] == ([] if enclosed else ["key"])  # without Landlock, a user's files are open to the user


def _starter(answers: int, key: Path, folder: Path, enclosed: bool) -> None:
    """A process that starts workers, as an ordinary user. Never returns."""
    try:
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        ctypes.CDLL(None).prctl(limits._PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after an execve
        limits._NAMESPACES = ()  # type: ignore[assignment]
        message, before = os.pipe()
        go, started = os.pipe()
        worker = os.fork()
        if worker == 0:
            place = int(Path("/proc/self/maps").read_text().partition("-")[0], 16)  # forked: the parent's, too
            said: dict[str, Any] = {"before": _readable(os.getppid(), place, None)}
            os.write(before, b"x")
            os.read(go, 1)
            limits.confine(1024)
            said["enclosed"] = enclosed and landlock.enclose(folder / "own")
            said["after"] = _readable(os.getppid(), place, key)
            os.write(answers, json.dumps(said).encode())
            os._exit(0)
        os.read(message, 1)
        limits.close_proc()
        os.write(started, b"x")
        os.waitpid(worker, 0)
    finally:
        os._exit(0)


def _readable(pid: int, place: int, key: Path | None) -> list[str]:
    def read(path: str, at: int = 0) -> bool:
        try:
            return bool(os.pread(os.open(path, os.O_RDONLY), 8, at))
        except OSError:
            return False

    result = [name for name in ("environ", "maps", "mem") if read(f"/proc/{pid}/{name}", place if name == "mem" else 0)]
    return result + (["key"] if key and read(str(key)) else [])


def test_every_process_that_builds_clients_is_closed_to_workers() -> None:
    """Not only the one that starts them: others of the same user hold the same secrets."""
    program = (
        "import ctypes\nfrom sluice.settings import Settings\nfrom sluice.wiring.application import Sluice\n"
        "dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "before = dumpable()\nSluice(Settings(_env_file=None))\nprint(before, dumpable())"
    )
    address = "postgresql+psycopg://sluice:x@127.0.0.1:9/none"
    environment = {
        **{"SLUICE_DATABASE_URL": address, "SLUICE_KEYS_DATABASE_URL": address},
        **{"SLUICE_MASTER_KEY": b64encode(bytes(range(32))).decode(), "PYTHONPATH": os.pathsep.join(sys.path)},
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "0"], done.stderr
