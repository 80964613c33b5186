"""No room for artefacts: the task fails with what to do, and goes on once there is room."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import Transient
from sluice.wiring.application import Sluice
from support import dying
from support.recovery import AFTER, Cases

FILE_BYTES = 4000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 32 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root alone; the limit of a file's size is tested for all")
    yield folder
    subprocess.run(["umount", folder], check=True)


def limited(sluice: Sluice, order: dying.Order) -> Any:
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return dying.work(sluice, order)


def test_a_full_disk(cases: Cases, small_disk: Path) -> None:
    expected = cases.fresh(AFTER)
    case = cases.before("batches", artefacts_uri=small_disk.as_uri())
    case.put(AFTER)
    with pytest.raises(Transient, match=r"No space left.*No part of it was stored; free space there"):
        case.ingest()
    assert not list(small_disk.rglob("*.part"))
    case.assert_never_a_mix()
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    case.ingest()
    case.assert_whole(expected)
    assert not case.paid_twice()


def test_a_file_that_may_not_grow(cases: Cases) -> None:
    expected = cases.fresh(AFTER)
    case = cases.before("batches")
    case.put(AFTER)
    ended = dying.wait(*dying.start(case.order, limited))
    assert ended.outcome == "Transient" and "free space there" in ended.output, ended
    case.ingest()
    case.assert_whole(expected)
    assert not case.paid_twice()
