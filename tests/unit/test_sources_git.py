"""git+file://: the tree of one commit, its renames since another, and staying inside the roots."""

from __future__ import annotations

import json
import tarfile
from math import inf
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import pygit2
import pytest
from pygit2.enums import FileMode, ObjectType

from sluice.errors import BadRequest, ExtractionError, Forbidden, Unavailable
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.readers import Connection
from sluice.retry import ATTEMPTS
from sluice.sources.git import tree as tree_module
from sluice.sources.git.address import parse
from sluice.sources.git.mirror import Callbacks, check_host, check_public, fetch
from sluice.sources.git.reader import GitReader
from sluice.sources.schemes import canonical, reader_for

DAY = 86_400
FIRST_DAY = 1_600_000_000 - 1_600_000_000 % DAY  # 2020-09-13, 00:00 UTC
TEXT = "".join(f"line {number} of a text that is long enough\n" for number in range(40)).encode()

Files = dict[bytes, bytes | tuple[int, bytes]]


class Repository:
    """One branch of commits, a day apart, written without a working tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git = pygit2.init_repository(str(folder), bare=True, initial_head="main")
        self.commits: list[str] = []

    def commit(self, files: Files, branch: str = "main") -> str:
        name = f"refs/heads/{branch}"
        parents = [self.git.references[name].target] if name in self.git.references else []
        day = FIRST_DAY + DAY * len(self.commits) + 60
        author = pygit2.Signature("A", "a@example.org", day)
        self.commits.append(str(self.git.create_commit(name, author, author, "x", self._tree(files), parents)))
        return self.commits[-1]

    def _tree(self, files: Files) -> pygit2.Oid:
        """Written by hand: TreeBuilder takes no names that are not text."""
        rows: list[tuple[bytes, int, pygit2.Oid]] = []
        folders: dict[bytes, Files] = {}
        for path, content in files.items():
            folder, slash, rest = path.partition(b"/")
            if slash:
                folders.setdefault(folder, {})[rest] = content
                continue
            mode, body = content if isinstance(content, tuple) else (FileMode.BLOB, content)
            rows.append((path, mode, pygit2.Oid(raw=body) if mode == FileMode.COMMIT else self.git.create_blob(body)))
        rows += [(folder, FileMode.TREE, self._tree(inner)) for folder, inner in folders.items()]
        rows.sort(key=lambda row: row[0] + (b"/" if row[1] == FileMode.TREE else b""))
        return self.git.odb.write(ObjectType.TREE, b"".join(b"%o %b\0%b" % (m, name, oid.raw) for name, m, oid in rows))

    def reader(self, query: str = "", *, since: str | None = None, max_bytes: int = 10**7, **globs: Any) -> GitReader:
        spec = SourceSpec("git+" + self.folder.as_uri() + query, "c", **globs)
        built = reader_for(spec, roots=[self.folder.parent], max_bytes=max_bytes, since=since)
        assert isinstance(built, GitReader)
        return built


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


def ids(reader: GitReader) -> list[str]:
    return [entry.external_id for entry in reader.scan()]


def item(entry: ListingEntry) -> WorkItem:
    return WorkItem(uuid4(), entry, new=True)


def formers(reader: GitReader) -> dict[str, str]:
    return {entry.external_id: entry.previous_name for entry in reader.scan() if entry.previous_name}


def refusal(reader: GitReader, external_id: str) -> str:
    entry = next(entry for entry in reader.scan() if entry.external_id == external_id)
    with pytest.raises(ExtractionError) as caught:
        reader.read(item(entry))
    return caught.value.code


# --- listing and reading ------------------------------------------------------------------------------------


def test_a_scan_lists_the_tree_and_a_read_takes_from_the_object_store(repository: Repository) -> None:
    repository.commit({b"a.md": b"one", b"docs/b.md": b"two", b"docs/deep/c.md": b"three", b".hidden/d.md": b"x"})
    reader = repository.reader()
    entries = {entry.external_id: entry for entry in reader.scan()}
    assert list(entries) == ["a.md", "docs/b.md", "docs/deep/c.md"]
    assert entries["docs/b.md"].size_bytes == 3
    assert entries["docs/b.md"].uri == f"git+{repository.folder.as_uri()}#docs/b.md"
    assert reader.read(item(entries["docs/deep/c.md"])).content == b"three"
    assert reader.cursor() == repository.commits[0]


def test_only_what_changed_has_another_fingerprint_and_what_was_listed_stays_readable(repository: Repository) -> None:
    repository.commit({b"a.md": b"one", b"b.md": b"two"})
    reader = repository.reader()
    before = {entry.external_id: entry for entry in reader.scan()}
    repository.commit({b"a.md": b"one", b"b.md": b"changed"})
    after = {entry.external_id: entry for entry in repository.reader().scan()}
    assert before["a.md"] == after["a.md"]
    assert before["b.md"].fingerprint != after["b.md"].fingerprint
    assert before["b.md"].uri == after["b.md"].uri
    assert repository.reader().read(item(before["b.md"])).content == b"two"
    assert {entry.external_id: entry for entry in reader.scan()} == before  # its commit was chosen once


def test_globs_path_and_hidden_files(repository: Repository) -> None:
    files = [b"a.md", b"a.txt", b"docs/b.md", b"docs/x/c.md", b"docs2/d.md", b".github/e.md", b"docs/.x/f.md"]
    repository.commit({path: path for path in files})
    assert ids(repository.reader(include=("*.md",), exclude=("docs/x/",))) == ["a.md", "docs/b.md", "docs2/d.md"]
    assert ids(repository.reader("?path=docs")) == ["docs/b.md", "docs/x/c.md"]
    assert ids(repository.reader("?path=docs/b.md")) == ["docs/b.md"]
    assert ids(repository.reader("?path=.github")) == [".github/e.md"]
    assert ids(repository.reader(include=(".github/*",))) == [".github/e.md"]
    for absent in ("nowhere", "a.md/b"):
        with pytest.raises(BadRequest, match="Nothing was deleted"):
            ids(repository.reader(f"?path={absent}"))


def test_names_that_are_not_text_and_names_that_differ_in_case(repository: Repository) -> None:
    repository.commit({b"caf\xe9.md": b"latin", b"README.md": b"upper", b"readme.md": b"lower", b"100%25#?.md": b"odd"})
    reader = repository.reader()
    entries = {entry.external_id: entry for entry in reader.scan()}
    assert {reader.read(item(entry)).content for entry in entries.values()} == {b"latin", b"upper", b"lower", b"odd"}
    assert "caf%E9.md" in entries and {"README.md", "readme.md"} <= set(entries)
    assert entries["caf%E9.md"].uri.endswith("#caf%E9.md")


def test_links_submodules_lfs_pointers_and_large_files_are_listed_and_refused(repository: Repository) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    repository.commit(
        {
            b"link.md": (FileMode.LINK, b"/etc/passwd"),
            b"module": (FileMode.COMMIT, b"\x01" * 20),
            b"big.pdf": pointer,
            b"long.md": b"x" * 1001,
        }
    )
    reader = repository.reader(max_bytes=1000)
    result = {name: refusal(reader, name) for name in ("link.md", "module", "big.pdf", "long.md")}
    assert result == {"link.md": "link", "module": "submodule", "big.pdf": "lfs_pointer", "long.md": "too_large"}


def test_a_blob_that_is_gone_is_vanished(repository: Repository) -> None:
    repository.commit({b"a.md": b"one"})
    entry = next(repository.reader().scan())
    gone = ListingEntry(entry.external_id, entry.uri, "0" * 39 + "1", 3)
    with pytest.raises(ExtractionError, match="vanished"):
        repository.reader().read(item(gone))


# --- which commit -------------------------------------------------------------------------------------------


def test_branch_tag_commit_and_date_choose_the_commit(repository: Repository) -> None:
    first, second = repository.commit({b"a.md": b"1"}), repository.commit({b"a.md": b"2"})
    main = repository.commit({b"a.md": b"3"})
    other = repository.commit({b"a.md": b"4"}, branch="feature/x")
    author = pygit2.Signature("A", "a@example.org", FIRST_DAY)
    repository.git.create_tag("v1", pygit2.Oid(hex=second), ObjectType.COMMIT, author, "annotated")
    chosen = {query: repository.reader(query).cursor() for query in ("", "?ref=feature/x", "?ref=v1", f"?ref={first}")}
    assert list(chosen.values()) == [main, other, second, first]
    assert repository.reader(f"?ref={first[:10]}").cursor() == first
    assert repository.reader("?date=2020-09-13").cursor() == first
    assert repository.reader("?date=2020-09-14&ref=main").cursor() == second
    assert repository.reader("?date=2035-01-01").cursor() == main


@pytest.mark.parametrize("query", ["?ref=nowhere", "?ref=" + "0" * 40, "?date=1999-01-01"])
def test_a_commit_that_is_not_there_is_refused_and_nothing_is_listed(repository: Repository, query: str) -> None:
    repository.commit({b"a.md": b"1"})
    with pytest.raises(BadRequest, match="Nothing was read or deleted"):
        ids(repository.reader(query))


def test_a_repository_without_commits_is_not_an_empty_source(repository: Repository) -> None:
    with pytest.raises(BadRequest, match="no commit"):
        ids(repository.reader())


@pytest.mark.parametrize(
    "query",
    ["?ref=HEAD~1", "?ref=a..b", "?ref=--x", "?ref=", "?rev=main", "?ref=a&ref=b", "?path=../x", "?date=yesterday",
     "?path=a%00b", "?connection=x", "#main"],
)  # fmt: skip
def test_what_a_query_may_not_say(repository: Repository, query: str) -> None:
    with pytest.raises(BadRequest):
        repository.reader(query)


def test_one_spelling_a_source() -> None:
    assert canonical("GIT+FILE:///a//b/../c/?ref=main&path=/docs/") == "git+file:///a/c?path=docs&ref=main"
    assert canonical("git+https://Example.org:443/x.git/?ref=v1") == "git+https://example.org/x.git?ref=v1"
    assert canonical("git+https://example.org/?x") == "git+https://example.org/?x"
    for uri in ("git+file:///a/c?path=docs&ref=main", "git+https://h/x?connection=c&date=2024-02-01&path=d%20e"):
        assert canonical(uri) == uri == parse(uri).uri


# --- renames ------------------------------------------------------------------------------------------------


def test_renames_since_the_last_run_are_told(repository: Repository) -> None:
    before = repository.commit(
        {b"a.md": TEXT, b"docs/b.md": TEXT[::-1], b"Case.md": b"case " * 50, b"gone.md": b"gone"}
    )
    repository.commit(
        {
            b"docs/a.md": TEXT + b"one line more\n",
            b"docs/b.md": TEXT[::-1],
            b"case.md": b"case " * 50,
            b"new.md": b"new",
        }
    )
    assert formers(repository.reader(since=before)) == {"docs/a.md": "a.md", "case.md": "Case.md"}
    assert ids(repository.reader(since=before)) == ["case.md", "docs/a.md", "docs/b.md", "new.md"]
    assert formers(repository.reader()) == {}


def test_a_file_from_outside_the_source_is_new_not_renamed(repository: Repository) -> None:
    before = repository.commit({b"a.md": TEXT, b"docs/x.md": b"x"})
    repository.commit({b"docs/a.md": TEXT, b"docs/x.md": b"x"})
    assert formers(repository.reader("?path=docs", since=before)) == {}
    assert formers(repository.reader(exclude=("a.md",), since=before)) == {}


def test_after_a_forced_push_the_scan_is_complete_without_renames(repository: Repository) -> None:
    repository.commit({b"a.md": TEXT})
    old = repository.commit({b"b.md": TEXT, b"c.md": b"c"})
    repository.git.references["refs/heads/main"].set_target(repository.commits[0])
    repository.commit({b"d.md": TEXT})
    assert formers(repository.reader(since=old)) == {}
    for unknown in ("0" * 40, "not a commit"):
        assert ids(repository.reader(since=unknown)) == ["d.md"]


# --- confinement --------------------------------------------------------------------------------------------


def test_objects_outside_the_roots_are_not_read(tmp_path: Path) -> None:
    outside = Repository(tmp_path / "outside" / "secret")
    outside.commit({b"a.md": b"secret"})
    inside = tmp_path / "inside"
    for name in ("alternate", "linked", "pointing"):
        pygit2.init_repository(str(inside / name), bare=True)
    (inside / "alternate/objects/info/alternates").write_text(f"{outside.folder}/objects\n")
    (inside / "linked/objects").rename(inside / "linked/was")
    (inside / "linked/objects").symlink_to(outside.folder / "objects")
    (inside / "work").mkdir()
    (inside / "work/.git").write_text(f"gitdir: {outside.folder}\n")
    for name in ("alternate", "linked", "work", "../outside/secret"):
        spec = SourceSpec(f"git+file://{inside}/{name}", "c")
        with pytest.raises(BadRequest, match=r"outside|not a git repository"):
            reader_for(spec, roots=[inside], max_bytes=10)
    with pytest.raises(BadRequest, match="not a git repository"):
        reader_for(SourceSpec(f"git+file://{inside}", "c"), roots=[inside], max_bytes=10)


# --- mirrors ------------------------------------------------------------------------------------------------


def test_a_mirror_follows_branches_and_keeps_what_was_listed(repository: Repository, tmp_path: Path) -> None:
    first = repository.commit({b"a.md": b"one"})
    url, folder = str(repository.folder), tmp_path / "cache" / "x.git"
    folder.parent.mkdir()
    fetch(folder, url, None, inf)
    mirror = pygit2.Repository(str(folder))
    assert str(mirror.head.target) == first
    repository.git.create_branch("side", repository.git[first].peel(pygit2.Commit))
    second = repository.commit({b"a.md": b"two"})
    fetch(folder, url, None, inf)
    assert {name: str(mirror.references[name].target) for name in mirror.references} == {
        "refs/heads/main": second,
        "refs/heads/side": first,
    }
    repository.git.references["refs/heads/side"].delete()
    fetch(folder, url, None, inf)
    assert list(mirror.references) == ["refs/heads/main"]


def test_a_remote_that_breaks_off_is_asked_again_before_the_task_is(tmp_path: Path) -> None:
    asked = []

    class Broken(BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self.client_address)  # and closes, in the middle of the TLS handshake

    with TCPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        reader = reader_for(
            SourceSpec(f"git+https://127.0.0.1:{port}/x?connection=inside", "c"),
            max_bytes=10,
            git_cache=tmp_path,
            connections=lambda conn_id: Connection(host="127.0.0.1", port=port),
        )
        with pytest.raises(Unavailable, match="remote repository"):
            list(reader.scan())
        server.shutdown()
    assert len(asked) == ATTEMPTS


def test_a_redirect_to_another_host_ends_at_its_certificate() -> None:
    callbacks = Callbacks("git.example.org", None, inf)
    assert callbacks.certificate_check(None, True, b"git.example.org")
    assert not callbacks.certificate_check(None, False, "git.example.org")
    with pytest.raises(BadRequest, match="redirects to"):
        callbacks.certificate_check(None, True, b"10.0.0.1")


def test_only_public_hosts_unless_a_connection_names_the_host(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "169.254.169.254", "10.1.2.3", "::1", "::ffff:10.0.0.1", "100.64.0.1"):
        with pytest.raises(Forbidden):
            check_public(host)
    check_public("1.1.1.1")
    check_host("https://git.example.org/x", Connection(host="git.example.org", password="p"))
    for other in (Connection(host="evil.example.org"), Connection(), Connection(host="git.example.org", port=8443)):
        with pytest.raises(Forbidden):
            check_host("https://git.example.org/x", other)
    reader = reader_for(SourceSpec("git+https://127.0.0.1/x", "c"), max_bytes=10, git_cache=tmp_path)
    with pytest.raises(Forbidden):
        list(reader.scan())


# --- a real history -----------------------------------------------------------------------------------------


def test_ten_steps_of_a_real_repository_give_its_additions_changes_deletions_and_renames(
    test_data: Path, tmp_path: Path
) -> None:
    """The set was made with git's own rename detection at 50 %. libgit2 pairs files by another estimate of likeness:
    a rename that one finds and the other does not is an addition and a deletion."""
    repository = Repository(tmp_path / "repo")
    steps, contents = _living(test_data / "living/keps.tar.xz")
    files: Files = {}
    known: dict[str, str] = {}
    agreed = expected = surplus = 0
    for step in steps:
        wanted = {kind: {op["path"] for op in step["ops"] if op["op"] == kind} for kind in "AMD"}
        wanted_renames = {op["path"]: op["old"] for op in step["ops"] if op["op"] == "R"}
        for path in [*wanted["D"], *wanted_renames.values()]:
            files.pop(path.encode(), None)
        for path in [*wanted["A"], *wanted["M"], *wanted_renames]:
            files[path.encode()] = contents[step["step"], path]
        since = repository.commits[-1] if repository.commits else None
        repository.commit(files)
        entries = {entry.external_id: entry for entry in repository.reader(since=since).scan()}
        result = {name: entry.previous_name for name, entry in entries.items() if entry.previous_name}
        agreed += len(result.items() & wanted_renames.items())
        expected += len(wanted_renames)
        surplus += len(result.items() - wanted_renames.items())
        # What is no rename in either's eyes must be the same, exactly.
        either = {*result, *wanted_renames}
        gone = {*result.values(), *wanted_renames.values()}
        now = {name: entry.fingerprint for name, entry in entries.items()}
        assert now.keys() - known.keys() - either == wanted["A"] - either
        assert known.keys() - now.keys() - gone == wanted["D"] - gone
        changed = {name for name in now.keys() & known.keys() if now[name] != known[name]}
        assert changed - either == wanted["M"] - either
        assert len(now) == step["total_docs"]
        known = now
    print(f"renames: {expected} known, {agreed} found alike, {surplus} others")
    assert expected == 213
    assert agreed >= 200 and surplus <= 10


def _living(archive: Path) -> tuple[list[dict], dict[tuple[int, str], bytes]]:
    """(steps, bytes by step and path)"""
    steps: list[dict] = []
    contents: dict[tuple[int, str], bytes] = {}
    with tarfile.open(archive) as packed:
        for member in packed:
            file = packed.extractfile(member)
            if file is None or not member.isfile():
                continue
            body = file.read()
            _, name, path = f"{member.name}//".split("/", 2)
            if name == "steps.jsonl":
                steps = [json.loads(line) for line in body.splitlines()]
            elif name.isdigit():
                contents[int(name), path.removesuffix("//")] = body
    return steps, contents


# --- trees without an end -----------------------------------------------------------------------------------


def bomb(repository: Repository, levels: int, *, leaf: Files | None = None) -> pygit2.Oid:
    """A tree in which each folder holds the same folder ten times."""
    git = repository.git
    tree = repository._tree(leaf if leaf is not None else {b"f%d" % number: b"x" for number in range(10)})
    for _ in range(levels):
        rows = b"".join(b"40000 d%d\0%b" % (number, tree.raw) for number in range(10))
        tree = git.odb.write(ObjectType.TREE, rows)
    return tree


def point_main_at(repository: Repository, tree: pygit2.Oid) -> None:
    author = pygit2.Signature("A", "a@example.org", FIRST_DAY + 90 * DAY)
    name = "refs/heads/main"
    parents = [repository.git.references[name].target] if name in repository.git.references else []
    repository.git.create_commit(name, author, author, "x", tree, parents)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("leaf", [None, {}])
def test_a_tree_bomb_ends_with_an_error(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, leaf: Files | None
) -> None:
    monkeypatch.setattr(tree_module, "MAX_VISITED", 20_000)
    before = repository.commit({b"a.md": TEXT, b"b.md": TEXT + b"2"})
    point_main_at(repository, bomb(repository, 10, leaf=leaf))
    for include in ((), ("*.nothing",)):
        with pytest.raises(BadRequest, match="path="):
            list(repository.reader(since=before, include=include).scan())
    assert len(ids(repository.reader("?path=d0/d0/d0/d0/d0/d0/d0/d0/d0"))) == (100 if leaf is None else 0)
    # The commit after it, compared with it.
    after = repository.git.references["refs/heads/main"].target
    point_main_at(repository, repository._tree({b"c.md": TEXT}))
    assert ids(repository.reader(since=str(after))) == ["c.md"]


@pytest.mark.timeout(60)
def test_a_tree_that_is_too_deep_ends_with_an_error(repository: Repository) -> None:
    tree = repository._tree({b"f": b"x"})
    for _ in range(3000):
        tree = repository.git.odb.write(ObjectType.TREE, b"40000 d\0" + tree.raw)
    before = repository.commit({b"a.md": TEXT})
    point_main_at(repository, tree)
    with pytest.raises(BadRequest, match="path of more than"):
        list(repository.reader(since=before).scan())
