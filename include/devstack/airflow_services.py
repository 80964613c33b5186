"""Airflow's processes: two API servers, scheduler, DAG processor and triggerer, after the database is prepared."""

import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from devstack import airflow_stamp
from devstack.config import LOCALHOST, Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.service import Command, Service, StartContext

INIT = "airflow-db"
HEARTBEAT_MAX_AGE_S = 60.0


def services(config: Config, credentials: Credentials) -> list[Service]:
    """All of Airflow, in order of its start."""
    ports = config.ports
    return [
        Service(
            name=INIT,
            needs=("postgres",),
            check=lambda: _check(config),
            prepare=lambda context: _prepare_database(config, credentials, context),
            one_shot=True,
            ready=lambda: _is_prepared(config, credentials),
            ready_timeout_s=300.0,
        ),
        _server(
            config, "airflow-api-execution", "execution", {"SLUICE_PORT_AIRFLOW_EXECUTION": ports.airflow_execution}
        ),
        _server(config, "airflow-api", "core", {"SLUICE_PORT_AIRFLOW": ports.airflow}),
        _worker(config, credentials, "airflow-scheduler", "SchedulerJob", "scheduler", "--skip-serve-logs"),
        _worker(config, credentials, "airflow-dag-processor", "DagProcessorJob", "dag-processor"),
        _worker(config, credentials, "airflow-triggerer", "TriggererJob", "triggerer", "--skip-serve-logs"),
    ]


def _server(config: Config, name: str, app: str, ports: Mapping[str, int]) -> Service:
    (port,) = ports.values()
    # Stopped tasks report to the execution API server, so it stops after the scheduler.
    users = ("airflow-scheduler", "airflow-triggerer", "airflow-dag-processor") if app == "execution" else ()
    health = {"core": "/api/v2/monitor/health", "execution": "/execution/health"}[app]
    words = ("api-server", "--apps", app, "--host", LOCALHOST, "--port", str(port))
    return Service(
        name=name,
        needs=("postgres", INIT),
        reads_environment=True,
        ports=ports,
        prepare=lambda context: _prepare(config, words),
        ready=lambda: _serves(f"http://{LOCALHOST}:{port}{health}"),
        ready_timeout_s=240.0,
        stop_signals_to_all=True,
        stop_timeout_s=20.0,
        stops_after=users,
    )


def _worker(config: Config, credentials: Credentials, name: str, job_type: str, *words: str) -> Service:
    def ready() -> bool:
        """True after a heartbeat since its start; an older one may be its predecessor's."""
        age_s = airflow_stamp.last_heartbeat_age_s(credentials.urls["SLUICE_AIRFLOW_DATABASE_URL"], job_type)
        pid_file = config.home / "run" / f"{name}.pid"
        if age_s is None or not pid_file.exists():
            return False
        return age_s < min(HEARTBEAT_MAX_AGE_S, time.time() - pid_file.stat().st_mtime)

    return Service(
        name=name,
        needs=("postgres", INIT),
        reads_environment=True,
        prepare=lambda context: _prepare(config, words),
        ready=ready,
        ready_timeout_s=240.0,
        # The tasks get the signals, too, because the scheduler would wait for them. On TERM a task runs its on_kill
        # and may continue. INT ends it as a failed try, which it still reports, so it is retried after the next start.
        stop_signals=(signal.SIGTERM, signal.SIGINT),
        stop_signals_to_all=True,
        stop_timeout_s=6.0,
    )


def _check(config: Config) -> None:
    if not config.dags_folder.is_dir():
        raise DevstackError(f"There is no DAG folder {config.dags_folder}. Create it or correct SLUICE_DAGS_FOLDER.")
    if not _settings_file(config).is_file():
        raise DevstackError(
            f"There is no {_settings_file(config)}, which has Airflow's connections and pools. Restore it."
        )


def _settings_file(config: Config) -> Path:
    return config.root / "airflow_settings.yaml"


def _prepare(config: Config, words: tuple[str, ...]) -> Command:
    folder = config.home / "airflow"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("airflow-*.pid"):
        stale.unlink(missing_ok=True)
    return Command((sys.executable, "-m", "airflow", *words), folder)


def _prepare_database(config: Config, credentials: Credentials, context: StartContext) -> Command | None:
    folder = config.home / "airflow"
    folder.mkdir(parents=True, exist_ok=True)
    if _is_prepared(config, credentials):
        return None
    stamp = airflow_stamp.expected(config, credentials, _settings_file(config))
    context.tell(f"{INIT}: preparing Airflow's database, administrator, connections and pools")
    argv = (sys.executable, "-m", "devstack.airflow_init", str(_settings_file(config)))
    return Command(argv, folder, {"DEVSTACK_STAMP": stamp})


def _is_prepared(config: Config, credentials: Credentials) -> bool:
    stamp = airflow_stamp.expected(config, credentials, _settings_file(config))
    return airflow_stamp.read(credentials.urls["SLUICE_AIRFLOW_DATABASE_URL"]) == stamp


def _serves(url: str) -> bool:
    """Returns whether the URL answers with JSON; for unknown paths Airflow answers with the page of its UI."""
    try:
        reply = httpx.get(url, timeout=5.0)
        return reply.is_success and isinstance(reply.json(), dict)
    except (httpx.HTTPError, ValueError):
        return False
