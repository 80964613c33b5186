"""Every part of an e-mail and of a message of Outlook is read, or a line says why not. Every file is made here."""

from __future__ import annotations

import base64
import io
import random
import struct
from collections import Counter
from collections.abc import Iterator
from email.message import EmailMessage
from itertools import pairwise
from typing import Any

import pytest
from docx import Document as Docx

from sluice.errors import ExtractionError
from sluice.parsing.embedded import without_blobs
from sluice.parsing.extractor import IsolatedExtractor
from sluice.parsing.msg import msg_parts
from unit.parsing_fixtures import extractor, text, zipped


@pytest.fixture(scope="module")
def opened() -> Iterator[IsolatedExtractor]:
    with extractor() as built:
        yield built


def docx() -> bytes:
    document, buffer = Docx(), io.BytesIO()
    document.add_paragraph("body words")
    document.save(buffer)
    return buffer.getvalue()


def test_blocks_of_base64_in_a_mail_are_no_text() -> None:
    block = base64.encodebytes(random.Random(2).randbytes(1000)).decode()
    assert without_blobs(f"before\n{block}\nafter") == "before\n\n\nafter"
    assert without_blobs(f"before {block.replace(chr(10), '')} after") == "before  after"
    for retained in ("ACGT" * 100, "word " * 100, "https://x.org/" + "a/" * 150, ("x" * 70 + "\n") * 9):
        assert without_blobs(retained) == retained


# --- mail ---------------------------------------------------------------------------------------------------


def eml(*parts: str, kind: str = "mixed") -> str:
    return "From: a@x.org\nSubject: outer\nMIME-Version: 1.0\n" + multipart(*parts, kind=kind)


def multipart(*parts: str, kind: str, boundary: str = "BB") -> str:
    body = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n{body}--{boundary}--\n'


def plain(words: str) -> str:
    return f"Content-Type: text/plain; charset=utf-8\n\n{words}\n"


def page(words: str) -> str:
    return f"Content-Type: text/html; charset=utf-8\n\n<html><body><p>{words}</p></body></html>\n"


INNER = "From: b@x.org\nSubject: inner\nContent-Type: text/plain; charset=utf-8\n\ninner words\n"
PACKED = base64.encodebytes(INNER.encode()).decode()


@pytest.mark.parametrize(
    "part",
    [
        f"Content-Type: message/rfc822\n\n{INNER}",
        f"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{PACKED}",
        f"Content-Type: message/rfc822; name=f.eml\nContent-Transfer-Encoding: BASE64\n\n{PACKED}",
        f'Content-Type: application/octet-stream; name="f.EML"\nContent-Transfer-Encoding: base64\n\n{PACKED}',
        f'Content-Type: text/plain; name="f.eml"\n\n{INNER}',
    ],
)
def test_messages_in_messages_are_read(opened: IsolatedExtractor, part: str) -> None:
    result = text(opened, eml(plain("outer words"), part), "x.eml")
    assert result.index("outer words") < result.index("## Attached message: inner") < result.index("inner words")
    assert result.count("inner words") == 1


def test_a_stub_does_not_hide_the_page(opened: IsolatedExtractor) -> None:
    result = text(opened, eml(plain("Please view in HTML."), page("the real words"), kind="alternative"), "x.eml")
    assert "the real words" in result and "Please view" in result


def test_a_page_that_says_the_same_is_not_repeated(opened: IsolatedExtractor) -> None:
    result = text(opened, eml(plain("the *same* words"), page("the <b>same</b> words"), kind="alternative"), "x.eml")
    assert result.count("same") == 1


def test_every_leaf_of_a_mail_is_read(opened: IsolatedExtractor) -> None:
    invitation = (
        "BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:Nowhere\nEND:VTIMEZONE\nBEGIN:VEVENT\nUID:f00\n"
        "SUMMARY:Weekly\n  meeting\nLOCATION:Room\\, left\n"
        "ATTENDEE;CN=Ann;RSVP=TRUE:mailto:ann@x.org\nEND:VEVENT\nEND:VCALENDAR"
    )
    picture = "Content-Type: image/png\nContent-ID: <i>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n"
    related = multipart(page("related words"), picture, kind="related", boundary="RR")
    report = "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x.org\n\nStatus: 5.1.1\n"
    tnef = 'Content-Type: application/ms-tnef; name="winmail.dat"\nContent-Transfer-Encoding: base64\n\neJ8+IgAAAAA=\n'
    calendar = f"Content-Type: text/calendar; method=REQUEST\n\n{invitation}\n"
    content = eml(plain("body words"), page("inline words"), related, calendar, report, tnef, plain("footer words"))
    result = text(opened, content, "x.eml")
    for words in ("body words", "inline words", "related words", "footer words", "5.1.1", "Summary: Weekly meeting"):
        assert result.count(words) == 1, words
    assert "Location: Room, left" in result and "Ann" in result and "Nowhere" not in result and "f00" not in result
    assert "## Attachment: winmail.dat\n\n(not read: " in result and "(not read: 1 picture of the page)" in result


def test_a_multipart_without_parts_is_text(opened: IsolatedExtractor) -> None:
    assert "lost words" in text(
        opened, 'Subject: s\nContent-Type: multipart/mixed; boundary="no"\n\nlost words\n', "x.eml"
    )


def test_a_picture_on_a_card_is_no_text(opened: IsolatedExtractor) -> None:
    photo = base64.encodebytes(random.Random(3).randbytes(900)).decode().strip().replace("\n", "\n ")
    card = f"BEGIN:VCARD\nFN:Ann Example\nPHOTO;ENCODING=b:{photo}\nTEL:+123\nEND:VCARD\n"
    message = EmailMessage()
    message["Subject"] = "card"
    message.set_content("body")
    message.add_attachment(card.encode(), maintype="text", subtype="vcard", filename="ann.vcf")
    result = text(opened, bytes(message), "x.eml")
    assert "Fn: Ann Example" in result and "Tel: +123" in result and len(result) < 200


# --- Outlook ------------------------------------------------------------------------------------------------


def compound(tree: dict[str, bytes | dict]) -> bytes:
    """An OLE container (MS-CFB): streams below 4,096 bytes in small sectors of 64, the others in sectors of 512."""
    entries: list[dict] = [{"name": "Root Entry", "kind": 5, "children": []}]

    def add(children: dict[str, bytes | dict], parent: int) -> None:
        for name, value in sorted(children.items(), key=lambda item: (len(item[0]), item[0].upper())):
            kind = 2 if isinstance(value, bytes) else 1
            entries.append({"name": name, "kind": kind, "children": [], "data": value if kind == 2 else b""})
            entries[parent]["children"].append(len(entries) - 1)
            if isinstance(value, dict):
                add(value, len(entries) - 1)

    add(tree, 0)
    small, small_fat = _laid([each for each in entries if 0 < len(each.get("data", b"")) < 4096], 64)
    entries[0] |= {"data": small, "kind": 5}
    right = {a: b for each in entries for a, b in pairwise(each["children"])}
    large = [entries[0], *(each for each in entries[1:] if len(each.get("data", b"")) >= 4096)]
    table = {"data": struct.pack(f"<{len(small_fat)}i", *small_fat)}
    directory: dict[str, Any] = {"data": bytes(128 * len(entries))}
    data, fat = _laid([*large, table, directory], 512)
    written = b"".join(_entry(number, each, right) for number, each in enumerate(entries))
    place = directory["start"] * 512
    data = data[:place] + written + data[place + len(written) :]
    fats = next(n for n in range(1, 100) if len(fat) + n <= 128 * n)
    numbers = [len(fat) + n for n in range(fats)]
    fat = [*fat, *[-3] * fats]
    fat += [-1] * (128 * fats - len(fat))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    head += struct.pack(
        "<iiiiiiiii", 0, fats, directory["start"], 0, 4096, table["start"], -(-len(small_fat) // 128), -2, 0
    )
    return head + struct.pack("<109i", *numbers, *[-1] * (109 - fats)) + data + struct.pack(f"<{len(fat)}i", *fat)


def _laid(streams: list[dict], size: int) -> tuple[bytes, list[int]]:
    data = b""
    chain: list[int] = []
    for stream in streams:
        sectors = -(-len(stream["data"]) // size)
        stream["start"] = len(chain)
        chain += [*range(len(chain) + 1, len(chain) + sectors), -2]
        data += stream["data"].ljust(sectors * size, b"\0")
    return data, chain


def _entry(number: int, entry: dict, right: dict[int, int]) -> bytes:
    name = entry["name"].encode("utf-16-le") + b"\0\0"
    child = entry["children"][0] if entry["children"] else -1
    head = struct.pack("<64sHBBiii", name, len(name), entry["kind"], 1, -1, right.get(number, -1), child)
    return head + bytes(36) + struct.pack("<iQ", entry.get("start", 0), len(entry.get("data", b"")))


def outlook(subject: str, attached: dict[str, bytes | dict] | None = None, **body: bytes) -> dict[str, bytes | dict]:
    parts = {
        f"__attach_version1.0_#{n:08X}": {
            "__properties_version1.0": bytes(8),
            "__substg1.0_3707001F": name.encode("utf-16-le"),
            **({"__substg1.0_37010102": value} if isinstance(value, bytes) else {"__substg1.0_3701000D": value}),
        }
        for n, (name, value) in enumerate((attached or {}).items())
    }
    properties = {f"__substg1.0_{number[1:]}": value for number, value in body.items()}
    subject_bytes = subject.encode("utf-16-le")
    return {"__properties_version1.0": bytes(32), "__substg1.0_0037001F": subject_bytes, **properties, **parts}


def test_messages_of_outlook_are_read_whole(opened: IsolatedExtractor) -> None:
    deep = outlook("deepest", _1000001F="deep words".encode("utf-16-le"))
    inner = outlook(
        "inner", {"deep.msg": deep, "n.txt": b"note words"}, _10130102=b"<html><p>inner page words</p></html>"
    )
    whole = compound(inner)
    attached: dict[str, bytes | dict] = {
        "inner.msg": inner,
        "file.msg": whole,
        "w.docx": docx(),
        "x.zip": zipped({"a": b"x"}),
    }
    content = compound(outlook("outer", attached, _1000001F="outer words".encode("utf-16-le")))
    result = text(opened, content, "x.msg")
    assert [result.count(words) for words in ("outer words", "inner page words", "deep words", "note words")] == [
        1,
        2,
        2,
        2,
    ]
    assert "body words" in result and "## Attachment: x.zip\n\n(not read: archive)" in result


def test_a_page_or_rtf_alone_is_the_body(opened: IsolatedExtractor) -> None:
    only_page = compound(outlook("outer", _10130102=b"<html><body><p>only page words</p></body></html>"))
    assert text(opened, only_page, "x.msg").count("only page words") == 1
    rtf = rb"{\rtf1\ansi only rtf words}"
    stored = struct.pack("<II4sI", len(rtf) + 12, len(rtf), b"MELA", 0) + rtf
    assert text(opened, compound(outlook("outer", _10090102=stored)), "x.msg").count("only rtf words") == 1
    # Compressed: eight letters after each byte of flags, the last a place that ends it.
    letters = b"".join(b"\0" + rtf[n : n + 8] for n in range(0, len(rtf) // 8 * 8, 8))
    rest = rtf[len(rtf) // 8 * 8 :]
    end = (207 + len(rtf)) % 4096 << 4
    packed = letters + bytes([1 << len(rest)]) + rest + struct.pack(">H", end)
    compressed = struct.pack("<II4sI", len(packed) + 12, len(rtf), b"LZFu", 0) + packed
    assert text(opened, compound(outlook("outer", _10090102=compressed)), "x.msg").count("only rtf words") == 1


def test_a_damaged_message_of_outlook_is_read_or_reported() -> None:
    content = compound(outlook("outer", {"a.txt": b"x" * 2000}, _1000001F="outer words".encode("utf-16-le")))
    chance = random.Random(5)
    outcomes: Counter[str] = Counter()
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(6):
            damaged[chance.randrange(28, len(damaged))] = chance.randrange(256)
        try:
            parts = msg_parts(bytes(damaged), lambda attached, _name, _charset: attached.decode("latin-1"))
            outcomes["read" if parts else "nothing"] += 1
        except ExtractionError as error:
            outcomes["reported" if str(error) else "no reason"] += 1
    assert outcomes.keys() == {"read", "reported"} and outcomes.total() == 200, outcomes
