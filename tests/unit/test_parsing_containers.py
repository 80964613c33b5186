"""Which errors count as damage of a zip container."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from sluice.errors import ExtractionError
from sluice.parsing.containers import kind_of_zip, opened, read_member, xml_tree
from unit.parsing_fixtures import zipped

WORDS = b"<p>" + b"words of a member, " * 2000 + b"</p>"
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def packed(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>", zipfile.ZIP_STORED)
        archive.writestr("word/document.xml", WORDS)
        archive.writestr("word/last.xml", "<p/>")
    return buffer.getvalue()


def damaged(content: bytes) -> bytes:
    """Changes bytes in the middle of the large member; the directory stays whole."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = archive.getinfo("word/document.xml")
    middle = member.header_offset + 30 + len(member.filename) + member.compress_size // 2
    return content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 8]) + content[middle + 8 :]


@pytest.mark.parametrize("error", [KeyError("field"), ValueError("a bug"), OSError("disk"), EOFError(), LookupError()])
def test_an_error_of_the_code_that_reads_stays_itself(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, opened(packed()) as archive:
        raise_from(archive, error)
    assert raised.value is error


@pytest.mark.parametrize("method", METHODS)
def test_a_member_that_is_damaged_in_its_middle_is_corrupt(method: int) -> None:
    whole = packed(method)
    assert kind_of_zip(whole, 1 << 30).endswith("wordprocessingml.document")
    with opened(whole) as archive:
        assert read_member(archive, "word/document.xml") == WORDS
    assert code_of(lambda: kind_of_zip(damaged(whole), 1 << 30)) == "corrupt"
    with opened(damaged(whole)) as archive:
        assert code_of(lambda: read_member(archive, "word/document.xml")) == "corrupt"
        assert read_member(archive, "word/last.xml") == b"<p/>"


def test_what_is_missing_or_cut_off_is_corrupt() -> None:
    whole = packed()
    directory = whole.index(b"PK\x01\x02")
    cut = whole[: directory - 200] + whole[directory:]  # zipfile shifts the offsets: members begin elsewhere
    assert code_of(lambda: kind_of_zip(cut, 1 << 30)) == "corrupt"
    assert code_of(lambda: opened(whole[:-30])) == "corrupt"
    with opened(whole) as archive:
        assert code_of(lambda: read_member(archive, "word/none.xml")) == "corrupt"


@pytest.mark.parametrize("markup", ["<p>", '<?xml version="1.0" encoding="klingon"?><p/>', "<!DOCTYPE p><p/>"])
def test_xml_that_cannot_be_parsed_is_corrupt(markup: str) -> None:
    with opened(zipped({"content.xml": markup.encode()})) as archive:
        assert code_of(lambda: xml_tree(archive, "content.xml")) == "corrupt"


def raise_from(archive: zipfile.ZipFile, error: Exception) -> None:
    assert archive.namelist()
    raise error


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ExtractionError) as raised:
        call()
    return raised.value.code
