"""The lookup of a user in Airflow's database."""

from __future__ import annotations

import psycopg

from sluice.adapters.postgres.airflow_users import has_user
from support.engines import EngineStack
from support.scratch_databases import scratch_databases


def test_only_an_active_user_is_known(stack: EngineStack) -> None:
    with scratch_databases(stack) as scratch:
        url = scratch.owner_url
        assert has_user(url, "ann") is None, "it is not Airflow's database"
        with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
            connection.execute("CREATE TABLE ab_user (username text, active boolean)")
            assert has_user(url, "ann") is None, "it has no users yet"
            connection.execute("INSERT INTO ab_user VALUES ('ann', true), ('bob', false)")
        assert [has_user(url, name) for name in ("ann", "bob", "nobody")] == [True, False, False]
