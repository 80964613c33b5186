import json
import re
from pathlib import Path

import pytest
import yaml

from devstack import airflow_environment, airflow_settings, credentials, environment
from devstack.config import Config
from devstack.errors import DevstackError

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "airflow_settings.yaml"
# The Astro CLI's own keys, as its documentation lists them.
ASTRO_KEYS = {
    "connections": {
        "conn_id",
        "conn_type",
        "conn_host",
        "conn_schema",
        "conn_login",
        "conn_password",
        "conn_port",
        "conn_uri",
        "conn_extra",
    },
    "pools": {"pool_name", "pool_slot", "pool_description"},
    "variables": {"variable_name", "variable_value"},
}


@pytest.fixture
def values(tmp_path: Path) -> dict[str, str]:
    config = Config.from_env(tmp_path, {})
    return environment.for_the_app(config, credentials.load_or_make(config))


def test_the_file_is_valid_for_the_astro_cli() -> None:
    content = yaml.safe_load(FILE.read_text())
    assert set(content) == {"airflow"}
    for section, entries in content["airflow"].items():
        for entry in entries:
            assert set(entry) <= ASTRO_KEYS[section], entry


def test_the_file_holds_no_secret_and_no_address() -> None:
    for entry in yaml.safe_load(FILE.read_text())["airflow"]["connections"]:
        for key in ("conn_host", "conn_port", "conn_login", "conn_password"):
            assert re.fullmatch(r"\$\{SLUICE_[A-Z0-9_]+\}", entry.get(key, "${SLUICE_NONE}")), entry


def test_every_connection_is_filled_from_the_variables(values: dict[str, str]) -> None:
    loaded = airflow_settings.load(FILE, values)
    assert set(loaded.connections) == {
        "sluice_ledger",
        "sluice_keys",
        "sluice_qdrant",
        "sluice_neo4j",
        "sluice_redis",
    }
    assert loaded.skipped == ()
    assert all(each["description"] for each in loaded.connections.values())
    assert "${" not in json.dumps(loaded.connections)
    ledger = loaded.connections["sluice_ledger"]
    assert (ledger["conn_type"], ledger["login"], ledger["schema"]) == ("postgres", "sluice_app", "sluice")
    assert ledger["port"] == 5432
    assert f":{ledger['password']}@" in values["SLUICE_DATABASE_URL"]
    assert json.loads(loaded.connections["sluice_neo4j"]["extra"]) == {"scheme": "bolt"}
    assert loaded.connections["sluice_qdrant"]["password"] == values["SLUICE_QDRANT_API_KEY"]


def test_pools_are_turned_into_airflows_form(values: dict[str, str]) -> None:
    pools = airflow_settings.load(FILE, values).pools
    assert set(pools) == {"sluice_default", "sluice_extract", "sluice_embed", "sluice_load"}
    assert all(pool["slots"] >= 1 and pool["include_deferred"] is False for pool in pools.values())


def test_a_connection_without_its_server_is_left_out(tmp_path: Path) -> None:
    config = Config.from_env(tmp_path, {"SLUICE_GRAPH": "off"})
    values = environment.for_the_app(config, credentials.load_or_make(config))
    loaded = airflow_settings.load(FILE, values)
    assert "sluice_neo4j" not in loaded.connections
    assert loaded.skipped[0].startswith("sluice_neo4j (SLUICE_NEO4J_HOST")


def test_parts_of_a_url() -> None:
    parts = airflow_settings.split_urls(
        {"X_URL": "postgresql+psycopg://me:p%40ss@db.example:6000/ledger?sslmode=require"}
    )
    assert parts == {
        "X_SCHEME": "postgresql+psycopg",
        "X_HOST": "db.example",
        "X_PORT": "6000",
        "X_USER": "me",
        "X_PASSWORD": "p@ss",
        "X_NAME": "ledger",
        "X_OPTIONS": '{"sslmode": "require"}',
    }


@pytest.mark.parametrize(
    "content",
    [
        "connections: []",
        "airflow: {dags: []}",
        "airflow: {connections: [{conn_type: http}]}",
        "airflow: {connections: [{conn_id: a}]}",
        "airflow: {connections: [{conn_id: a, conn_type: http, host: x}]}",
        "airflow: {pools: [{pool_name: a, slots: 3}]}",
        "airflow: [",
    ],
)
def test_what_the_astro_cli_would_not_understand_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(content)
    with pytest.raises(DevstackError, match=r"settings\.yaml"):
        airflow_settings.load(file, {})


@pytest.mark.parametrize("environ", [{}, {"SLUICE_MARQUEZ_URL": "http://marquez:5000"}])
def test_tasks_send_lineage_to_the_ledger_and_never_to_marquez(tmp_path: Path, environ: dict[str, str]) -> None:
    config = Config.from_env(tmp_path, environ)
    output = airflow_environment.variables(config, credentials.load_or_make(config))
    transport = json.loads(output["AIRFLOW__OPENLINEAGE__TRANSPORT"])
    assert transport["continue_on_failure"] is True
    assert [each["type"] for each in transport["transports"].values()] == ["sluice.airflow.transport.LedgerTransport"]


def test_the_projects_file_overrides_airflows_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AIRFLOW__CORE__PARALLELISM=2\n")
    config = Config.from_env(tmp_path, {})
    assert airflow_environment.variables(config, credentials.load_or_make(config))["AIRFLOW__CORE__PARALLELISM"] == "2"
