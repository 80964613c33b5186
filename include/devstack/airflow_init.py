"""Prepares Airflow's database in one process: schema, administrator, roles, connections, pools, variables.

Each `airflow` command needs seconds for its imports, so one process runs all commands through Airflow's parser. Run as
`python -m devstack.airflow_init SETTINGS_FILE` with the stack's environment.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devstack import airflow_settings, airflow_stamp


def main(settings_file: str) -> None:
    """Prepares the database, then writes a stamp into it, so that the next start can skip this."""
    settings = airflow_settings.load(Path(settings_file), os.environ)
    _airflow("db", "migrate")
    _administrator(os.environ["SLUICE_ADMIN_USER"], os.environ["SLUICE_ADMIN_PASSWORD"])
    _readers_find_the_plugin()
    _import("connections", settings.connections, "--overwrite")
    _import("pools", settings.pools)
    _import("variables", settings.variables)
    for name in settings.skipped:
        print(f"connection left out: {name}")
    airflow_stamp.write(os.environ["SLUICE_AIRFLOW_DATABASE_URL"], os.environ["DEVSTACK_STAMP"])


def _airflow(*words: str) -> None:
    from airflow.cli.cli_parser import get_parser

    arguments = get_parser().parse_args(list(words))
    arguments.func(arguments)


def _administrator(name: str, password: str) -> None:
    """Creates the account, or sets its password if it exists."""
    who = (f"--email={name}@localhost", "--firstname", "Sluice", "--lastname", "Administrator")
    account = (f"--username={name}", f"--password={password}")  # with `=`: either may start with a dash
    _airflow("users", "create", *account, "--role", "Admin", *who)
    _airflow("users", "reset-password", *account)


def _readers_find_the_plugin() -> None:
    """Lets more roles read the list of plugins. Airflow's UI needs it for the search page and shows "not found" without
    it. Sluice's own grants decide what the page then shows."""
    _airflow("roles", "add-perms", *airflow_stamp.PLUGIN_READERS, "--resource", "Plugins", "--action", "can_read")


def _import(kind: str, values: Mapping[str, Any], *options: str) -> None:
    if not values:
        return
    with tempfile.TemporaryDirectory(prefix="devstack-") as folder:  # mode 0700: it holds passwords
        file = Path(folder) / f"{kind}.json"
        file.write_text(json.dumps(values), encoding="utf-8")
        _airflow(kind, "import", str(file), *options)


if __name__ == "__main__":
    main(sys.argv[1])
