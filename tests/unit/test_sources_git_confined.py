"""git+file:// opens nothing outside the roots: each file is judged when it is opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pygit2
import pytest

from sluice.errors import BadRequest, ExtractionError, SluiceError
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.sources.git import repository
from sluice.sources.git.reader import GitReader
from sluice.sources.git.view import View
from sluice.sources.schemes import reader_for

SECRET = b"what the board decided"


def commit(folder: Path, **files: bytes) -> pygit2.Repository:
    git = (
        pygit2.Repository(str(folder))
        if folder.exists()
        else pygit2.init_repository(str(folder), True, initial_head="main")
    )
    tree = git.TreeBuilder()
    for name, content in files.items():
        tree.insert(name, git.create_blob(content), pygit2.enums.FileMode.BLOB)
    author = pygit2.Signature("A", "a@example.org")
    parents = [git.head.target] if not git.head_is_unborn else []
    git.create_commit("refs/heads/main", author, author, "x", tree.write(), parents)
    return git


def pack(folder: Path) -> None:
    """All objects into one pack, all refs into one file."""
    git = pygit2.Repository(str(folder))
    git.pack()
    for place in (folder / "objects").iterdir():
        if len(place.name) == 2:
            shutil.rmtree(place)
    git.references.compress()


def reader(folder: Path, root: Path, query: str = "") -> GitReader:
    built = reader_for(SourceSpec(f"git+{folder.as_uri()}{query}", "c"), roots=[root], max_bytes=10_000)
    assert isinstance(built, GitReader)
    return built


def read_all(folder: Path, root: Path, query: str = "") -> dict[str, bytes]:
    source = reader(folder, root, query)
    return {each.external_id: source.read(WorkItem(uuid4(), each, new=True)).content for each in source.scan()}


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """(a repository outside the root, an empty one inside)."""
    outside = tmp_path / "outside" / "secret"
    commit(outside, board=SECRET)
    (tmp_path / "inside").mkdir()
    pygit2.init_repository(str(tmp_path / "inside" / "repo"), True, initial_head="main")
    return outside, tmp_path / "inside" / "repo"


def link(path: Path, target: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def fan_out(outside: Path, repo: Path) -> None:
    for place in (outside / "objects").iterdir():
        if len(place.name) == 2:
            link(repo / "objects" / place.name, place)


def loose(outside: Path, repo: Path) -> None:
    for place in (outside / "objects").glob("??/*"):
        link(repo / "objects" / place.parent.name / place.name, place)


def packs(outside: Path, repo: Path) -> None:
    pack(outside)
    for place in (outside / "objects/pack").iterdir():
        link(repo / "objects/pack" / place.name, place)


def pack_folder(outside: Path, repo: Path) -> None:
    pack(outside)
    link(repo / "objects/pack", outside / "objects/pack")


def objects(outside: Path, repo: Path) -> None:
    link(repo / "objects", outside / "objects")


def alternates(outside: Path, repo: Path) -> None:
    (repo / "objects/info").mkdir(exist_ok=True)
    (repo / "objects/info/alternates").write_text(f"{outside}/objects\n")


def alternates_of_alternates(outside: Path, repo: Path) -> None:
    other = repo.parent / "other"
    pygit2.init_repository(str(other), True)
    alternates(outside, other)
    alternates(other, repo)


def linked_alternates(outside: Path, repo: Path) -> None:
    alternates(outside, outside)
    (repo / "objects/info").mkdir(exist_ok=True)
    link(repo / "objects/info/alternates", outside / "objects/info/alternates")


def refs(outside: Path, repo: Path) -> None:
    link(repo / "refs/heads", outside / "refs/heads")


def all_refs(outside: Path, repo: Path) -> None:
    link(repo / "refs", outside / "refs")


def one_ref(outside: Path, repo: Path) -> None:
    link(repo / "refs/heads/main", outside / "refs/heads/main")


def packed_refs(outside: Path, repo: Path) -> None:
    pygit2.Repository(str(outside)).references.compress()
    link(repo / "packed-refs", outside / "packed-refs")


def head(outside: Path, repo: Path) -> None:
    link(repo / "HEAD", outside / "refs/heads/main")


def commondir(outside: Path, repo: Path) -> None:
    (repo / "commondir").write_text(str(outside))


def gitdir(outside: Path, repo: Path) -> None:
    shutil.rmtree(repo)
    repo.mkdir()
    (repo / ".git").write_text(f"gitdir: {outside}\n")


def linked_gitdir(outside: Path, repo: Path) -> None:
    shutil.rmtree(repo)
    repo.mkdir()
    (repo / ".git").symlink_to(outside)


Way = Callable[[Path, Path], None]
WAYS: tuple[Way, ...] = (
    fan_out,
    loose,
    packs,
    pack_folder,
    objects,
    alternates,
    alternates_of_alternates,
    linked_alternates,
)
WAYS += (refs, all_refs, one_ref, packed_refs, head, commondir, gitdir, linked_gitdir)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_out(places: tuple[Path, Path], way: Way) -> None:
    outside, repo = places
    tip = str(pygit2.Repository(str(outside)).head.target)
    if "ref" not in way.__name__ and way is not head:
        (repo / "refs/heads/main").write_text(tip + "\n")
    else:
        for place in (outside / "objects").glob("??/*"):  # the objects may be had: what names them may not be read
            (repo / "objects" / place.parent.name).mkdir(exist_ok=True)
            shutil.copy(place, repo / "objects" / place.parent.name)
    way(outside, repo)
    with pytest.raises(SluiceError) as caught:
        read_all(repo, repo.parent)
    assert tip not in str(caught.value)
    if "ref" not in way.__name__ and way is not head:
        with pytest.raises(SluiceError):
            read_all(repo, repo.parent, f"?ref={tip}")


@pytest.mark.parametrize("way", [fan_out, loose, packs, pack_folder, objects, alternates])
def test_what_is_swapped_after_it_was_opened_leads_nowhere(places: tuple[Path, Path], way: Way) -> None:
    outside, repo = places
    commit(repo, mine=b"mine")
    secret = next(iter(pygit2.Repository(str(outside)).head.peel(pygit2.Tree))).id
    source = reader(repo, repo.parent)
    entries = list(source.scan())
    way(outside, repo)
    with pytest.raises((ExtractionError, BadRequest)):
        source.read(WorkItem(uuid4(), ListingEntry("x", "u", str(secret), 0), new=True))
    assert [each.external_id for each in entries] == ["mine"]


def test_what_lies_within_the_roots_is_read(tmp_path: Path) -> None:
    main = tmp_path / "main"
    git = commit(main, a=b"one")
    git.create_reference("refs/remotes/origin/topic", git.head.target)
    git.create_reference("refs/remotes/origin/HEAD", "refs/remotes/origin/topic")
    expected = {"a": b"one"}
    assert read_all(main, tmp_path) == expected
    assert read_all(main, tmp_path, "?ref=refs/remotes/origin/HEAD") == expected
    short = str(git.head.target)[:8]
    assert read_all(main, tmp_path, f"?ref={short}") == expected
    pack(main)
    assert read_all(main, tmp_path) == read_all(main, tmp_path, f"?ref={short}") == expected
    commit(main, a=b"one", b=b"two")
    expected["b"] = b"two"
    assert read_all(main, tmp_path) == expected
    # A repository that borrows its objects, and a working tree of another one.
    pygit2.init_repository(str(tmp_path / "borrower"), True, initial_head="main")
    alternates(main, tmp_path / "borrower")
    (tmp_path / "borrower/refs/heads/main").write_text(f"{git.head.target}\n")
    assert read_all(tmp_path / "borrower", tmp_path) == expected
    pygit2.Repository(str(main)).add_worktree("side", str(tmp_path / "side"))
    assert read_all(tmp_path / "side", tmp_path) == expected
    with pytest.raises(BadRequest, match="outside"):
        read_all(tmp_path / "side", tmp_path / "side")


def test_a_repository_that_is_packed_anew_meanwhile_is_still_read(tmp_path: Path) -> None:
    commit(tmp_path / "repo", a=b"one", b=b"two")
    source = reader(tmp_path / "repo", tmp_path)
    first, second = source.scan()
    assert source.read(WorkItem(uuid4(), first, new=True)).content == b"one"
    pack(tmp_path / "repo")
    assert source.read(WorkItem(uuid4(), second, new=True)).content == b"two"


def test_nothing_is_left_open_or_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    commit(tmp_path / "repo", a=b"one")
    pack(tmp_path / "repo")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        assert read_all(tmp_path / "repo", tmp_path) == {"a": b"one"}
    with pytest.raises(BadRequest):
        reader(tmp_path / "temporary", tmp_path)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_damaged_objects_end_the_scan_and_bombs_are_not_unpacked(tmp_path: Path) -> None:
    git = commit(tmp_path / "repo", a=b"one" * 100)
    blob = next(iter(git.head.peel(pygit2.Tree))).id
    path = tmp_path / "repo/objects" / str(blob)[:2] / str(blob)[2:]
    import zlib

    for content in (
        b"",
        b"junk",
        zlib.compress(b"blob 300"),
        zlib.compress(b"what 3\0abc"),
        zlib.compress(b"blob x\0abc"),
    ):
        path.chmod(0o600)
        path.write_bytes(content)
        with pytest.raises(SluiceError, match="damaged") as caught:
            read_all(tmp_path / "repo", tmp_path)
        assert "git fsck" in str(caught.value) and "make up" not in str(caught.value)
    path.write_bytes(zlib.compress(b"blob 3\0" + b"a" * 50_000_000))
    with pytest.raises(SluiceError, match="damaged"):
        read_all(tmp_path / "repo", tmp_path)


def test_blobs_that_vanished_do_not_open_the_repository_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(tmp_path / "repo", a=b"one")
    pack(tmp_path / "repo")
    source = reader(tmp_path / "repo", tmp_path)
    (entry,) = source.scan()
    built: list[object] = []

    def opened(*args: Any) -> View:
        built.append(args)
        return View(*args)

    monkeypatch.setattr(repository, "View", opened)
    for number in range(5):
        with pytest.raises(ExtractionError, match="vanished"):
            source.read(WorkItem(uuid4(), replace(entry, fingerprint=f"{number:040x}"), new=True))
    assert built == []
    commit(tmp_path / "repo", b=b"two")
    pack(tmp_path / "repo")
    two = next(iter(reader(tmp_path / "repo", tmp_path).scan()))
    built.clear()
    assert source.read(WorkItem(uuid4(), two, new=True)).content == b"two"
    assert len(built) == 1


def test_a_repository_that_borrows_from_many_places_is_refused_with_advice(tmp_path: Path) -> None:
    folders = [tmp_path / f"repo{number}" for number in range(22)]
    for folder in folders:
        commit(folder, a=b"one")
    for folder, other in pairwise(folders):
        alternates(other, folder)
    with pytest.raises(BadRequest, match=r"more than 20 places.*git repack"):
        read_all(folders[0], tmp_path)
