"""The readers of file:// and jsonl://: what they list, what they refuse, and that they stay inside their roots."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import BadRequest, ExtractionError, Terminal, Transient
from sluice.indexing.loading import filterable
from sluice.model.file_names import original, printable
from sluice.model.metadata import MAX_BYTES, MAX_DEPTH
from sluice.model.records import parse_record
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.readers import SourceReader
from sluice.sources.globs import Globs
from sluice.sources.schemes import canonical, reader_for


def reader(
    path: Path, *, roots: tuple[Path, ...] = (), scheme: str = "file", max_bytes: int = 10_000_000, **globs: Any
) -> SourceReader:
    uri = path.as_uri().replace("file:", f"{scheme}:", 1)
    return reader_for(SourceSpec(uri, "c", **globs), roots=roots or (path,), max_bytes=max_bytes)


def ids(source: SourceReader) -> list[str]:
    return [entry.external_id for entry in source.scan()]


def item(entry: ListingEntry) -> WorkItem:
    return WorkItem(uuid4(), entry, new=True)


def refusal(source: SourceReader, external_id: str) -> str:
    entry = next(entry for entry in source.scan() if entry.external_id == external_id)
    with pytest.raises(ExtractionError) as caught:
        source.read(item(entry))
    return caught.value.code


# --- names and globs ----------------------------------------------------------------------------------------


@given(st.binary(max_size=60))
def test_every_name_is_printed_and_comes_back(name: bytes) -> None:
    shown = printable(name)
    assert original(shown) == name
    assert shown.encode("utf-8").decode("utf-8") == shown and "\0" not in shown and "\n" not in shown


def test_names_stay_readable() -> None:
    assert printable("Bericht – größer 100%.md".encode()) == "Bericht – größer 100%.md"
    assert printable(b"caf\xe9\n%41") == "caf%E9%0A%2541"


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.md", "a.md", True),
        ("*.md", "x/y/a.md", True),
        ("docs/*.md", "docs/a.md", True),
        ("docs/*.md", "docs/x/a.md", False),
        ("docs/**/*.md", "docs/a.md", True),
        ("docs/**/*.md", "docs/x/y/a.md", True),
        ("drafts/", "x/drafts/a/b.md", True),
        ("drafts/", "drafts.md", False),
        ("a[0-9].md", "a7.md", True),
        ("a[!0-9].md", "a7.md", False),
        ("a+(b).md", "a+(b).md", True),
    ],
)
def test_globs(glob: str, path: str, matches: bool) -> None:
    assert Globs(include=(glob,)).admit(path) is matches
    assert Globs(exclude=(glob,)).admit(path) is not matches


# --- which sources are allowed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri", ["ftp://host/x", "folder/x", "file://folder/x", "file:///", "file:///etc", "file:///%00", "gs://b/p"]
)
def test_a_source_that_is_not_allowed_says_what_is(uri: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest) as caught:
        reader_for(SourceSpec(uri, "c"), roots=(tmp_path,), max_bytes=1)
    assert str(tmp_path) in str(caught.value) or "file:///" in str(caught.value) or "NUL" in str(caught.value)


def test_a_password_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(BadRequest) as caught:
        reader_for(SourceSpec("postgresql://ann:s3cret@host/db", "c"), roots=(tmp_path,), max_bytes=1)
    assert "s3cret" not in str(caught.value)


def test_dots_and_links_do_not_lead_out(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    for uri in (f"file://{inside}/../out", f"file://{inside}/%2e%2e/out", f"file://{inside}/link"):
        with pytest.raises(BadRequest, match="outside"):
            reader_for(SourceSpec(uri, "c"), roots=(inside,), max_bytes=1)


def test_no_roots_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="SLUICE_FILE_ROOTS"):
        reader_for(SourceSpec(tmp_path.as_uri(), "c"), roots=(), max_bytes=1)
    with pytest.raises(BadRequest, match="does not exist"):
        reader(tmp_path / "gone", roots=(tmp_path,))


def test_a_root_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.md").write_text("a")
    (tmp_path / "link").symlink_to("real")
    assert ids(reader(tmp_path / "link", roots=(tmp_path / "link",))) == ["a.md"]


# --- folders ------------------------------------------------------------------------------------------------


def test_a_scan_is_sorted_recursive_and_stable(tmp_path: Path) -> None:
    for name in ("b/z.md", "b/a.md", "a.md", "c.txt", ".hidden/x.md", ".y.md", "b/.git/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    first = list(reader(tmp_path).scan())
    assert [entry.external_id for entry in first] == ["a.md", "b/a.md", "b/z.md", "c.txt"]
    assert list(reader(tmp_path).scan()) == first
    assert ids(reader(tmp_path, include=("*.md",), exclude=("b/",))) == ["a.md"]
    assert ids(reader(tmp_path, include=(".hidden/*",))) == [".hidden/x.md"]
    assert ids(reader(tmp_path / "a.md", roots=(tmp_path,))) == ["a.md"]
    assert reader(tmp_path).read(item(first[1])).content == b"b/a.md"


def test_an_edit_that_keeps_size_and_mtime_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("one")
    before, status = next(reader(tmp_path).scan()), path.stat()
    path.write_text("two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert next(reader(tmp_path).scan()).fingerprint != before.fingerprint


def test_odd_names_are_listed_and_read(tmp_path: Path) -> None:
    names = [b"\xff\xfe.md", b"new\nline.md", b"a 'quote\".md", b"%41.md", "ünï.md".encode(), b"#?.md"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    source = reader(tmp_path)
    result = {source.read(item(entry)).content for entry in source.scan()}
    assert result == set(names)
    for entry in source.scan():
        (entry.external_id + entry.uri).encode("utf-8")
        assert entry.external_id.isprintable()


def test_links(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.md").write_text("secret")
    (root / "sub" / "a.md").write_text("a")
    (root / "to_file.md").symlink_to("sub/a.md")
    (root / "to_folder").symlink_to("sub")
    (root / "sub" / "loop").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "broken").symlink_to("nowhere")
    (root / "out.md").symlink_to(outside / "secret.md")
    (root / "out_folder").symlink_to(outside)
    source = reader(root)
    assert ids(source) == [
        "broken", "out.md", "out_folder", "self", "sub/a.md", "to_file.md", "to_folder/a.md"
    ]  # fmt: skip
    assert source.read(item(next(e for e in source.scan() if e.external_id == "to_file.md"))).content == b"a"
    assert [refusal(source, name) for name in ("broken", "self", "out.md", "out_folder")] == [
        "broken_link", "broken_link", "outside_root", "outside_root"
    ]  # fmt: skip


def test_links_among_many_folders_do_not_multiply(tmp_path: Path) -> None:
    folders = [tmp_path / f"d{n}" for n in range(12)]
    for folder in folders:
        folder.mkdir()
        (folder / "a.md").write_text("a")
    for folder in folders:
        for other in folders:
            (folder / f"to_{other.name}").symlink_to(other)
    assert len(ids(reader(tmp_path))) <= 2 * len(folders)


def test_a_file_swapped_for_a_link_after_the_scan_does_not_lead_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.md").write_text("a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.md").write_text("secret")
    source = reader(root)
    entry = next(source.scan())
    (root / "sub" / "a.md").unlink()
    (root / "sub").rmdir()
    (root / "sub").symlink_to(tmp_path / "out")
    with pytest.raises(ExtractionError, match="outside_root"):
        source.read(item(entry))
    for forged in ("../out/a.md", "/etc/passwd", "sub/../../out/a.md", "%2E%2E/out/a.md"):
        with pytest.raises(ExtractionError, match="outside_root"):
            source.read(item(ListingEntry(forged, "", "", 0)))


def test_special_vanished_and_large_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone.md").write_text("x")
    with (tmp_path / "sparse.bin").open("wb") as file:
        file.truncate(50 << 30)
    source = reader(tmp_path)
    gone = next(entry for entry in source.scan() if entry.external_id == "gone.md")
    (tmp_path / "gone.md").unlink()
    assert refusal(source, "pipe") == "not_a_file"
    assert refusal(source, "sparse.bin") == "too_large"
    with pytest.raises(ExtractionError, match="vanished"):
        source.read(item(gone))


def test_a_vanished_folder_is_not_an_empty_one(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.md").write_text("a")
    source = reader(root, roots=(tmp_path,))
    entry = next(source.scan())
    root.rename(tmp_path / "moved")
    with pytest.raises(Transient):
        list(source.scan())
    with pytest.raises(Transient):
        source.read(item(entry))


_AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from uuid import uuid4
from sluice.errors import ExtractionError, Terminal
from sluice.sources.schemes import reader_for
from sluice.model.scan import WorkItem
from sluice.model.source import SourceSpec
import sluice.sources.file
root = Path(sys.argv[2])
if os.getuid() == 0:
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
source = reader_for(SourceSpec((root / "files").as_uri(), "c"), roots=(root,), max_bytes=100)
for entry in source.scan():
    try:
        source.read(WorkItem(uuid4(), entry, True)); print("read")
    except ExtractionError as error:
        print(error.code)
try:
    list(reader_for(SourceSpec((root / "folders").as_uri(), "c"), roots=(root,), max_bytes=100).scan())
except Terminal as error:
    print(error)
"""


def test_what_may_not_be_read(tmp_path: Path) -> None:
    """As another user: root may read everything."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "closed.md").write_text("x")
    (tmp_path / "files" / "closed.md").chmod(0)
    (tmp_path / "files" / "open.md").write_text("x")
    (tmp_path / "folders" / "closed").mkdir(parents=True)
    (tmp_path / "folders" / "closed").chmod(0)
    opened = [parent for parent in (tmp_path, *tmp_path.parents) if not parent.stat().st_mode & stat.S_IXOTH]
    modes = {parent: parent.stat().st_mode for parent in opened if os.access(parent, os.W_OK)}
    try:
        for parent, mode in modes.items():
            parent.chmod(mode | stat.S_IXOTH | stat.S_IROTH)
        include = Path(__file__).resolve().parents[2] / "include"
        done = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, str(include), str(tmp_path)], capture_output=True, text=True, timeout=60
        )
    finally:
        for parent, mode in modes.items():
            parent.chmod(mode)
        (tmp_path / "folders" / "closed").chmod(0o700)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["permission", "read"], done.stderr
    assert "may not be listed" in lines[2] and "nothing was deleted" in lines[2]


# --- jsonl --------------------------------------------------------------------------------------------------


def jsonl(path: Path, lines: list[bytes], **options: Any) -> SourceReader:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return reader(path, roots=(path.parent,), scheme="jsonl", **options)


def test_lines_become_documents(tmp_path: Path) -> None:
    records = [
        {"_id": "a", "title": "T", "text": "Grüße\nzwei", "year": 2024},
        {"text": "nul\0 and \ud800 lone", "_id": "b", "tags": ["x", "y"]},
        {"_id": 7, "text": ""},
    ]
    lines = [json.dumps(record).encode() for record in records]
    source = jsonl(tmp_path / "x.jsonl", [b"\xef\xbb\xbf" + lines[0] + b"\r", b"", b"  " + lines[1], lines[2]])
    entries = list(source.scan())
    assert [entry.external_id for entry in entries] == ["a", "b", "7"]
    raws = [source.read(item(entry)) for entry in entries]
    assert [raw.content for raw in raws] == lines
    assert (raws[0].title, raws[0].metadata) == ("T", {"year": 2024})
    assert raws[1].metadata == {"tags": ["x", "y"]} and raws[1].title is None
    assert entries[0].uri.endswith("x.jsonl#a")


@pytest.mark.parametrize(
    ("line", "external_id", "code"),
    [
        (b"not json", "#line-2", "bad_line"),
        (b"[1]", "#line-2", "bad_line"),
        (b'{"text": "x"}', "#line-2", "bad_line"),
        (b'{"_id": "", "text": "x"}', "#line-2", "bad_line"),
        (b'{"_id": "a\\u0000", "text": "x"}', "#line-2", "bad_line"),
        (b'{"_id": "b", "text": 5}', "b", "bad_line"),
        (b'{"_id": "b"}', "b", "bad_line"),
        (b'{"_id": "b", "text": "x", }', "b", "bad_line"),
        (b'{"_id": "b", "text": "x", "n": NaN}', "b", "bad_line"),
        (b'{"_id": "b", "text": "\xff"}', "b", "bad_line"),
        (b'{"text": "x", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "#line-2", "bad_line"),
        (b'{"_id": "b", "text": "x", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "b", "bad_line"),
        (b'{"_id": "b", "text": "x", "deep": ' + b"[" * 900 + b"]" * 900 + b"}", "b", "bad_line"),
        (b'{"text": "x", "deep": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b', "_id": "b"}', "#line-2", "bad_line"),
        (b'{"_id": "b", "text": "x", "title": ' + b"[" * 500 + b"]" * 500 + b"}", "b", "bad_line"),
        (b'{"_id": "b", "text": "x", "n": 1e999}', "b", "bad_line"),
        (b'{"_id": "b", "text": "x", "n": [{"m": -1e999}]}', "b", "bad_line"),
        (b'{"_id": "b", "text": "x", "n": 9223372036854775808}', "b", "bad_line"),
        (b'{"_id": "b", "text": "x", "n": ' + b"9" * 5000 + b"}", "b", "bad_line"),
        (b'{"text": "x", "_id": 18446744073709551616}', "#line-2", "bad_line"),
        (b'{"_id": "b", "text": "x", "m": "' + b"y" * 70_000 + b'"}', "b", "bad_line"),
        (b'{"_id": "b", "text": "x", "m": [' + b"0," * 40_000 + b"0]}", "b", "bad_line"),
        (b'{"_id": "a", "text": "again"}', "a#line-2", "duplicate_id"),
        (b'{"_id": "b", "text": "x", "_id": "c"}', "b", "duplicate_id"),
        (b'{"_id": "big", "text": "' + b"x" * 400_000 + b'"}', "#line-2", "too_large"),
    ],
)  # fmt: skip
def test_a_bad_line_is_listed_and_refused(tmp_path: Path, line: bytes, external_id: str, code: str) -> None:
    good = [b'{"_id": "a", "text": "x"}', b'{"_id": "z", "text": "x"}']
    source = jsonl(tmp_path / "x.jsonl", [good[0], line, good[1]], max_bytes=300_000)
    assert ids(source) == ["a", external_id, "z"]
    assert refusal(source, external_id) == code


def nested(depth: int) -> bytes:
    """A line of so many levels, its own object included."""
    return b'{"_id": "a", "text": "x", "deep": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_what_is_just_within_the_bounds_is_taken() -> None:
    assert parse_record(nested(MAX_DEPTH)).id == "a"
    with pytest.raises(ValueError, match="deep"):
        parse_record(nested(MAX_DEPTH + 1))
    numbers = [2**63 - 1, -(2**63), 1.7e308, True, None]
    assert parse_record(json.dumps({"_id": 2**63 - 1, "text": "", "n": numbers}).encode()).metadata == {"n": numbers}
    fits = "y" * (MAX_BYTES - len('{"m": ""}'))
    assert parse_record(json.dumps({"_id": "a", "text": "", "m": fits}).encode()).metadata == {"m": fits}
    with pytest.raises(ValueError, match="metadata"):
        parse_record(json.dumps({"_id": "a", "text": "", "m": fits + "y"}).encode())


@given(st.integers(2, 3000), st.sampled_from([b"[", b'{"a":', b'[{"":']), st.booleans())
def test_no_depth_breaks_a_line_or_a_scan(depth: int, opening: bytes, leading: bool) -> None:
    closing = b"".join(b"]" if each == ord("[") else b"}" for each in reversed(opening) if each in b"[{")
    deep = opening * depth + b"1" + closing * depth
    line = b'{"_id": "a", "text": "x", "d": %s}' if leading else b'{"d": %s, "text": "x", "_id": "a"}'
    try:
        assert parse_record(line % deep).id == "a"
        assert depth * len(closing) < MAX_DEPTH
    except ValueError:
        assert depth * len(closing) >= MAX_DEPTH


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("de", True),
        ("x" * 200, True),
        ("x" * 201, False),
        (0, True),
        (True, True),
        (2**63 - 1, True),
        (-(2**63), True),
        (2**63, False),
        (1.5, True),
        (float("nan"), False),
        (float("inf"), False),
        (None, False),
        ({"a": 1}, False),
        ([], False),
        (["a", 1, 2.5], True),
        (["a", 2**64], False),
        (["a", ["b"]], False),
        (["x" * 201], False),
        ([float("-inf")], False),
    ],
)
def test_only_what_a_filter_can_compare_reaches_the_vectors(value: object, stored: bool) -> None:
    result = filterable({"f": value, "undeclared": 1}, ("f", "absent"))
    assert result == ({"f": value} if stored else {})


def test_fingerprints_follow_the_line_not_its_place(tmp_path: Path) -> None:
    lines = [b'{"_id": "a", "text": "x"}', b'{"_id": "b", "text": "y"}']
    before = {entry.external_id: entry.fingerprint for entry in jsonl(tmp_path / "x.jsonl", lines).scan()}
    after = {entry.external_id: entry.fingerprint for entry in jsonl(tmp_path / "x.jsonl", lines[::-1]).scan()}
    assert before == after


def test_a_file_that_changed_since_the_scan_is_not_mixed_up(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "x.jsonl", [b'{"_id": "a", "text": "x"}', b'{"_id": "b", "text": "y"}'])
    entry = list(source.scan())[1]
    (tmp_path / "x.jsonl").write_bytes(b'{"_id": "n", "text": "longer"}\n{"_id": "a", "text": "x"}\n')
    with pytest.raises(Terminal, match="start the run again") as caught:  # a retry would read the same places
        source.read(item(entry))
    assert not isinstance(caught.value, ExtractionError)  # it is not this one document's fault
    growing = jsonl(tmp_path / "y.jsonl", [b'{"_id": "%d", "text": "x"}' % n for n in range(10)]).scan()
    next(growing)
    with (tmp_path / "y.jsonl").open("ab") as file:
        file.write(b'{"_id": "new", "text": "x"}\n')
    with pytest.raises(Transient, match="changed while it was listed"):
        list(growing)


@pytest.mark.parametrize(
    "content",
    [
        b"\x1f\x8b\x08\x00",
        gzip.compress(b"PK\x03\x04 and more"),
        gzip.compress(gzip.compress(b'{"_id": "a", "text": "x"}')),
        "{}\n".encode("utf-16"),
    ],
    ids=["gzip's first bytes", "a compressed zip", "compressed twice", "UTF-16"],
)
def test_a_file_that_is_not_lines_is_refused_at_once(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(BadRequest):
        reader(tmp_path / "x.jsonl", roots=(tmp_path,), scheme="jsonl")
    with pytest.raises(BadRequest, match="not_a_file"):
        reader(tmp_path, scheme="jsonl")


@pytest.mark.parametrize(
    "spelling",
    ["file:///a/b%20c", "file:///a/b%20c/", "file:////a//b%20c", "file:///a/x/../b%20c", "FILE://localhost/a/b c"],
)
def test_one_place_has_one_spelling(spelling: str) -> None:
    assert canonical(spelling) == "file:///a/b%20c"


@pytest.mark.parametrize("other", ["ftp://bucket/a/", "file://elsewhere/a/", "not a uri"])
def test_other_uris_stay_as_they_are(other: str) -> None:
    assert canonical(other) == other
