"""The ledger of every release opens with this one."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from scratch_databases import libpq, scratch_databases
from sluice.adapters.postgres import migrate

RELEASES = sorted((Path(__file__).parents[1] / "fixtures" / "releases").glob("*.sql"))


def test_there_is_a_dump_of_this_release() -> None:
    from sluice import __version__

    assert __version__ in {path.stem for path in RELEASES}, "run tests/release_dump.py"


@pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)
def test_it_opens(stack, path: Path) -> None:  # type: ignore[no-untyped-def]
    with scratch_databases(stack) as scratch:
        with psycopg.connect(libpq(scratch.owner_url)) as connection:
            connection.execute(path.read_text())
        migrate(scratch.owner_url, scratch.keys_url)
        with psycopg.connect(libpq(scratch.analyst_url)) as connection:
            found = connection.execute("SELECT collection, state FROM analyst.runs ORDER BY started_at").fetchall()
            quarantined = connection.execute("SELECT count(*) FROM analyst.quarantine").fetchone()
        assert [state for _, state in found] == ["succeeded", "succeeded"]
        assert quarantined == (1,)


@pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)
def test_it_holds_nothing_readable(path: Path) -> None:
    text = path.read_text()
    assert "voles" not in text and "Sourdough" not in text.title()
