"""Letters: which charset bytes are in, and that a wrong guess, an escape or a broken byte does not change the rest."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from sluice.model.document import FetchedDocument
from sluice.model.scan import ListingEntry, WorkItem
from sluice.parsing.charset import lookup
from sluice.parsing.extractor import IsolatedExtractor
from sluice.parsing.notebook import notebook_text
from sluice.parsing.sniffing import sniff
from sluice.parsing.text import decode, why_no_text
from unit.test_parsing_documents import extractor, one

SHORT = {
    "cp1252": (
        "Grüße aus Köln, schöne Straße.",
        "Où est l'été à Besançon ?",
        "Er sagte: „Ja“ – für 5 €",
        "naïve café",
        "señor",
    ),
    "cp1250": ("Zażółć gęślą jaźń, mówił ślimak.", "Příliš žluťoučký kůň", "Árvíztűrő tükörfúrógép", "Şi în ţară"),
    "iso8859_2": ("Zażółć gęślą jaźń do żółwia", "őrült írók és tűz"),
    "cp852": ("Zażółć gęślą jaźń do żółwia",),
    "cp1257": (
        "Glāžšķūņa rūķīši un ziņģe",
        "Įlinkdama fechtuotojo špaga pragręžė arbūzą",
        "Põdur Zagrebi tšellomängija ja ei",
    ),
    "cp1254": ("Pijamalı hasta yağız şoföre çabucak güvendi",),
    "cp1251": ("Съешь же ещё этих мягких булок", "Москва", "СССР «Правда» № 5", "Жебракують філософи в Гадячі"),
    "koi8_r": ("Съешь же ещё этих мягких булок", "Москва"),
    "cp866": ("Съешь же ещё этих мягких булок", "Рассказ про права"),
    "iso8859_5": ("Съешь же ещё этих мягких булок",),
    "mac_cyrillic": ("Съешь же ещё этих мягких булок",),
    "cp1253": ("Ξεσκεπάζω την ψυχοφθόρα βδελυγμία", "Καλημέρα"),
    "cp1255": ("שלום עולם, זה טקסט בעברית",),
    "cp1256": ("مرحبا بالعالم هذا نص عربي",),
    "cp874": ("สวัสดีชาวโลก นี่คือข้อความภาษาไทย",),
    "cp932": ("名前と住所を書いてください。", "名前,年齢\n佐藤太郎,30\n"),
    "euc_jp": ("名前と住所を書いてください。", "会議の資料です"),
    "iso2022_jp": ("会議の資料です",),
    "gb18030": ("今天天气很好，我们去公园散步。", "北京市朝阳区"),
    "big5": ("今天天氣很好，我們去公園散步。", "臺北市信義區"),
    "cp949": ("안녕하세요, 반갑습니다. 날씨가 좋네요", "서울특별시"),
    "cp850": ("Grüße aus Köln, schöne Straße.",),
    "mac_roman": ("Grüße aus Köln, schöne Straße.",),
}


@pytest.mark.parametrize(("charset", "text"), [(charset, text) for charset, texts in SHORT.items() for text in texts])
@pytest.mark.parametrize("before", [0, 70_000])
def test_the_charset_is_found_wherever_it_shows(charset: str, text: str, before: int) -> None:
    plain = "plain ascii line\n" * (before // 17)
    assert decode((plain + text + "\n").encode(charset)) == plain + text + "\n"


@pytest.mark.parametrize("bad", [b"\xff", b"\xe4", b"\xc3", b"\x80"])
def test_one_bad_byte_does_not_change_the_others(bad: bytes) -> None:
    text = "Übergröße und Maßstab, wie früher in Köln.\n"
    assert decode(text.encode() * 3 + bad + b"\n" + text.encode() * 3) == text * 3 + "\ufffd\n" + text * 3
    assert decode(b"\xef\xbb\xbf" + text.encode() + bad) == text + "\ufffd"


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("stray", [b"", b"\n"])
def test_wide_charsets_with_a_stray_byte(charset: str, stray: bytes) -> None:
    text = "Name,Größe\nÄgir,30\nBob and some more words,25\n"
    assert decode(text.encode(charset) + stray) == text + ("\ufffd" if stray else "")


def test_what_is_declared_is_used_and_utf_8_is_utf_8() -> None:
    assert decode("Šis ir ŽAGARS".encode("cp1257"), "windows-1257") == "Šis ir ŽAGARS"
    assert decode("Grüße".encode(), "iso-8859-1") == "Grüße"
    assert decode("“quoted” – €".encode("cp1252"), "iso-8859-1") == "“quoted” – €"
    assert decode("Ÿ".encode("iso8859_15"), "no-such-charset") is not None
    russian = decode('<?xml version="1.0" encoding="koi8-r"?><a>Да</a>'.encode("koi8-r"), None)
    assert russian is not None and russian.endswith("<a>Да</a>")
    assert lookup("gb2312") == "gb18030" and lookup("x-sjis") == "cp932" and lookup("base64") is None


def test_a_servers_charset_is_used() -> None:
    content = "Žąsis ir ėglis".encode("cp1257")
    item = WorkItem(uuid4(), ListingEntry("a", "https://h/a", "", len(content)), new=True)
    with extractor(workers=1) as opened:
        (result,) = opened.extract([FetchedDocument(item, content, "text/plain; charset=windows-1257")])
    assert result.text == "Žąsis ir ėglis"


def test_a_reason_names_the_charset_and_the_byte() -> None:
    assert why_no_text(b"words \xff\x00\x01") == "Read as UTF-8, byte 6 (0xff) is not part of a text."
    assert why_no_text(b"words \x01" * 9) == "Read as UTF-8, byte 6 (0x01) is not part of a text."
    assert why_no_text(b"\xff\xfea\0\0\xd8b\0") == "Read as UTF-16-LE, byte 4 (0x00) is not part of a text."
    kind = sniff(b"\x00\x01\x02\x03" * 50, "x.bin")
    assert kind.failure == "binary" and "byte 0 (0x00)" in kind.detail


def test_escapes_of_json_are_letters() -> None:
    text = '{"a": "M\\u00fcller \\ud83d\\ude00 \\u4e2d", "b": "\\\\u00fc \\u0022 \\u0000 \\ud800 \\n", "c": "\\u200b"}'
    expected = '{"a": "Müller 😀 中", "b": "\\\\u00fc \\u0022 \\u0000 \\ud800 \\n", "c": "\\u200b"}'
    for name in ("a.json", "a.jsonl"):
        assert sniff(text.encode(), name).text == expected
        assert json.loads(sniff(text.encode(), name).text or "")["a"] == "Müller 😀 中"
    assert sniff(text.encode(), "a.py").text == text


def test_mails_in_old_charsets() -> None:
    mail = "From: Jürgen <j@example.org>\nSubject: Grüße – heute\nContent-Type: text/plain; charset={}\n\nGrößer\n"
    parts = (
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: text/plain\n\nbody\n--B\n"
        'Content-Type: text/csv; charset={}\nContent-Disposition: attachment; filename="t.csv"\n'
        "Content-Transfer-Encoding: 8bit\n\nимя;город\nАнна;Рим\n\n--B--\n"
    )
    with extractor(workers=1) as opened:
        for charset in ("windows-1252", "utf-8"):
            result = one(opened, mail.format(charset).encode(charset), "a.eml")
            assert result.title == "Grüße – heute" and "Jürgen" in result.text and "Größer" in result.text
        for charset in ("koi8-r", "utf-8", "cp866"):
            assert "| Анна | Рим |" in one(opened, parts.format(charset).encode(charset), "a.eml").text


# --- notebooks ----------------------------------------------------------------------------------------------


def cell(kind: str, source: object, **more: object) -> dict[str, object]:
    return {"cell_type": kind, "metadata": {}, "source": source, **more}


@pytest.mark.parametrize("escaped", [True, False])
def test_notebooks_keep_their_letters(escaped: bool) -> None:
    outputs = [
        {"output_type": "stream", "text": ["\x1b[31mGröße\x1b[0m\n"]},
        {"output_type": "execute_result", "data": {"text/plain": ["42 Öl"], "image/png": "iVBORw0"}},
        {"output_type": "display_data", "data": {"text/html": "<b>fett</b>"}},
        {"output_type": "error", "ename": "ValueError", "evalue": "schlecht", "traceback": []},
    ]
    cells = [
        cell("markdown", ["# Bäcker\n", "\n", "- Brötchen\n", "- 漢字 😀"]),
        cell("code", "print('ä')", outputs=outputs, execution_count=1),
        cell("raw", "roh"),
    ]
    language = {"language_info": {"name": "python"}}
    notebook = {"cells": cells, "metadata": language, "nbformat": 4, "nbformat_minor": 5}
    text, _ = notebook_text(json.dumps(notebook, ensure_ascii=escaped).encode(), lambda page: f"[{page}]")
    assert text == (
        "# Bäcker\n\n- Brötchen\n- 漢字 😀\n\n```python\nprint('ä')\n```\n\nGröße\n\n42 Öl\n\n[<b>fett</b>]\n\n"
        "ValueError: schlecht\n\nroh\n"
    )


def test_old_and_odd_notebooks() -> None:
    old = {
        "worksheets": [
            {"cells": [{"cell_type": "heading", "level": 2, "source": "Über"}, {"cell_type": "code", "input": "x"}]}
        ]
    }
    assert notebook_text(json.dumps(old).encode(), str)[0] == "## Über\n\n```\nx\n```\n"
    odd = {
        "cells": [None, 3, cell("code", 5, outputs=[None, {"data": []}, {"text": {}}]), cell("markdown", [1, "a"])],
        "metadata": [],
    }
    assert notebook_text(json.dumps(odd).encode(), str)[0] == "a\n"
    with extractor(workers=1) as opened:
        result = one(opened, json.dumps({**odd, "cells": [cell("markdown", "Bäcker")]}).encode(), "a.ipynb")
        assert (result.text, result.mime) == ("Bäcker\n", "application/x-ipynb+json")
        assert isinstance(opened, IsolatedExtractor)


# --- what has no text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b",,\n,,\n"),
        ("a.xml", b'<?xml version="1.0"?><bill a="1"><row/></bill>'),
        ("a.html", b"<html><body></body></html>"),
    ],
)
def test_what_has_no_text_is_empty_and_no_scan(name: str, content: bytes) -> None:
    with extractor(workers=1) as opened:
        result = one(opened, content, name)
    assert result.failure and result.failure[0] == "empty" and "scan" not in result.failure[1]
