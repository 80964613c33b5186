"""A source's connection, by its id: from the environment or Airflow, and only for those who may use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluice.access.connections import allowed_connections
from sluice.airflow.connections import source_connection
from sluice.errors import BadRequest, Forbidden
from sluice.model.source import SourceSpec
from sluice.ports.readers import Connection
from sluice.settings import Settings
from sluice.wiring.readers import environment_connection

REPORTS = "aws://AKIA:s%2Fe%40c%20ret@/?endpoint_url=http%3A%2F%2Fminio%3A9000&region_name=eu-1"


def test_a_connection_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_CONNECTION_MY_REPORTS", REPORTS)
    result = environment_connection("my-reports")
    assert (result.login, result.password) == ("AKIA", "s/e@c ret")
    assert result.extra == {"endpoint_url": "http://minio:9000", "region_name": "eu-1"}
    assert "s/e@c" not in repr(result) and "minio" not in repr(result)
    monkeypatch.setenv("SLUICE_CONNECTION_DB", 'postgresql://u@h:5433/d%20b?__extra__={"a": 1}&sslmode=require')
    assert environment_connection("db") == Connection("h", 5433, "u", "", "d b", {"a": 1, "sslmode": "require"})


def test_or_from_a_file_or_dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("aws://a:filed@/\n")
    monkeypatch.setenv("SLUICE_CONNECTION_A_FILE", str(tmp_path / "secret"))
    assert environment_connection("a").password == "filed"
    (tmp_path / ".env").write_text("SLUICE_CONNECTION_B=aws://a:dot$HOME@/\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    assert environment_connection("b").password == "dot$HOME"


@pytest.mark.parametrize("uri", ["AKIA:s3cret@host", "aws://a:s3cret@h:port/", 'x://a:s3cret@h/?__extra__={"b"', "x:"])
def test_what_cannot_be_understood_is_not_repeated(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("SLUICE_CONNECTION_A", uri)
    with pytest.raises(BadRequest, match="percent-encoded") as caught:
        environment_connection("a")
    assert "s3cret" not in str(caught.value) and caught.value.__cause__ is None


def test_a_missing_one_says_where_to_make_it() -> None:
    with pytest.raises(BadRequest, match="SLUICE_CONNECTION_<ID>"):
        environment_connection("nowhere")


def test_under_airflow_its_own_connection_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"endpoint_url": "http://minio:9000", "verify": False}
    airflow = {"conn_type": "aws", "login": "key", "password": "p", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_REPORTS", json.dumps(airflow))
    monkeypatch.setenv("SLUICE_CONNECTION_REPORTS", "aws://other:x@/")
    monkeypatch.setenv("SLUICE_CONNECTION_SECOND", "aws://second:x@/")
    assert source_connection("reports") == Connection("", None, "key", "p", "", extra)
    assert source_connection("second").login == "second"


def test_who_may_use_which() -> None:
    held = {"open": Connection(), "ours": Connection(extra={"tenants": "acme, other"})}
    of_acme, of_default = (
        allowed_connections(held.__getitem__, SourceSpec("s3://b/", "docs", tenant, ()))
        for tenant in ("acme", "default")
    )
    assert of_acme("ours") is held["ours"] and of_default("open") is held["open"]
    with pytest.raises(Forbidden, match="tenants"):
        of_default("ours")
    for own in ("sluice_ledger", "Sluice_Keys", "sluice-keys"):
        with pytest.raises(Forbidden, match="used by Sluice itself"):
            of_acme(own)
    for odd in ("", "a b", "../x", "a" * 201):
        with pytest.raises(BadRequest, match="is not a connection id"):
            of_acme(odd)


@pytest.mark.parametrize(
    ("groups", "may"),
    [((), False), (("hr",), True), (("hr", "board"), True), (("hr", "all"), False), (("all",), False)],
)
def test_a_connection_may_be_for_groups(groups: tuple[str, ...], may: bool) -> None:
    """What is read through it is for some of them and for nobody else."""
    held = {"of_groups": Connection(extra={"groups": "hr, board"})}
    use = allowed_connections(held.__getitem__, SourceSpec("s3://b/", "docs", "acme", groups))
    if may:
        assert use("of_groups") is held["of_groups"]
    else:
        with pytest.raises(Forbidden, match="`groups` say who may"):
            use("of_groups")


@pytest.mark.parametrize("name", ["tenant", "Tenants", "group", "access_groups", "accessGroups"])
def test_an_extra_that_is_nearly_one_of_ours_does_not_open_a_connection(name: str) -> None:
    held = {"mine": Connection(extra={name: "acme"})}
    with pytest.raises(BadRequest, match="Rename it"):
        allowed_connections(held.__getitem__, SourceSpec("s3://b/", "docs", "other", ()))("mine")
