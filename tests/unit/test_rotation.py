"""The share of the kill points that runs with the ordinary tests is the commit's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.rotation import revision, share, source_hash

SHARES = 32


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "one.py").write_text("ONE = 1\n")
    return tmp_path


def test_a_share_is_the_same_each_time_and_within_its_bounds() -> None:
    # By another program: printf <revision> | sha256sum, of its first 16 digits the remainder.
    assert share("46e168d", SHARES) == int("a5cc5e5a8b4f98a2", 16) % SHARES
    chosen = [share(f"commit {number}", SHARES) for number in range(1000)]
    assert chosen == [share(f"commit {number}", SHARES) for number in range(1000)]
    assert set(chosen) == set(range(SHARES)), "a share that no commit runs"


def test_the_commit_decides_and_not_what_is_uncommitted(tree: Path) -> None:
    git(tree, "init", "-q")
    git(tree, "add", "include")
    git(tree, "commit", "-qm", "First")
    first = revision(tree)
    assert first == git(tree, "rev-parse", "HEAD")
    (tree / "include" / "one.py").write_text("ONE = 2\n")
    assert revision(tree) == first
    git(tree, "commit", "-qam", "Second")
    assert revision(tree) not in (first, source_hash(tree))


def test_without_git_the_sources_decide(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = revision(tree)
    assert first == source_hash(tree)
    (tree / "include" / "notes.txt").write_text("not a source")
    assert revision(tree) == first
    (tree / "include" / "one.py").rename(tree / "include" / "two.py")
    renamed = revision(tree)
    (tree / "include" / "two.py").write_text("ONE = 2\n")
    assert len({first, renamed, revision(tree)}) == 3

    git(tree, "init", "-q")
    git(tree, "add", "include")
    git(tree, "commit", "-qm", "First")
    monkeypatch.setenv("PATH", "/nowhere")
    assert revision(tree) == source_hash(tree), "the program git is missing"


def test_a_copy_inside_another_checkout_is_not_that_checkouts_commit(tree: Path) -> None:
    git(tree, "init", "-q")
    git(tree, "add", "include")
    git(tree, "commit", "-qm", "Around")
    inner = tree / "inner"
    (inner / "tests").mkdir(parents=True)
    (inner / "tests" / "test_one.py").write_text("")
    assert revision(inner) == source_hash(inner) != revision(tree)


def test_a_checkout_without_a_commit_has_a_revision(tree: Path) -> None:
    git(tree, "init", "-q")
    assert revision(tree) == source_hash(tree)
