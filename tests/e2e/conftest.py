"""Airflow runs for the tests of this folder only: beside all the others it would take half a core."""

from __future__ import annotations

import pytest

from devstack import Stack, catalogue, credentials, stopping

_started: list[Stack] = []


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop it after the last test of the folder; the engines go on."""
    used = getattr(item, "funcargs", {}).get("airflow_stack")
    if used is not None and not _started:
        _started.append(used.devstack)
    if _started and (nextitem is None or nextitem.path.parent != item.path.parent):
        config = _started.pop().config
        services = catalogue.services(config, credentials.load_or_make(config))
        stopping.stop(config, [service for service in services if service.name.startswith("airflow-")], print)
