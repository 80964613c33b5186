"""The dependencies of a task, built from Airflow's connections and variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluice.ports.tools import Tools
    from sluice.settings import Settings


@contextmanager
def opened() -> Iterator[tuple[Tools, Settings]]:
    from airflow.sdk import ObjectStoragePath

    from sluice.airflow.connections import settings_from_airflow, source_connection
    from sluice.wiring import build

    settings = settings_from_airflow()
    tools = build(settings, root=ObjectStoragePath(settings.artefacts), connections=source_connection)
    try:
        yield tools, settings
    finally:
        tools.close()
