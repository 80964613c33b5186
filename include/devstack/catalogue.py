"""All services of a stack, and their names on the command line."""

from collections.abc import Sequence

from devstack import airflow_services, marquez, neo4j_server, postgres, qdrant, valkey_server
from devstack.config import Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.service import Service

ALL = "all"
ENGINES = "engines"
AIRFLOW = "airflow"
# The databases that are on the stack's own server unless their URL is set.
DATABASE_SETTINGS = {"SLUICE_DATABASE_URL", "SLUICE_KEYS_DATABASE_URL", "SLUICE_AIRFLOW_DATABASE_URL"}


def services(config: Config, credentials: Credentials) -> list[Service]:
    """All services; each comes after those that it needs."""
    needs_postgres = not credentials.external >= DATABASE_SETTINGS or marquez.starts(config, credentials)
    return [
        postgres.service(config, credentials, needs_postgres),
        valkey_server.service(config, credentials),
        qdrant.service(config, credentials),
        neo4j_server.service(config, credentials),
        *marquez.services(config, credentials),
        *airflow_services.services(config, credentials),
    ]


def select(services: Sequence[Service], names: Sequence[str]) -> list[Service]:
    """The named services and those that they need, in order of their start. No name means all.

    Raises DevstackError for a name that no service has.
    """
    known = {service.name: service for service in services}
    groups = {
        ALL: list(known),
        ENGINES: [name for name in known if not name.startswith(AIRFLOW)],
        AIRFLOW: [name for name in known if name.startswith(AIRFLOW)],
        "marquez": [name for name in known if name.startswith("marquez")],
    }
    wanted: set[str] = set()
    pending = [single for name in (names or [ALL]) for single in groups.get(name, [name])]
    while pending:
        name = pending.pop()
        if name not in known:
            raise DevstackError(f"There is no service {name!r}. Choose from: {', '.join([*groups, *known])}.")
        if name not in wanted:
            wanted.add(name)
            pending.extend(known[name].needs)
    return [service for service in services if service.name in wanted]
