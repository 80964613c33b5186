from pathlib import Path

import pytest

from devstack import dotenv
from devstack.config import Config, Ports
from devstack.errors import DevstackError


def test_ports_have_the_engines_usual_numbers(tmp_path: Path) -> None:
    ports = Config.from_env(tmp_path, {}).ports
    assert (ports.airflow, ports.airflow_execution) == (8080, 8081)
    assert (ports.postgres, ports.redis, ports.qdrant, ports.neo4j, ports.marquez) == (5432, 6379, 6333, 7687, 5000)


def test_ports_beside_another_follow_it(tmp_path: Path) -> None:
    settings = {"SLUICE_PORT_AIRFLOW": "22000", "SLUICE_PORT_QDRANT": "22010", "SLUICE_PORT_MARQUEZ": "22020"}
    ports = Config.from_env(tmp_path, settings).ports
    assert (ports.airflow_execution, ports.qdrant_grpc, ports.marquez_admin) == (22001, 22011, 22021)


@pytest.mark.parametrize("value", ["0", "65536", "-1", "http", "80.5", "٣"])
def test_a_bad_port_names_its_setting(value: str) -> None:
    with pytest.raises(DevstackError, match="SLUICE_PORT_REDIS"):
        Ports.from_settings({"SLUICE_PORT_REDIS": value})


def test_one_port_for_two_parts_is_refused() -> None:
    with pytest.raises(DevstackError, match="SLUICE_PORT_POSTGRES and SLUICE_PORT_REDIS are both 7000"):
        Ports.from_settings({"SLUICE_PORT_POSTGRES": "7000", "SLUICE_PORT_REDIS": "7000"})


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# mine\nexport SLUICE_PORT_REDIS=7001\nSLUICE_PORT_NEO4J='7002' \n\n")
    ports = Config.from_env(tmp_path, {"SLUICE_PORT_REDIS": "7003"}).ports
    assert (ports.redis, ports.neo4j) == (7003, 7002)


def test_data_lives_below_the_project_unless_told_otherwise(tmp_path: Path) -> None:
    assert Config.from_env(tmp_path, {}).home == tmp_path / ".sluice"
    assert Config.from_env(tmp_path, {"SLUICE_HOME": "data/one"}).home == tmp_path / "data" / "one"
    assert Config.from_env(tmp_path, {"SLUICE_HOME": "/elsewhere"}).home == Path("/elsewhere")


def test_openlineage_url_names_a_marquez_too(tmp_path: Path) -> None:
    config = Config.from_env(tmp_path, {"OPENLINEAGE_URL": "http://marquez:5000"})
    assert config.given("SLUICE_MARQUEZ_URL") == "http://marquez:5000"


@pytest.mark.parametrize(("value", "expected"), [("off", False), ("OFF", False), ("on", True), ("", True)])
def test_graph_switch(tmp_path: Path, value: str, expected: bool) -> None:
    assert Config.from_env(tmp_path, {"SLUICE_GRAPH": value}).graph is expected


def test_graph_switch_refuses_other_words(tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match="SLUICE_GRAPH"):
        Config.from_env(tmp_path, {"SLUICE_GRAPH": "maybe"})


def test_a_line_that_is_no_assignment_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nnot an assignment\n")
    with pytest.raises(DevstackError, match="line 2"):
        dotenv.read(tmp_path / ".env")


def test_written_values_are_read_back(tmp_path: Path) -> None:
    values = {"A": "postgresql://u:p%40@h/db?x=1", "B": "a=b#c", "C": ""}
    values |= {"D": "a #b", "E": " spaces ", "F": '"quoted"', "G": "'", "H": '"a" #', "I": "\\", "J": '""'}
    dotenv.write_private(tmp_path / "file.env", values, "heading")
    assert dotenv.read(tmp_path / "file.env") == values
    assert (tmp_path / "file.env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("value", ["two\nlines", "ended\n", "two\u2028lines", "\r"])
def test_a_line_break_is_refused_before_anything_is_written(tmp_path: Path, value: str) -> None:
    with pytest.raises(DevstackError, match="SECRET contains a line break"):
        dotenv.write_private(tmp_path / "file.env", {"SECRET": value}, "heading")
    assert list(tmp_path.iterdir()) == []
