"""Members of zips as documents: what is listed, what is refused, and that a zip is opened only where a glob says so."""

from __future__ import annotations

import errno
import io
import os
import random
import stat
import struct
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import ExtractionError, Unavailable
from sluice.ports.readers import SourceReader
from sluice.sources.globs import Globs
from sluice.sources.members import Archive, NotAnArchive
from sluice.sources.ranges import Ranges
from unit.test_parsing_documents import docx
from unit.test_source_readers import ids, item, reader, refusal

ALL = ("**", "*.zip!/")
Members = list[tuple[str | zipfile.ZipInfo, bytes]]


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **options: None)  # of a name that is there twice
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def entry_of(name: str, **fields: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def folder(tmp_path: Path, content: bytes, **options: Any) -> SourceReader:
    (tmp_path / "x.zip").write_bytes(content)
    return reader(tmp_path, **{"include": ALL, **options})


def texts(source: SourceReader) -> dict[str, bytes]:
    return {entry.external_id: source.read(item(entry)).content for entry in source.scan()}


def test_a_zip_is_one_document_unless_a_glob_names_its_members(tmp_path: Path) -> None:
    content = zipped(("a.md", b"alpha"))
    assert ids(folder(tmp_path, content, include=())) == ["x.zip"]
    assert ids(folder(tmp_path, content, include=("**",))) == ["x.zip"]
    assert ids(folder(tmp_path, content)) == ["x.zip!/a.md"]


def test_members_are_documents(tmp_path: Path) -> None:
    source = folder(tmp_path, zipped(("a.md", b"alpha"), ("b/", b""), ("b/c d#.md", b"gamma"), ("empty.md", b"")))
    (tmp_path / "plain.md").write_text("beside it")
    result = list(source.scan())
    assert texts(source) == {
        "plain.md": b"beside it",
        "x.zip!/a.md": b"alpha",
        "x.zip!/b/c d#.md": b"gamma",
        "x.zip!/empty.md": b"",
    }
    assert result[2].uri == f"{(tmp_path / 'x.zip').as_uri()}#b/c%20d%23.md" and result[2].size_bytes == 5
    one = reader(tmp_path / "x.zip", roots=(tmp_path,), include=("*.zip!/",))
    assert ids(one) == ["x.zip!/a.md", "x.zip!/b/c d#.md", "x.zip!/empty.md"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (("*.zip!/",), (), ["s/y.zip!/a.md", "x.zip!/a.md", "x.zip!/d/a.txt"]),
        (("x.zip!/",), (), ["x.zip!/a.md", "x.zip!/d/a.txt"]),
        (("/x.zip!/*.md", "*.zip"), (), ["s/y.zip", "x.zip!/a.md"]),
        (("**/*.zip!/**/*.md",), (), ["s/y.zip!/a.md", "x.zip!/a.md"]),
        (("*.zip!/",), ("d/",), ["s/y.zip!/a.md", "x.zip!/a.md"]),
        (("*.zip!/",), ("x.zip",), ["s/y.zip!/a.md"]),
        (("*.zip!/",), ("s/",), ["x.zip!/a.md", "x.zip!/d/a.txt"]),
        (("*.zip!/.h/",), (), ["x.zip!/.h/b.md"]),
    ],
)  # fmt: skip
def test_globs_see_the_names_of_members(tmp_path: Path, include: Any, exclude: Any, expected: Any) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "y.zip").write_bytes(zipped(("a.md", b"y")))
    content = zipped((".h/b.md", b"hidden"), ("a.md", b"a"), ("d/a.txt", b"d"))
    assert ids(folder(tmp_path, content, include=include, exclude=exclude)) == expected


def test_a_name_with_the_separator_is_no_member(tmp_path: Path) -> None:
    (tmp_path / "x.zip!").mkdir()
    (tmp_path / "x.zip!" / "a.md").write_text("a file in a folder")
    source = folder(tmp_path, zipped(("a.md", b"a member"), ("b!/c.md", b"another")))
    assert texts(source) == {
        "x.zip%21/a.md": b"a file in a folder",
        "x.zip!/a.md": b"a member",
        "x.zip!/b!/c.md": b"another",
    }
    assert ids(reader(tmp_path)) == ["x.zip", "x.zip!/a.md"]


def test_a_folder_that_ends_with_an_exclamation_mark_keeps_its_name(tmp_path: Path) -> None:
    """Globs that named it before zips were opened still do."""
    for name in ("wow!/a.md", "wow!/b!/c.md", "no/d.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a file in a folder")
    (tmp_path / "wow").write_bytes(zipped(("a.md", b"a zip without the suffix")))
    (tmp_path / "wow!" / "y.ZIP").write_bytes(zipped(("e.md", b"a member")))
    both = ["wow!/a.md", "wow!/b!/c.md"]
    for include in (("wow!/",), ("w*!/",), ("wow!/", "*.zip!/"), ("wow!/a.md", "wow!/**/c.md")):
        source = reader(tmp_path, include=include)
        assert [name for name in texts(source) if not name.endswith("ZIP")] == both
    assert texts(reader(tmp_path, include=("wow!/*.ZIP!/*.md",))) == {"wow!/y.ZIP!/e.md": b"a member"}


def test_hidden_names_and_excluded_folders_are_those_that_are_printed(tmp_path: Path) -> None:
    """An exclude glob for members leaves the folder of that name alone, and the other way round."""
    (tmp_path / "x.zip!").mkdir()
    (tmp_path / "x.zip!" / "a.md").write_text("a file in a folder")
    content = zipped(("a.md", b"a member"))
    assert ids(folder(tmp_path, content, exclude=("x.zip!/",))) == ["x.zip%21/a.md"]
    assert ids(folder(tmp_path, content, exclude=("x.zip%21/",))) == ["x.zip!/a.md"]


LINK = entry_of("l.md", create_system=3, external_attr=(stat.S_IFLNK | 0o777) << 16)
PIPE = entry_of("p.md", create_system=3, external_attr=(stat.S_IFIFO | 0o600) << 16)


@pytest.mark.parametrize(
    ("name", "external_id", "code"),
    [
        ("../../etc/passwd", "../../etc/passwd", "member_name"),
        ("a/../b.md", "a/../b.md", "member_name"),
        ("..\\b.md", "../b.md", "member_name"),
        ("/etc/passwd", "/etc/passwd", "member_name"),
        ("C:\\a.md", "C:/a.md", "member_name"),
        ("x" * 1001, "#member-2", "member_name"),
        ("é" * 501, "#member-2", "member_name"),
        ("ok.md", "ok.md#member-2", "duplicate_member"),
        (LINK, "l.md", "link"),
        (PIPE, "p.md", "not_a_file"),
        (entry_of("m.md", compress_type=zipfile.ZIP_BZIP2), "m.md", "member_method"),
        (entry_of("m.md", compress_type=zipfile.ZIP_LZMA), "m.md", "member_method"),
    ],
)
def test_a_bad_member_is_listed_and_refused(
    tmp_path: Path, name: str | zipfile.ZipInfo, external_id: str, code: str
) -> None:
    source = folder(tmp_path, zipped(("ok.md", b"first"), (name, b"second"), ("z.md", b"third")))
    assert ids(source) == ["x.zip!/ok.md", f"x.zip!/{external_id}", "x.zip!/z.md"]
    assert refusal(source, f"x.zip!/{external_id}") == code
    good = [entry for entry in source.scan() if entry.external_id in ("x.zip!/ok.md", "x.zip!/z.md")]
    assert [source.read(item(entry)).content for entry in good] == [b"first", b"third"]


def test_encrypted_large_and_damaged_members_are_refused_alone(tmp_path: Path) -> None:
    content = bytearray(zipped(("a.md", b"alpha " * 50), ("b.md", b"beta " * 50), ("c.md", b"x" * 2000)))
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1  # encrypted
    second = content.index(b"PK\x03\x04", 4)
    content[second + 40] ^= 0xFF  # in the packed bytes
    source = folder(tmp_path, bytes(content), max_bytes=1000)
    codes = {name: refusal(source, name) for name in ids(source)}
    assert codes == {"x.zip!/a.md": "encrypted", "x.zip!/b.md": "corrupt", "x.zip!/c.md": "too_large"}


def test_names_in_every_alphabet(tmp_path: Path) -> None:
    def unflagged(raw: bytes) -> bytes:
        """A zip whose name of 6 bytes is in no declared charset."""
        return zipped(("ABCDEF", b"text")).replace(b"ABCDEF", raw)

    for raw, name in (("Ü.txt ".encode("cp437"), "Ü.txt "), ("ü.md_".encode(), "ü.md_"), (b"a\nb%41", "a%0Ab%2541")):
        assert texts(folder(tmp_path, unflagged(raw))) == {f"x.zip!/{name}": b"text"}
    assert ids(folder(tmp_path, zipped(("словo.md", b"x"), ("a\\b.md", b"y")))) == ["x.zip!/словo.md", "x.zip!/a/b.md"]


def test_what_cannot_be_opened_is_one_document(tmp_path: Path) -> None:
    whole = zipped(("a.md", b"alpha"), ("b.md", random.Random(1).randbytes(3000)))
    for content, code in (
        (whole[:-30], "corrupt"),
        (whole[: len(whole) // 2], "corrupt"),
        (whole[:-10] + b"\xff" * 10, "corrupt"),
        (zipped(("a.md", bytes(30 << 20))), "zip_bomb"),
        (overlapping(), "zip_bomb"),
        (many(70_000), "zip_bomb"),
    ):
        source = folder(tmp_path, content)
        assert may_hold(source, "x.zip!/a.md")
        assert refusal(source, "x.zip") == code


def may_hold(source: SourceReader, member: str) -> bool:
    """Whether a member that the ledger knows may still be in `x.zip`, the only entry."""
    (entry,) = source.scan()
    assert entry.external_id == "x.zip"
    return entry.holds is not None and entry.holds(member)


def test_what_was_replaced_by_something_else_holds_nothing(tmp_path: Path) -> None:
    for content in (b"a text", docx(), zipped(("a.md", b"alpha"), ("mimetype", b"application/epub+zip"))):
        source = folder(tmp_path, content)
        assert not may_hold(source, "x.zip!/a.md") and texts(source) == {"x.zip": content}


@pytest.mark.parametrize("content", [b"", bytes(5000), b"PK", b"PK\x03\x04"])
def test_the_beginning_of_a_copy_may_hold_what_the_zip_held(tmp_path: Path, content: bytes) -> None:
    whole = zipped(("a.md", b"alpha"))
    source = folder(tmp_path, whole)
    (entry,) = source.scan()
    (tmp_path / "x.zip").write_bytes(content)
    assert may_hold(source, "x.zip!/a.md")
    with pytest.raises(ExtractionError, match=r"changing|corrupt"):
        source.read(item(entry))


def test_what_globs_leave_out_is_not_held(tmp_path: Path) -> None:
    broken = zipped(("a.md", b"alpha"))[:-30]
    source = folder(tmp_path, broken, exclude=("b.md", "x.zip!/c/"))
    names = ("a.md", "b.md", "c/d.md", ".e.md", "f!/b.md")
    assert [name for name in names if may_hold(source, f"x.zip!/{name}")] == ["a.md"]
    assert may_hold(folder(tmp_path, broken, include=("*.zip!/.e.md",)), "x.zip!/.e.md")


class Failing(io.BytesIO):
    """A file whose storage fails at the call of that number."""

    def __init__(self, content: bytes, works: int) -> None:
        super().__init__(content)
        self.left = works

    def read(self, size: int | None = -1, /) -> bytes:
        self._call()
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._call()
        return super().seek(offset, whence)

    def _call(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")


def test_a_storage_that_fails_is_no_damage() -> None:
    content = zipped(("a.md", b"alpha " * 100))
    works = 0
    while True:
        try:
            assert Archive(Failing(content, works)).read("a.md", 1000) == b"alpha " * 100
            break
        except Unavailable:
            works += 1
    assert works > 8


def overlapping() -> bytes:
    """Two directory entries for the same bytes."""
    content = zipped(("a.md", b"alpha " * 1000), ("b.md", b"alpha " * 1000))
    second = content.rindex(b"PK\x01\x02")
    return content[: second + 42] + struct.pack("<I", 0) + content[second + 46 :]


def many(number: int) -> bytes:
    """A directory of so many members, whose end names only one."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    head = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    size = len(entry) * number
    return head + entry * number + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, size, len(head), 0)


def test_other_files_stay_what_they_are(tmp_path: Path) -> None:
    for content in (docx(), b"a text that is called so", b""):
        source = folder(tmp_path, content)
        assert texts(source) == {"x.zip": content}
    inner = zipped(("a.md", b"deep"))
    assert texts(folder(tmp_path, zipped(("in.zip", inner)))) == {"x.zip!/in.zip": inner}


def test_a_link_out_of_the_source_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.zip").write_bytes(zipped(("a.md", b"secret")))
    (tmp_path / "in" / "x.zip").symlink_to(tmp_path / "secret.zip")
    source = reader(tmp_path / "in", include=ALL)
    assert ids(source) == ["x.zip"] and refusal(source, "x.zip") == "outside_root"


def test_members_are_unchanged_while_the_zip_is(tmp_path: Path) -> None:
    content = zipped(("a.md", b"alpha"), ("b.md", b"beta"))
    before = list(folder(tmp_path, content).scan())
    assert list(reader(tmp_path, include=ALL).scan()) == before
    status = (tmp_path / "x.zip").stat()
    (tmp_path / "x.zip").write_bytes(content)
    os.utime(tmp_path / "x.zip", ns=(status.st_atime_ns, status.st_mtime_ns))
    after = list(reader(tmp_path, include=ALL).scan())
    assert all(one.fingerprint != other.fingerprint for one, other in zip(before, after, strict=True))


def test_a_zip_whose_times_were_set_back_is_opened_anew(tmp_path: Path) -> None:
    source = folder(tmp_path, zipped(("a.md", b"alpha")))
    (entry,) = source.scan()
    assert source.read(item(entry)).content == b"alpha"
    status = (tmp_path / "x.zip").stat()
    with open(tmp_path / "x.zip", "r+b") as file:
        file.write(zipped(("a.md", b"omega")))
    os.utime(tmp_path / "x.zip", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.read(item(entry)).content == b"omega"


def test_what_changed_between_scan_and_read_is_read_as_it_is(tmp_path: Path) -> None:
    source = folder(tmp_path, zipped(("a.md", b"alpha"), ("b.md", b"beta")))
    a, b = source.scan()
    assert source.read(item(a)).content == b"alpha"
    (tmp_path / "x.zip").write_bytes(zipped(("b.md", b"another one")))
    assert source.read(item(b)).content == b"another one"
    with pytest.raises(ExtractionError, match="vanished"):
        source.read(item(a))
    (tmp_path / "x.zip").write_bytes(b"no zip any more")
    with pytest.raises(ExtractionError, match="vanished"):
        source.read(item(b))
    (tmp_path / "x.zip").unlink()
    with pytest.raises(ExtractionError, match="vanished"):
        source.read(item(b))


def test_a_member_may_be_larger_than_a_directory(tmp_path: Path) -> None:
    noise = random.Random(2).randbytes(20 << 20)
    stored = entry_of("stored.bin", compress_type=zipfile.ZIP_STORED)
    source = folder(tmp_path, zipped((stored, noise), ("packed.bin", noise)), max_bytes=30 << 20)
    assert [content == noise for content in texts(source).values()] == [True, True]


def test_listing_a_large_zip_takes_little_memory_and_no_descriptors(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped(*((f"{n}.bin", random.Random(n).randbytes(1 << 20)) for n in range(16))))
    open_before = len(os.listdir("/proc/self/fd"))
    source = reader(tmp_path, include=ALL)
    tracemalloc.start()
    for entry in source.scan():
        assert len(source.read(item(entry)).content) == 1 << 20
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del source
    assert peak < 8 << 20 and len(os.listdir("/proc/self/fd")) == open_before


@given(st.data())
def test_no_damage_breaks_the_listing(data: st.DataObject) -> None:
    content = bytearray(zipped(("a.md", b"alpha"), ("dir/b.md", b"beta" * 100)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        archive = Archive(io.BytesIO(bytes(content)))
    except (NotAnArchive, ExtractionError):
        return
    for name in archive.members:
        with suppress(ExtractionError):
            assert len(archive.read(name, 10_000)) <= 10_000


@given(st.binary(max_size=2000), st.lists(st.tuples(st.integers(0, 2100), st.integers(-1, 2100)), max_size=20))
def test_parts_of_an_object_read_as_a_file(content: bytes, reads: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sluice.sources.ranges._PART_BYTES", 64)
        parts, file = Ranges(lambda start, stop: content[start:stop], len(content)), io.BytesIO(content)
        for place, size in reads:
            assert parts.seek(place) == file.seek(place)
            assert parts.read(size) == file.read(size)
            assert place > len(content) or parts.tell() == file.tell()


def test_a_part_that_could_not_be_fetched_leaves_no_wrong_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.sources.ranges._PART_BYTES", 2)
    fails = iter((False, True, False))

    def fetch(start: int, stop: int) -> bytes:
        if next(fails):
            raise Unavailable("the server", "it is down")
        return b"abcdef"[start:stop]

    parts = Ranges(fetch, 6)
    assert parts.read(2) == b"ab"
    parts.seek(2)
    with pytest.raises(Unavailable):
        parts.read(2)
    assert parts.read(2) == b"cd"


def test_only_named_containers_are_opened() -> None:
    globs = Globs(("**", "a/*.zip!/", "b.zip!/*.md"), ("a/no.zip",))
    assert [name for name in ("a/x.zip", "x.zip", "a/no.zip", "b.zip", "c/b.zip") if globs.opens(name)] == [
        "a/x.zip",
        "b.zip",
    ]
    for include in ((), ("**",), ("wow!/*.md",)):
        assert Globs(include).printed("x.zip!/a.md") == "x.zip!/a.md" and not Globs(include).opens("x.zip")
    assert globs.printed("x.zip!/a!/b.md") == "x.zip%21/a!/b.md"
