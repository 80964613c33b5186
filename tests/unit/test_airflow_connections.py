"""URL → devstack's import file → Airflow connection → URL, without loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devstack import airflow_settings
from sluice.airflow.connections import settings_from_airflow

FILE = Path(__file__).resolve().parents[2] / "airflow_settings.yaml"
PLAIN = {
    "SLUICE_DATABASE_URL": "postgresql+psycopg://sluice_app:secret@127.0.0.1:5432/sluice",
    "SLUICE_KEYS_DATABASE_URL": "postgresql+psycopg://sluice_keys:secret@127.0.0.1:5432/sluice_keys",
    "SLUICE_QDRANT_URL": "http://127.0.0.1:6333",
    "SLUICE_QDRANT_API_KEY": "key",
    "SLUICE_NEO4J_URI": "bolt://127.0.0.1:7687",
    "SLUICE_NEO4J_USER": "neo4j",
    "SLUICE_NEO4J_PASSWORD": "secret",
    "SLUICE_REDIS_URL": "redis://:secret@127.0.0.1:6379/0",
}
MANAGED = {
    "SLUICE_DATABASE_URL": "postgresql+psycopg://app:p%40s%3As%2F%25@db.example:6432/ledger"
    "?sslmode=verify-full&sslrootcert=/etc/ssl/a%20b.pem&target_session_attrs=read-write",
    "SLUICE_KEYS_DATABASE_URL": "postgresql+psycopg://keys@[2001:db8::1]/keys?sslmode=require",
    "SLUICE_QDRANT_URL": "https://qdrant.example",
    "SLUICE_QDRANT_API_KEY": "k:e/y@%",
    "SLUICE_NEO4J_URI": "neo4j+s://graph.example:7687",
    "SLUICE_NEO4J_USER": "reader",
    "SLUICE_NEO4J_PASSWORD": "p@ss/word",
    "SLUICE_REDIS_URL": "rediss://cache:p%40ss@cache.example:6380/3",
}


@pytest.mark.parametrize("values", [PLAIN, MANAGED], ids=["one machine", "managed stores"])
def test_a_url_comes_back_as_it_was(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    loaded = airflow_settings.load(FILE, values)
    assert loaded.skipped == ()
    for conn_id, connection in loaded.connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_VAR_SLUICE_FILE_ROOTS", "/data/more")
    monkeypatch.setenv("SLUICE_FILE_ROOTS", "/data/first")
    settings = settings_from_airflow()
    result = {
        "SLUICE_DATABASE_URL": settings.database_url.get_secret_value(),
        "SLUICE_KEYS_DATABASE_URL": settings.keys_database_url.get_secret_value(),
        "SLUICE_QDRANT_URL": settings.qdrant_url,
        "SLUICE_QDRANT_API_KEY": settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else "",
        "SLUICE_NEO4J_URI": settings.neo4j_uri,
        "SLUICE_NEO4J_USER": settings.neo4j_user,
        "SLUICE_NEO4J_PASSWORD": settings.neo4j_password.get_secret_value(),
        "SLUICE_REDIS_URL": settings.redis_url.get_secret_value(),
    }
    assert result == values
    assert settings.file_roots == "/data/first:/data/more"


def test_grpc_is_used_where_the_connection_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for conn_id, connection in airflow_settings.load(FILE, PLAIN).connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    qdrant = {"conn_type": "http", "host": "q.example", "port": 1, "extra": {"grpc_port": "2"}}
    monkeypatch.setenv("AIRFLOW_CONN_SLUICE_QDRANT", json.dumps(qdrant))
    monkeypatch.setenv("AIRFLOW_VAR_SLUICE_FILE_ROOTS", "/data")
    assert settings_from_airflow().qdrant_grpc_port == 2
