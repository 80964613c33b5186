"""The ledger of every release opens with this one."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from sluice.adapters.postgres.fingerprint_upgrade import key_fingerprints
from sluice.adapters.postgres.migrations import migrate
from sluice.encryption import keyed_fingerprint, new_key
from support.engines import EngineStack
from support.scratch_databases import libpq, scratch_databases

RELEASES = sorted((Path(__file__).parents[1] / "fixtures" / "releases").glob("*.sql"))


def test_there_is_a_dump_of_this_release() -> None:
    from sluice import __version__

    assert __version__ in {path.stem for path in RELEASES}, "run python -m support.release_dump"


@pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)
def test_it_opens(stack: EngineStack, path: Path) -> None:
    with scratch_databases(stack) as scratch:
        with psycopg.connect(libpq(scratch.owner_url)) as connection:
            connection.execute(path.read_text())
        migrate(scratch.owner_url, scratch.keys_url)
        with psycopg.connect(libpq(scratch.analyst_url)) as connection:
            result = connection.execute("SELECT collection, state FROM analyst.runs ORDER BY started_at").fetchall()
            quarantined = connection.execute("SELECT count(*) FROM analyst.quarantine").fetchone()
        assert [state for _, state in result] == ["succeeded", "succeeded"]
        assert quarantined == (1,)


@pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)
def test_it_holds_nothing_readable(path: Path) -> None:
    text = path.read_text()
    assert not [word for word in ("voles", "sourdough", "barn owl", "bread rise") if word in text.lower()]


@pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)
def test_no_unkeyed_fingerprint_survives(stack: EngineStack, path: Path) -> None:
    """Equal ones stay equal, so that nothing is read again; a second time changes nothing."""
    tables = ("documents", "versions", "quarantine")
    columns = ", ".join(f"ARRAY(SELECT fingerprint FROM {table} ORDER BY fingerprint)" for table in tables)
    index_key = new_key()
    with scratch_databases(stack) as scratch:
        with psycopg.connect(libpq(scratch.owner_url)) as connection:
            connection.execute(path.read_text())
        with psycopg.connect(libpq(scratch.owner_url)) as connection:  # the dump cleared the search path
            before = connection.execute(f"SELECT {columns}").fetchone()
        migrate(scratch.owner_url, scratch.keys_url)
        rewritten = key_fingerprints(scratch.owner_url, lambda tenant: index_key)
        again = key_fingerprints(scratch.owner_url, lambda tenant: index_key)
        with psycopg.connect(libpq(scratch.owner_url)) as connection:
            after = connection.execute(f"SELECT {columns}").fetchone()
    assert before is not None and after is not None
    stored = sum(each is not None for column in before for each in column)
    assert stored > 3 and again == 0
    if path.stem not in ("0.1.0", "0.2.0"):  # written with keyed ones
        assert (rewritten, after) == (0, before)
        return
    assert rewritten == stored
    for old, new in zip(before, after, strict=True):
        assert sorted(filter(None, new)) == sorted(keyed_fingerprint(index_key, each) for each in old if each)
