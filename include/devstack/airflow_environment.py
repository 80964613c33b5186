"""Airflow's settings for this stack, as AIRFLOW__* variables."""

import json

from devstack.config import LOCALHOST, Config
from devstack.credentials import Credentials

# Tasks write lineage to the ledger only. The API server forwards it to Marquez, so no task waits for Marquez.
LINEAGE = {
    "type": "composite",
    "continue_on_failure": True,
    "transports": {"ledger": {"type": "sluice.airflow.transport.LedgerTransport"}},
}
OWN_SECRETS = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET")


def variables(config: Config, credentials: Credentials) -> dict[str, str]:
    """All variables. An AIRFLOW__* line in `.env` overrides the value from here."""
    home, ports = config.home / "airflow", config.ports
    values = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(config.dags_folder),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(config.root / "plugins"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(config.airflow_parallelism),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        # Tasks use a separate API server, so that searches cannot delay their heartbeats.
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{LOCALHOST}:{ports.airflow_execution}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": credentials.urls["SLUICE_AIRFLOW_DATABASE_URL"],
        "AIRFLOW__API__BASE_URL": f"http://{LOCALHOST}:{ports.airflow}",
        "AIRFLOW__API__WORKERS": "1",
        # Seconds until new files in dags/ are visible; Airflow's default is five minutes.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "sluice",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(LINEAGE),
        # Seconds until a task's event is dropped; Airflow's default of ten loses events on a busy machine.
        "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "60",
        **{name: credentials.secrets[name] for name in OWN_SECRETS},
        **_metrics(config),
    }
    return {**values, **config.airflow_overrides}


def _metrics(config: Config) -> dict[str, str]:
    host = config.given("SLUICE_STATSD_HOST")
    if not host:
        return {"AIRFLOW__METRICS__STATSD_ON": "False"}
    return {
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": host,
        "AIRFLOW__METRICS__STATSD_PORT": config.given("SLUICE_STATSD_PORT") or "8125",
        "AIRFLOW__METRICS__STATSD_PREFIX": "airflow",
    }
