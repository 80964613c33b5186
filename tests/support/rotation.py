"""Which share of a long drill runs with the ordinary tests. The commit decides: the same commit always runs the same
share, on each machine and on each day, and many commits together run all shares."""

from __future__ import annotations

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

_SOURCES = ("include", "dags", "plugins", "migrations", "tests")


def share(revision: str, shares: int) -> int:
    """The number of the share, 0 to `shares` - 1, that this revision runs."""
    return int.from_bytes(sha256(revision.encode()).digest()[:8], "big") % shares


def revision(root: Path) -> str:
    """The commit's hash; where there is no git, or `root` is not the top of a checkout, a hash of the sources."""
    if (root / ".git").exists() and (git := shutil.which("git")):
        answer = subprocess.run(
            [git, "-C", str(root), "rev-parse", "--verify", "HEAD"], capture_output=True, text=True, timeout=30
        )
        if answer.returncode == 0:
            return answer.stdout.strip()
    return source_hash(root)


def source_hash(root: Path) -> str:
    """Of the paths and the content of all Python files."""
    digest = sha256()
    for path in sorted(path for folder in _SOURCES for path in (root / folder).rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
