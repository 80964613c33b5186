"""What the stores of a process are built from: addresses that are none, and settings that separate cached answers."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.errors import BadRequest
from sluice.settings import Settings
from sluice.wiring.application import Sluice
from sluice.wiring.clients import NO_ANSWER_DEPENDS_ON, make_search_cache

GIVEN: dict[str, Any] = {
    "database_url": "postgresql+psycopg://sluice:pass@127.0.0.1:9/sluice",
    "keys_database_url": "postgresql+psycopg://keys:pass@127.0.0.1:9/keys",
    "redis_url": "redis://:pass@127.0.0.1:9/0",
    "master_key": "A" * 43 + "=",
}


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **{**GIVEN, **changes})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redis_url", "localhost:6379"),
        ("redis_url", "redis://:secret@localhost:six"),
        ("database_url", "secret"),
        ("keys_database_url", "postgresql://sluice@localhost:secret/keys"),
        ("qdrant_url", "http://localhost:secret"),
        ("neo4j_uri", "localhost:7687"),
    ],
)
def test_a_wrong_address_is_told_by_its_setting(name: str, value: str) -> None:
    with pytest.raises(BadRequest, match=f"SLUICE_{name.upper()} is no valid address. Write ") as raised:
        Sluice(settings(**{name: value}), serving=True)
    assert "secret" not in str(raised.value)


def name_of_entry(**changes: Any) -> str:
    cache = make_search_cache(settings(**changes))
    assert cache is not None
    return cache.key("search", question="what?").name


def test_servers_share_cached_answers_unless_a_setting_may_change_them() -> None:
    name = name_of_entry()
    assert name_of_entry(statsd_host="127.0.0.1", statsd_port=9125, models="/srv/models", pool_size=9) == name
    assert name_of_entry(qdrant_url="http://127.0.0.1:1") != name
    assert name_of_entry(reranker_candidates=31) != name
    assert name_of_entry(search_timeout_s=4) != name
    assert set(Settings.model_fields) >= NO_ANSWER_DEPENDS_ON
