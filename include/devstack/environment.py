"""Environment variables with which the application uses this stack."""

import json
import os
from collections.abc import Mapping

from devstack import airflow_environment, dotenv
from devstack.config import Config
from devstack.credentials import Credentials
from devstack.processes import MARKER

SECRETS_FOR_THE_APP = (
    "SLUICE_ADMIN_USER",
    "SLUICE_ADMIN_PASSWORD",
    "SLUICE_QDRANT_API_KEY",
    "SLUICE_NEO4J_USER",
    "SLUICE_NEO4J_PASSWORD",
)
# A superuser of the database is for people and tests, never for the application.
NOT_FOR_THE_APP = ("SLUICE_POSTGRES_ADMIN_URL",)


def for_the_app(config: Config, credentials: Credentials) -> dict[str, str]:
    """Variables of the application, its tests and its command line: URLs, keys and folders."""
    values = {name: url for name, url in credentials.urls.items() if name not in NOT_FOR_THE_APP}
    values |= {name: credentials.secrets[name] for name in SECRETS_FOR_THE_APP if credentials.secrets[name]}
    values |= {
        "SLUICE_HOME": str(config.home),
        "SLUICE_GRAPH": "on" if config.graph else "off",
        "SLUICE_MASTER_KEY_FILE": str(credentials.master_key_file),
    }
    if not config.graph:
        values = {name: value for name, value in values.items() if not name.startswith("SLUICE_NEO4J_")}
    if config.given("SLUICE_QDRANT_BIN") and "SLUICE_QDRANT_URL" not in credentials.external:
        values["SLUICE_QDRANT_GRPC_PORT"] = str(config.ports.qdrant_grpc)
    elif config.given("SLUICE_QDRANT_GRPC_PORT") and "SLUICE_QDRANT_URL" in credentials.external:
        values["SLUICE_QDRANT_GRPC_PORT"] = config.settings["SLUICE_QDRANT_GRPC_PORT"]
    return values


def for_processes(config: Config, credentials: Credentials) -> dict[str, str]:
    """`for_the_app` and Airflow's own variables: all variables of the stack's processes."""
    app = for_the_app(config, credentials)
    return {**app, **airflow_environment.variables(config, credentials)}


def effective(config: Config, credentials: Credentials) -> dict[str, str]:
    """`for_processes` and all other settings of the application that are set, such as `SLUICE_FILE_ROOTS`."""
    variables = for_processes(config, credentials)
    ours = {*credentials.secrets, *credentials.urls}
    given = {name: value for name, value in config.settings.items() if name.startswith("SLUICE_")}
    return {**{name: value for name, value in given.items() if name not in ours}, **variables}


def write_for_the_command_line(config: Config, credentials: Credentials) -> None:
    """Writes `app.json` (0600) into the home, with which `sluice` finds this stack from any shell."""
    variables = effective(config, credentials)
    values = {
        name: value for name, value in variables.items() if name.startswith("SLUICE_") and name not in NOT_FOR_THE_APP
    }
    dotenv.write_private_text(config.home / "app.json", json.dumps(values, indent=2) + "\n")


def inherited(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment for a started process, with the settings of `.env`."""
    values = {name: value for name, value in config.settings.items() if name in environ or name.startswith("SLUICE_")}
    for name in ("PYTHONDONTWRITEBYTECODE", MARKER):
        # With PYTHONDONTWRITEBYTECODE each of Airflow's processes compiles thousands of modules at each start.
        values.pop(name, None)
    include = str(config.root / "include")
    others = [folder for folder in values.get("PYTHONPATH", "").split(os.pathsep) if folder and folder != include]
    return {**values, "PYTHONPATH": os.pathsep.join([include, *others]), "PYTHONUNBUFFERED": "1"}
