"""A dry run of `sluice_ingest` ends after its plan, and the tasks that follow do not fail."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.exceptions import AirflowSkipException

from sluice.airflow import dependencies, ingest, xcom
from sluice.errors import BadRequest, Forbidden
from sluice.model.grants import Grant
from sluice.sources.schemes import reader_for
from sluice.testing.keyring import MemoryKeyring
from support.ledger_rows import LedgerDatabase
from support.swapping import wired

ANN = SimpleNamespace(dag_id="sluice_ingest", run_id="m", triggering_user_name="ann", run_type=DagRunType.MANUAL)


class TaskInstance:
    """Keeps what a task pushes."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, task_ids: str, key: str) -> Any:
        return self.pushed.get(key)


@pytest.fixture
def sluice(db: LedgerDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    db.ledger.grants.add(Grant("ann", "default", frozenset({"*"}), may_write=True))
    built = wired(
        ledger=db.ledger,
        catalog=db.catalog,
        keyring=MemoryKeyring(),
        reader=lambda spec, since=None, dry=False: reader_for(spec, max_bytes=1000, roots=[tmp_path]),
        vectors=None,
        graph=None,
        max_shrink=0.5,
        max_source_documents=100,
        file_roots=str(tmp_path),
    )

    @contextmanager
    def opened(least_lease_s: float) -> Iterator[Any]:
        yield built

    monkeypatch.setattr(dependencies, "opened", opened)
    return built


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "owls.md").write_text("# Owls\n\nThe barn owl hunts voles.\n")
    saved = dict.fromkeys(("access_groups", "retention_days", "include", "exclude"))
    limits = dict.fromkeys(("batch_size", "max_documents", "max_tokens", "max_cost", "replay"))
    approvals = {"approve_shrink": False, "approve_hiding": False}
    named = {"source": tmp_path.as_uri(), "collection": "docs", "tenant": "default", "mode": "incremental"}
    return {**named, **saved, **limits, **approvals, "dry_run": True}


def test_a_dry_run_ends_after_its_plan(
    sluice: Any, db: LedgerDatabase, params: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    ti = TaskInstance()
    with caplog.at_level(logging.INFO):
        assert ingest.plan(params, ANN, ti) == []
    assert ti.pushed[xcom.DRY_RUN]["documents"]["new"] == 1
    assert ti.pushed["note"].startswith("1 documents seen: 1 new") and xcom.RUN not in ti.pushed
    assert "sluice: Dry run of " in caplog.text and "an estimate from bytes" in caplog.text
    with pytest.raises(AirflowSkipException, match="dry run"):
        ingest.finish(ti, {}, None, None)
    ingest.close(ti)
    ingest.failed({"ti": ti, "exception": ValueError("x")})
    assert sluice.ledger.collections.generations() == [] and db.select("SELECT run_id FROM runs") == []


def test_a_dry_run_asks_for_the_same_rights(sluice: Any, params: dict[str, Any]) -> None:
    with pytest.raises(Forbidden, match="may not write to tenant others"):
        ingest.plan({**params, "tenant": "others"}, ANN, TaskInstance())


def test_a_replay_has_no_dry_run(sluice: Any, params: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="Leave out dry_run or replay"):
        ingest.plan({**params, "replay": []}, ANN, TaskInstance())
