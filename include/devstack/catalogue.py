"""All parts of a stack, and their names on the command line."""

from collections.abc import Sequence

from devstack import airflow_parts, marquez, neo4j_server, postgres, qdrant, valkey_server
from devstack.config import Config
from devstack.credentials import Credentials
from devstack.errors import DevstackError
from devstack.part import Part

ALL = "all"
ENGINES = "engines"
AIRFLOW = "airflow"
# The databases that are on the stack's own server unless their URL is set.
DATABASE_SETTINGS = {"SLUICE_DATABASE_URL", "SLUICE_KEYS_DATABASE_URL", "SLUICE_AIRFLOW_DATABASE_URL"}


def parts(config: Config, credentials: Credentials) -> list[Part]:
    """All parts; each comes after those that it needs."""
    needs_postgres = not credentials.external >= DATABASE_SETTINGS or marquez.starts(config, credentials)
    return [
        postgres.part(config, credentials, needs_postgres),
        valkey_server.part(config, credentials),
        qdrant.part(config, credentials),
        neo4j_server.part(config, credentials),
        *marquez.parts(config, credentials),
        *airflow_parts.parts(config, credentials),
    ]


def select(parts: Sequence[Part], names: Sequence[str]) -> list[Part]:
    """The named parts and those that they need, in order of their start. No name means all.

    Raises DevstackError for a name that no part has.
    """
    known = {part.name: part for part in parts}
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
            raise DevstackError(f"There is no part {name!r}. Choose from: {', '.join([*groups, *known])}.")
        if name not in wanted:
            wanted.add(name)
            pending.extend(known[name].needs)
    return [part for part in parts if part.name in wanted]
