"""Names that are not known are refused, with the nearest one; a run's conf is one place of that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sluice.airflow.dag_defaults import begin, check_conf, defaults
from sluice.errors import BadRequest
from sluice.model.spelling import unknown_names


def context(conf: dict[str, Any] | None) -> dict[str, Any]:
    dag = SimpleNamespace(dag_id="sluice_ingest", params={"source": 1, "access_groups": 2})
    return {"dag": dag, "dag_run": SimpleNamespace(conf=conf), "task": SimpleNamespace(is_teardown=False)}


def test_known_names_are_no_news() -> None:
    assert unknown_names(["a"], {"a", "b"}, "field") is None
    assert unknown_names([], set(), "field") is None


@pytest.mark.parametrize(("given", "meant"), [("acces_groups", "access_groups"), ("Tenant", "tenant"), ("zzz", None)])
def test_the_nearest_name_is_told(given: str, meant: str | None) -> None:
    output = unknown_names([given], {"access_groups", "tenant"}, "field")
    assert output and repr(given) in output and ("did you mean" in output) == (meant is not None)
    assert meant is None or f"did you mean {meant!r}" in output


@pytest.mark.parametrize(("known", "listed"), [(20, True), (21, False)])
def test_a_long_list_is_left_out_where_a_near_name_is_told(known: int, listed: bool) -> None:
    names = {f"name_{number}" for number in range(known)}
    assert ("Known: " in (unknown_names(["nam_7"], names, "field") or "")) is listed
    assert "Known: " in (unknown_names(["nam_7", "zzz"], names, "field") or ""), "one has no near name"


@pytest.mark.parametrize("conf", [None, {}, {"source": "file:///x"}, {"source": "x", "access_groups": []}])
def test_a_conf_of_params_is_taken(conf: dict[str, Any] | None) -> None:
    assert accepted(conf)
    assert not accepted({**(conf or {}), "other": None})


def accepted(conf: dict[str, Any] | None) -> bool:
    try:
        check_conf(context(conf))
    except BadRequest:
        return False
    return True


def test_a_misspelled_param_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"'acces_groups' \(did you mean 'access_groups'\?\).*Nothing was read"):
        check_conf(context({"source": "x", "acces_groups": ["hr"]}))
    from datetime import timedelta

    assert defaults(timedelta(1))["pre_execute"] is begin
    with pytest.raises(BadRequest, match="acces_groups"):
        begin(context({"source": "x", "acces_groups": ["hr"]}))
