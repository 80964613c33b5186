"""Imports the modules of tasks once, in the scheduler, before LocalExecutor forks its workers from it.

A task is a fork of a worker and finds the modules in memory. Airflow freezes them (`gc.freeze`) when it forks, so that
workers share their pages. Modules that start Python threads on import are left out, because threads do not survive a
fork. (OpenBLAS of numpy and jemalloc of pyarrow start threads, and start them again in a fork.) After a change to this
code or to a library, restart the scheduler.
"""

from __future__ import annotations

import importlib
import logging
import sys
import time
from typing import Any

from airflow.listeners import hookimpl

log = logging.getLogger(__name__)

MODULES = (
    "airflow.providers.openlineage.api",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.execution_time.task_runner",
    "jinja2.ext",
    "pandas",
    "presidio_analyzer.predefined_recognizers",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "sluice.adapters.objects",
    "sluice.adapters.embedders.factory",
    "sluice.adapters.entities.phrases",
    "sluice.adapters.neo4j.graph",
    "sluice.adapters.postgres.catalog",
    "sluice.adapters.postgres.keyring",
    "sluice.adapters.postgres.ledger",
    "sluice.adapters.postgres.lineage",
    "sluice.adapters.postgres.vector_cache",
    "sluice.adapters.qdrant.index",
    "sluice.adapters.redis",
    "sluice.adapters.postgres.source_rows",
    "sluice.airflow.connections",
    "sluice.airflow.events",
    "sluice.airflow.facets",
    "sluice.airflow.ingest",
    "sluice.airflow.lineage",
    "sluice.airflow.dependencies",
    "sluice.airflow.permission",
    "sluice.airflow.task_log",
    "sluice.pipeline.checkpoints",
    "sluice.pipeline.finishing",
    "sluice.parsing.extractor",
    "sluice.parsing.isolation.process",
    "sluice.parsing.text",
    "sluice.wiring.application",
    "tokenizers",
    "upath",
)


class Preload:
    """A listener of Airflow. If an import fails here, the task that needs the module fails and reports it."""

    @hookimpl
    def on_starting(self, component: Any) -> None:
        from airflow.jobs.job import Job

        if isinstance(component, Job) and sys.argv[1:2] == ["scheduler"]:
            preload()


def preload() -> None:
    """Imports MODULES and Great Expectations. A failure is logged, never raised."""
    began_s = time.perf_counter()
    for module in MODULES:
        try:
            importlib.import_module(module)
        except Exception:
            log.warning("sluice: %s could not be preloaded; its tasks import it themselves", module, exc_info=True)
    try:
        from sluice.quality import expectations

        expectations.imported()
    except Exception:
        log.warning("sluice: Great Expectations could not be preloaded; its tasks import it themselves", exc_info=True)
    log.info("sluice: preloaded the modules of tasks in %.1f s", time.perf_counter() - began_s)
