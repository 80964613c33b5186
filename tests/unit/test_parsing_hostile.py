"""Documents that mean harm, or are merely odd: right text or the right reason, and no harm to anything else.

Every file is made here. One worker serves them all, one after the other, so that what a file leaves behind shows.
"""

from __future__ import annotations

import io
import random
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from docx import Document as Docx
from fpdf import FPDF

from sluice.model.document import FetchedDocument
from sluice.model.reasons import REASONS
from sluice.model.scan import ListingEntry, WorkItem
from sluice.parsing.extractor import IsolatedExtractor
from sluice.parsing.text import decode
from sluice.ports.content import Extracted

DEEP = 100_000
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 20
JAPANESE = "名前と住所を書いてください。東京都千代田区に住んでいます。\n" * 20
FRENCH = "Où est la forêt ? Ça dépend, garçon ; l'été dernier à Besançon. " * 20
POLISH = "Zażółć gęślą jaźń, mówił ślimak do żółwia. Źdźbło trawy rosło wśród łąki. " * 20
GERMAN = "Übergrößen, dass die Straße naß wäre, hätten wir gewußt. " * 20


@pytest.fixture(scope="module")
def opened() -> Iterator[IsolatedExtractor]:
    limits: dict[str, Any] = {
        "timeout_s": 30.0,
        "memory_mb": 1024,
        "max_text_chars": 5_000_000,
        "max_bytes": 200_000_000,
    }
    with IsolatedExtractor(workers=1, **limits) as extractor:
        yield extractor


def one(opened: IsolatedExtractor, content: bytes, name: str) -> Extracted:
    raw = FetchedDocument(
        WorkItem(uuid4(), ListingEntry(name, f"file:///{name}", "", len(content)), new=True), content, None
    )
    result = opened.extract([raw])[0]
    assert result.failure is None or (result.text == "" and result.failure[1].startswith(REASONS[result.failure[0]]))
    return result


def code(opened: IsolatedExtractor, content: bytes, name: str) -> str:
    result = one(opened, content, name)
    assert result.failure is not None, result.text[:100]
    return result.failure[0]


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def docx(text: str = "A paragraph.") -> bytes:
    document, buffer = Docx(), io.BytesIO()
    document.add_paragraph(text)
    document.save(buffer)
    return buffer.getvalue()


def docx_with(**changed: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(docx())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return zipped({**members, **{f"word/{name}.xml": content for name, content in changed.items()}})


def odf(kind: str, body: str) -> bytes:
    names = ("office", "table", "text", "draw", "presentation")
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    content = f"<office:document-content {spaces}><office:body>{body}</office:body></office:document-content>"
    return zipped({"mimetype": f"application/vnd.oasis.opendocument.{kind}".encode(), "content.xml": content.encode()})


def laughs(root: str) -> bytes:
    entities = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "lolololol">{entities}]>{root}'.encode()


# --- bombs --------------------------------------------------------------------------------------------------


def test_entity_bombs(opened: IsolatedExtractor) -> None:
    assert code(opened, laughs("<x>&j;</x>"), "x.xml") == "zip_bomb"
    assert code(opened, laughs("<svg xmlns='http://www.w3.org/2000/svg'><text>&j;</text></svg>"), "x.svg") == "zip_bomb"
    quadratic = b'<!DOCTYPE l [<!ENTITY a "' + b"x" * 100_000 + b'">]><l>' + b"&a;" * 20_000 + b"</l>"
    assert code(opened, quadratic, "x.xml") == "zip_bomb"
    word = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
    bomb = laughs(f"{word}<w:p><w:r><w:t>&j; words</w:t></w:r></w:p></w:body></w:document>")
    assert one(opened, docx_with(document=bomb), "x.docx").text.strip() == "words"  # entities are not unfolded


def test_an_entity_opens_no_file(opened: IsolatedExtractor, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    page = f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a SYSTEM "{secret.as_uri()}">]><l>open &a; words</l>'
    assert "s3cret" not in one(opened, page.encode(), "x.xml").text


def test_more_zip_bombs(opened: IsolatedExtractor) -> None:
    many = {"[Content_Types].xml": b"<Types/>", **{f"word/{n}": b"" for n in range(30_000)}}
    assert code(opened, zipped(many, zipfile.ZIP_STORED), "x.docx") == "zip_bomb"
    doll = zipped({"a.txt": b"x"})
    for _ in range(6):
        doll = zipped({"[Content_Types].xml": b"<Types/>", "word/inner.docx": doll})
    assert code(opened, doll, "x.docx") == "zip_bomb"
    ratio = zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": bytes(100 << 20)})
    assert code(opened, ratio, "x.docx") == "zip_bomb"


def test_names_in_a_container_lead_nowhere(opened: IsolatedExtractor, tmp_path: Path) -> None:
    """Containers are read in memory: a name is never a path."""
    outside = tmp_path / "evil"
    with zipfile.ZipFile(io.BytesIO(docx("good words"))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    tricks = {f"../../../../../../../..{outside}": b"x", str(outside): b"x", "word/a\n\x1b[31m\x00b.bin": b"x"}
    buffer = io.BytesIO(zipped({**members, **tricks}))
    with zipfile.ZipFile(buffer, "a") as archive:
        link = zipfile.ZipInfo("word/media/link.txt")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(outside))
    assert "good words" in one(opened, buffer.getvalue(), "x.docx").text
    assert not outside.exists()
    assert code(opened, zipped({"a\x01\n\x1b[31m.txt": b"x"}), "x.zip") == "archive"


# --- depth --------------------------------------------------------------------------------------------------


def test_depth_that_is_read(opened: IsolatedExtractor) -> None:
    assert one(opened, b"[" * DEEP + b"1" + b"]" * DEEP, "x.json").text.count("[") == DEEP
    assert one(opened, b"<a>" * DEEP + b"core words" + b"</a>" * DEEP, "x.xml").text == "core words"
    assert one(opened, b"<html><body>" + b"<div>" * DEEP + b"core words", "x.html").text == "core words\n"
    assert one(opened, b"{\\rtf1 " + b"{" * DEEP + b"core" + b"}" * DEEP + b"}", "x.rtf").text.strip() == "core"


def test_depth_that_is_refused(opened: IsolatedExtractor) -> None:
    assert code(opened, b'{"a":' * DEEP + b"1" + b"}" * DEEP, "x.ipynb") == "corrupt"
    outline = b'<?xml version="1.0"?><opml version="2.0"><body>' + b'<outline text="a">' * DEEP
    assert code(opened, outline + b"</outline>" * DEEP + b"</body></opml>", "x.opml") == "too_deep"
    spans = "<text:p>" + "<text:span>" * DEEP + "core" + "</text:span>" * DEEP + "</text:p>"
    assert code(opened, odf("text", spans), "x.odt") == "too_deep"
    parts = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(3000))
    assert code(opened, b"Subject: s\nMIME-Version: 1.0\n" + parts, "x.eml") == "too_deep"


# --- what it is ---------------------------------------------------------------------------------------------


def test_wrong_names(opened: IsolatedExtractor) -> None:
    document = FPDF()
    document.set_font("helvetica", size=12)
    document.add_page()
    document.cell(text="hello there")
    assert one(opened, bytes(document.output()), "x.txt").text.strip() == "hello there"
    assert one(opened, b"<html><body><p>words</body></html>", "x.pdf").text.strip() == "words"
    assert code(opened, random.Random(7).randbytes(20_000), "x.md") == "binary"
    assert code(opened, bytes(10_000), "x.md") == "binary"
    assert code(opened, b"\0", "x.txt") == "binary"
    assert code(opened, b"", "x.pdf") == "empty"
    assert code(opened, b"PK\x03\x04" + random.Random(7).randbytes(20_000), "x.docx") == "corrupt"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-16", RUSSIAN),
        ("utf-16-le", RUSSIAN),
        ("utf-16-be", RUSSIAN),
        ("utf-16-le", FRENCH),
        ("shift_jis", JAPANESE),
        ("euc_jp", JAPANESE),
        ("koi8-r", RUSSIAN),
        ("cp1251", RUSSIAN),
        ("cp1252", FRENCH),
        ("latin-1", GERMAN),
        ("cp1250", POLISH),
    ],
)
def test_encodings(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_bytes_that_are_not_utf8_cost_themselves_only(opened: IsolatedExtractor) -> None:
    text = one(opened, b"good words " * 50 + b"\x81\xfe" + b" more words" * 50, "x.md").text
    assert text.count("good words") == text.count("more words") == 50


def test_a_pdf_whose_font_has_no_map_of_letters(opened: IsolatedExtractor) -> None:
    """Codes without a meaning: no text, or signs that the gate on documents judges; never the codes as if letters."""
    stream = b"BT /F 12 Tf 72 700 Td <000100020003> Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[6 0 R]>>",
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/X/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)"
        b"/Supplement 0>>/FontDescriptor 7 0 R>>",
        b"<</Type/FontDescriptor/FontName/X/Flags 4/FontBBox[0 0 9 9]/ItalicAngle 0/Ascent 1/Descent 0/CapHeight 1"
        b"/StemV 1>>",
    ]
    pdf = b"%PDF-1.4\n" + b"".join(b"%d 0 obj\n%s\nendobj\n" % (n, each) for n, each in enumerate(objects, 1))
    result = one(opened, pdf + b"trailer<</Root 1 0 R/Size 8>>\n%%EOF", "x.pdf")
    assert result.failure is not None or not any(char.isascii() and char.isalnum() for char in result.text)


# --- mail ---------------------------------------------------------------------------------------------------


def mail(
    subject: str, text: str, attached: Sequence[tuple[str, bytes]] = (), inner: EmailMessage | None = None
) -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "Ann <a@x.org>", "b@x.org, Cy <c@x.org>"
    message["Date"] = "Mon, 01 Jan 2024 10:00:00 +0000"
    message.set_content(text)
    for name, content in attached:
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    if inner is not None:
        message.add_attachment(inner)
    return message


def test_a_mail_with_all_that_hangs_on_it(opened: IsolatedExtractor) -> None:
    bomb = zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": bytes(400 << 20)})
    inner = mail("Inner", "inner words", [("deep.txt", b"deep words")])
    attached = [("w.docx", docx("docx words")), ("b.docx", bomb), ("z.zip", zipped({"a.txt": b"zip words"}))]
    result = one(
        opened, bytes(mail("Outer", "outer words", [*attached, ("../../e\x07vil.txt", b"evil words")], inner)), "x.eml"
    )
    places = [result.text.index(part) for part in ("outer words", "## Attachment: w.docx", "docx words", "inner words")]
    assert places == sorted(places)
    assert "(not read: zip_bomb)" in result.text and "(not read: archive)" in result.text
    assert "## Attached message: Inner" in result.text and result.text.count("inner words") == 1
    assert (
        "deep words" in result.text
        and "\x07" not in result.text
        and "evil words" in result.text
        and "zip words" not in result.text
    )
    assert result.title == "Outer" and result.metadata is not None
    assert (result.metadata["from"], result.metadata["to"]) == ("Ann <a@x.org>", ["b@x.org", "Cy <c@x.org>"])
    assert result.metadata["created"].startswith("Mon, 01 Jan 2024") and result.metadata["subject"] == "Outer"


def test_messages_in_messages_end(opened: IsolatedExtractor) -> None:
    message = mail("level 0", "words 0")
    for level in range(1, 12):
        message = mail(f"level {level}", f"words {level}", inner=message)
    text = one(opened, bytes(message), "x.eml").text
    assert "words 11" in text and "words 6" in text and "words 0" not in text and "too deeply" in text


# --- structure ----------------------------------------------------------------------------------------------


def test_delimited_text_is_a_table(opened: IsolatedExtractor) -> None:
    expected = "| name | age |\n| --- | --- |\n| Ann, Dr. | 30 |\n| a \\| b | 31 |\n"
    assert one(opened, b'name,age\n"Ann, Dr.",30\n"a | b",31\n', "x.csv").text == expected
    assert one(opened, b"name\tage\nAnn, Dr.\t30\na | b\t31\n", "x.tsv").text == expected
    assert one(opened, b"just\nsome\nlines", "x.csv").text == "just\nsome\nlines"


def test_open_documents_keep_what_is_formatted(opened: IsolatedExtractor) -> None:
    table = """<table:table><table:table-row><table:table-cell><text:p>A</text:p></table:table-cell><table:table-cell>
      <text:list><text:list-item><text:p>one</text:p></text:list-item></text:list></table:table-cell></table:table-row>
      <table:table-row><table:table-cell table:number-columns-repeated="2"><text:p>x</text:p></table:table-cell>
      </table:table-row></table:table>"""
    body = f"""<office:text><text:h text:outline-level="2">Head</text:h>
      <text:p>Some <text:span>bold</text:span><text:s/>
      words</text:p>{table}</office:text>"""
    result = one(opened, odf("text", body), "x.odt")
    assert [" ".join(block.split()) for block in result.text.split("\n\n")] == [
        "## Head",
        "Some bold words",
        "| A | - one | | --- | --- | | x | x |",
    ]
    slide = """<office:presentation><draw:page draw:name="1"><draw:frame presentation:class="title"><draw:text-box>
      <text:p>The title</text:p></draw:text-box></draw:frame><draw:frame><draw:text-box><text:p>Body</text:p>
      </draw:text-box></draw:frame></draw:page></office:presentation>"""
    assert one(opened, odf("presentation", slide), "x.odp").text == "# The title\n\nBody"


def test_markup_is_its_text_without_its_tags(opened: IsolatedExtractor) -> None:
    page = b"""<?xml version="1.0"?><doc><id>7</id>\n<p>Some <b>bold</b> &agr; words, <i>H</i>ere</p>
      <table><tgroup><row><entry>a</entry><entry>b</entry></row><row><entry>1</entry><entry/></row></tgroup></table></doc>"""
    expected = "7\n\nSome bold α words, Here\n\n| a | b |\n| --- | --- |\n| 1 |  |"
    assert one(opened, page, "x.xml").text == expected


def test_type_set_letters_are_plain(opened: IsolatedExtractor) -> None:
    page = "<html><body><p>e\ufb03cient\u00a0de\u00adsign</p></body></html>"
    assert one(opened, page.encode(), "x.html").text.strip() == "efficient design"


# --- isolation ----------------------------------------------------------------------------------------------


def test_a_worker_opens_no_socket_and_starts_no_program() -> None:
    """Through the filter alone, as where there are no privileges for a network namespace."""
    program = """
import os, socket
from sluice.parsing.isolation import limits
libc = limits.ctypes.CDLL(None)
libc.prctl(limits._PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
assert limits.forbid_sockets()
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
    try:
        socket.socket(family)
    except PermissionError:
        continue
    raise SystemExit(f"{family} is open")
try:
    os.execv("/bin/true", ["true"])
except PermissionError:
    print("closed")
"""
    include = str(Path(__file__).parents[2] / "include")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": include})
    assert done.stdout.endswith("closed\n"), done.stderr


def test_a_running_worker_is_filtered(opened: IsolatedExtractor) -> None:
    assert one(opened, docx(), "x.docx").failure is None
    (pid,) = opened.pids
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status


# --- size ---------------------------------------------------------------------------------------------------


def _text(size: int) -> bytes:
    return b"some words of text in a line\n" * (size // 29)


def _sparse(size: int) -> bytes:
    return bytes(size)


def _garbage(size: int) -> bytes:
    return b"%PDF-1.4\n" + random.Random(1).randbytes(1000) * (size // 1000)


def _page(size: int) -> bytes:
    return b"<html><body>" + b"<p>words</p>\n" * (size // 13)


def _markup(size: int) -> bytes:
    return b'<?xml version="1.0"?><a>' + b"<b>words</b>\n" * (size // 13) + b"</a>"


def _table(size: int) -> bytes:
    return b"a,b,c\n" * (size // 6)


LARGE = [
    (_text, "x.txt", {"too_long"}),
    (_sparse, "x.bin", {"binary"}),
    (_garbage, "x.pdf", {"corrupt"}),
    (_page, "x.html", {"too_long", "out_of_memory", "timeout"}),
    (_markup, "x.xml", {"too_long", "out_of_memory", "timeout"}),
    (_table, "x.csv", {"too_long"}),
]


@pytest.mark.parametrize(("built", "name", "codes"), LARGE)
def test_large_files(opened: IsolatedExtractor, built: Callable[[int], bytes], name: str, codes: set[str]) -> None:
    _is_refused(opened, built(12_000_000), name, codes)


@pytest.mark.drill
@pytest.mark.parametrize(("built", "name", "codes"), LARGE)
def test_100_mb_files(opened: IsolatedExtractor, built: Callable[[int], bytes], name: str, codes: set[str]) -> None:
    _is_refused(opened, built(100_000_000), name, codes)


def _is_refused(opened: IsolatedExtractor, content: bytes, name: str, codes: set[str]) -> None:
    """The parent may hold the bytes, their text (at most four times as large) and little else."""
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert code(opened, content, name) in codes
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) << 10
    assert grown_bytes < 5 * len(content) + (64 << 20)
    assert one(opened, docx("after"), "x.docx").text.strip() == "after"
