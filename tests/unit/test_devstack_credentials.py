import base64
from pathlib import Path

import pytest

from devstack import catalogue, credentials, dotenv, environment
from devstack.config import Config


def config_of(folder: Path, **settings: str) -> Config:
    return Config.from_env(folder, settings)


def test_made_once_kept_and_private(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    first = credentials.load_or_make(config)
    assert credentials.load_or_make(config) == first
    assert credentials.load_if_made(config) == first
    for name in ("credentials.env", "master.key"):
        assert (config.home / name).stat().st_mode & 0o777 == 0o600
    assert len(set(first.secrets.values())) == len(first.secrets)


def test_two_homes_share_no_secret(tmp_path: Path) -> None:
    one = credentials.load_or_make(config_of(tmp_path, SLUICE_HOME="one")).secrets
    two = credentials.load_or_make(config_of(tmp_path, SLUICE_HOME="two")).secrets
    assert {name for name in one if one[name] == two[name]} == {"SLUICE_ADMIN_USER", "SLUICE_NEO4J_USER"}


def test_the_master_key_is_32_bytes_and_never_replaced(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    file = credentials.load_or_make(config).master_key_file
    key = file.read_text()
    (config.home / "credentials.env").unlink()
    credentials.load_or_make(config)
    assert file.read_text() == key
    assert len(base64.b64decode(key)) == 32


def test_the_file_names_what_people_and_checks_look_for(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    credentials.load_or_make(config)
    written = dotenv.read(config.home / "credentials.env")
    assert {"SLUICE_ADMIN_USER", "SLUICE_ADMIN_PASSWORD", "SLUICE_QDRANT_URL", "SLUICE_QDRANT_API_KEY"} <= set(written)
    assert written["SLUICE_DATABASE_URL"].startswith("postgresql+psycopg://sluice_app:")
    assert written["SLUICE_NEO4J_URI"] == "bolt://127.0.0.1:7687"


def test_a_url_of_ones_own_is_used_and_its_engine_left_out(tmp_path: Path) -> None:
    config = config_of(tmp_path, SLUICE_REDIS_URL="redis://elsewhere:6379/3", SLUICE_QDRANT_URL="https://q:6333")
    built = credentials.load_or_make(config)
    services = {service.name: service for service in catalogue.services(config, built)}
    assert services["redis"].left_out == "SLUICE_REDIS_URL is set"
    assert services["qdrant"].left_out == "SLUICE_QDRANT_URL is set"
    assert services["postgres"].left_out is None
    output = environment.for_the_app(config, built)
    assert output["SLUICE_REDIS_URL"] == "redis://elsewhere:6379/3"
    # Our generated key must not go to a server that is not ours.
    assert "SLUICE_QDRANT_API_KEY" not in output


def test_our_own_urls_in_the_environment_are_not_taken_for_others(tmp_path: Path) -> None:
    built = credentials.load_or_make(config_of(tmp_path))
    again = credentials.load_or_make(config_of(tmp_path, **built.urls))
    assert again.external == frozenset()
    assert again == built


def test_another_server_is_forgotten_when_its_setting_goes(tmp_path: Path) -> None:
    credentials.load_or_make(config_of(tmp_path, SLUICE_REDIS_URL="redis://elsewhere:6379/3"))
    built = credentials.load_or_make(config_of(tmp_path))
    assert built.external == frozenset()
    assert built.urls["SLUICE_REDIS_URL"].endswith("@127.0.0.1:6379/0")


def test_one_database_url_serves_all_roles_of_the_ledger(tmp_path: Path) -> None:
    url = "postgresql+psycopg://me:x@db/ledger"
    built = credentials.load_or_make(config_of(tmp_path, SLUICE_DATABASE_URL=url))
    assert built.urls["SLUICE_DATABASE_OWNER_URL"] == url
    assert built.urls["SLUICE_KEYS_DATABASE_URL"].endswith("/sluice_keys")


def test_postgres_is_left_out_when_every_database_is_given(tmp_path: Path) -> None:
    given = {name: f"postgresql+psycopg://me:x@db/{name}" for name in catalogue.DATABASE_SETTINGS}
    config = config_of(tmp_path, **given)
    services = {service.name: service for service in catalogue.services(config, credentials.load_or_make(config))}
    assert services["postgres"].left_out


def test_without_the_graph_nothing_speaks_of_neo4j(tmp_path: Path) -> None:
    config = config_of(tmp_path, SLUICE_GRAPH="off", SLUICE_NEO4J_URI="bolt://elsewhere:7687")
    built = credentials.load_or_make(config)
    output = environment.for_the_app(config, built)
    assert output["SLUICE_GRAPH"] == "off"
    assert not [name for name in output if name.startswith("SLUICE_NEO4J")]


def test_the_app_gets_no_superuser(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    output = environment.for_processes(config, credentials.load_or_make(config))
    assert "SLUICE_POSTGRES_ADMIN_URL" not in output
    assert not [value for value in output.values() if "://postgres:" in value]


@pytest.mark.parametrize("binary", ["", "/somewhere/qdrant"])
def test_grpc_only_with_a_real_server(tmp_path: Path, binary: str) -> None:
    config = config_of(tmp_path, SLUICE_QDRANT_BIN=binary)
    output = environment.for_the_app(config, credentials.load_or_make(config))
    assert output.get("SLUICE_QDRANT_GRPC_PORT") == ("6334" if binary else None)


def test_processes_get_no_leftover_marker_and_find_the_packages(tmp_path: Path) -> None:
    environ = {"PYTHONPATH": "/mine", "PYTHONDONTWRITEBYTECODE": "1", "DEVSTACK_MEMBER": "x", "HOME": "/h"}
    (tmp_path / ".env").write_text("SLUICE_EMBEDDER=hash:64\nOTHER=1\n")
    stored = environment.inherited(Config.from_env(tmp_path, environ), environ)
    assert stored["PYTHONPATH"] == f"{tmp_path / 'include'}:/mine"
    assert stored["SLUICE_EMBEDDER"] == "hash:64"
    assert not {"PYTHONDONTWRITEBYTECODE", "DEVSTACK_MEMBER", "OTHER"} & set(stored)


def test_no_secret_can_be_mistaken_for_an_option_or_a_delimiter(tmp_path: Path) -> None:
    built = credentials.load_or_make(config_of(tmp_path)).secrets
    assert all(value.isalnum() for name, value in built.items() if name != "AIRFLOW__CORE__FERNET_KEY")
    assert len(base64.urlsafe_b64decode(built["AIRFLOW__CORE__FERNET_KEY"])) == 32
