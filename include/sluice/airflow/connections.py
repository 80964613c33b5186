"""Settings under Airflow: addresses and logins come from Airflow connections, so that the UI and secrets backends work.

Connections: `sluice_ledger` and `sluice_keys` (postgres; the extra becomes the URL's query: `sslmode` and so on),
`sluice_qdrant` (http: schema = scheme, host, port, password = API key, extra `grpc_port`), `sluice_neo4j` (neo4j, extra
`scheme`), `sluice_redis` (redis, extra `scheme` and `db`; other extras become the query). Without a connection the
`SLUICE_*` setting applies. The variable `sluice_file_roots` adds to `SLUICE_FILE_ROOTS`, so that an administrator can
allow a folder without a restart; `sluice_source_rules` adds to `SLUICE_SOURCE_RULES`. A source's `connection=<id>` is
an Airflow connection of any type, else `SLUICE_CONNECTION_<ID>`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from sluice.access.source_rules import merged_rules
from sluice.ports import readers
from sluice.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Connection


def settings_from_airflow() -> Settings:
    """Returns the settings; Airflow's connections and variables named `sluice_…` replace those of the environment or,
    for roots and rules, add to them."""
    values: dict[str, Any] = {}
    for conn_id, setting in (("sluice_ledger", "database_url"), ("sluice_keys", "keys_database_url")):
        if database := _connection(conn_id):
            values[setting] = _url("postgresql+psycopg", database, database.schema or "", database.extra_dejson)
    if qdrant := _connection("sluice_qdrant"):
        values["qdrant_url"] = f"{qdrant.schema or 'http'}://{_place(qdrant)}"
        if qdrant.password:
            values["qdrant_api_key"] = qdrant.password
        if port := qdrant.extra_dejson.get("grpc_port"):
            values["qdrant_grpc_port"] = int(port)
    if neo4j := _connection("sluice_neo4j"):
        values["neo4j_uri"] = f"{neo4j.extra_dejson.get('scheme') or 'bolt'}://{_place(neo4j)}"
        values["neo4j_user"] = neo4j.login or "neo4j"
        values["neo4j_password"] = neo4j.password or ""
    if redis := _connection("sluice_redis"):
        options = dict(redis.extra_dejson)
        scheme, db = options.pop("scheme", None) or "redis", options.pop("db", None)
        values["redis_url"] = _url(scheme, redis, "" if db is None else str(db), options)
    if roots := _variable("sluice_file_roots"):
        values["file_roots"] = ":".join(filter(None, [Settings().file_roots, roots]))
    if rules := _variable("sluice_source_rules"):
        values["source_rules"] = merged_rules(Settings().source_rules, rules)
    return Settings(**values)


def source_connection(conn_id: str) -> readers.Connection:
    """The connection of a source; see `ports.readers.Connections`. Raises BadRequest."""
    from sluice.wiring.readers import environment_connection

    connection = _connection(conn_id)
    if connection is None:
        return environment_connection(conn_id)
    return readers.Connection(
        host=connection.host or "",
        port=connection.port,
        login=connection.login or "",
        password=connection.password or "",
        schema=connection.schema or "",
        extra=dict(connection.extra_dejson),
        dial=partial(_dial, connection) if connection.conn_type == "postgres" else None,
    )


def _dial(connection: Connection, **limits: Any) -> Any:
    """Connects through the provider's hook, so that libpq's parameters in the extra, and cloud tokens instead of a
    password (`iam`, `azure_conn_id`), work as in other DAGs. `limits` override the extra."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.sdk import Connection

    of_source = {"tenants", "groups", "cursor"}  # these, and saved queries, are not parameters of the driver
    extra = {
        name: value
        for name, value in connection.extra_dejson.items()
        if name not in of_source and not name.startswith("query.")
    }
    given = {
        name: getattr(connection, name) for name in ("conn_id", "conn_type", "host", "login", "password", "schema")
    }
    whole = Connection(**given, port=connection.port or 5432, extra=json.dumps({**extra, **limits}))
    return PostgresHook(connection=whole).get_conn()


def _variable(name: str) -> str | None:
    from airflow.sdk import Variable

    value = Variable.get(name, default=None)
    return str(value) if value else None


def _connection(conn_id: str) -> Connection | None:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None


def _url(scheme: str, connection: Connection, path: str, options: Mapping[str, Any]) -> str:
    login = quote(connection.login or "", safe="")
    if connection.password:
        login += f":{quote(connection.password, safe='')}"
    place = f"{login}@{_place(connection)}" if login else _place(connection)
    query = f"?{urlencode(options, safe='/', quote_via=quote)}" if options else ""
    return f"{scheme}://{place}" + (f"/{quote(path, safe='')}" if path else "") + query


def _place(connection: Connection) -> str:
    """host:port, or host alone if there is no port; an IPv6 address is in brackets."""
    host = connection.host or ""
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{connection.port}" if connection.port else host
