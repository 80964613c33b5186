"""Airflow in this process: its metadata database on the session's Postgres, and none of its own processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.engines import EngineStack

ROOT = Path(__file__).resolve().parents[2]
USER = "dag_test"  # whom `dag.test()` names as the one who triggered the run


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that sources may lie in."""
    return tmp_path_factory.mktemp("roots")


@pytest.fixture(scope="module")
def dags(stack: EngineStack, roots: Path) -> Iterator[dict[str, Any]]:
    """The project's DAGs, ready for `dag.test()`. A scheduler would take their runs away, so none is started; the
    variables are set before Airflow opens its database, or it is told to open it anew."""
    if stack.devstack is None:
        pytest.skip("Airflow's tests need a stack of their own: unset SLUICE_TEST_STACK")
    stack.devstack.up(["airflow-db"], lambda line: print(line, file=sys.stderr))
    before = dict(os.environ)
    os.environ.update(stack.devstack.full_environment())
    os.environ["SLUICE_EMBEDDER"] = "hash:64"
    os.environ["SLUICE_GRAPH"] = "off"  # quicker; the end-to-end tests have it on
    os.environ["SLUICE_FILE_ROOTS"] = str(roots)
    from airflow import settings

    settings.configure_vars()  # type: ignore[no-untyped-call]
    settings.dispose_orm(do_log=False)
    settings.configure_orm()  # type: ignore[no-untyped-call]
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert bag.import_errors == {}
    yield dict(bag.dags)
    settings.dispose_orm(do_log=False)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def runnable() -> Callable[[Any], Any]:
    """Takes from a DAG what `dag.test()` cannot do: it looks for the deadline's row by the deadline itself, and builds
    a context for the DAG's own callback that a required param breaks. The tasks' callbacks stay."""

    def built(dag: Any) -> Any:
        assert dag.on_failure_callback and dag.deadline
        dag.on_failure_callback = dag.deadline = None
        dag.has_on_failure_callback = False
        return dag

    return built
