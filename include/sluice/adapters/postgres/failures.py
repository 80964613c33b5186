"""Translates PostgreSQL's errors into the project's: Transient if a retry helps, else Terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Engine, exc, text

from sluice.errors import BadRequest, Slow, SluiceError, Terminal, Transient, Unavailable

_RETRY = {
    "40001": "another transaction changed the same rows (serialization failure)",
    "40P01": "the transaction and another one waited for each other (deadlock)",
    "55P03": "another transaction held a lock for too long",
    "55006": "the object is in use",
    "25006": "the server is read-only (a standby, or switching over)",
}
# Classes of SQLSTATE (postgresql.org/docs/18/errcodes-appendix.html): connection, resources, operator, system.
_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")
_LARGER_POOL = "Try again when it has less load, or set a larger SLUICE_POOL_SIZE."


@contextmanager
def translated(dependency: str = "PostgreSQL (ledger)") -> Iterator[None]:
    """Translates errors of SQLAlchemy and psycopg into Unavailable, Slow, Transient, Terminal or BadRequest."""
    try:
        yield
    except exc.TimeoutError as error:
        raise Slow(dependency, "all pooled connections stayed in use", _LARGER_POOL) from error
    except exc.DBAPIError as error:
        raise _translate(dependency, error.orig, error.connection_invalidated) from error
    except exc.SQLAlchemyError as error:
        raise Terminal(f"{dependency} could not be used: {error}. Nothing was written.") from error
    except psycopg.Error as error:
        raise _translate(dependency, error, False) from error
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"{dependency} can neither store nor look up {error.object[:200]!r}: it is not UTF-8. Nothing was written. "
            "Correct the name; in a URI write such bytes as %XX."
        ) from error


def ping(engine: Engine, dependency: str) -> str:
    """Returns the server's version. Raises Unavailable on any failure."""
    try:
        with translated(dependency), engine.connect() as connection:
            return str(connection.execute(text("SHOW server_version")).scalar_one())
    except Unavailable:
        raise
    except SluiceError as error:
        raise Unavailable(dependency, str(error)) from error


def _translate(dependency: str, error: BaseException | None, disconnected: bool) -> SluiceError:
    state = getattr(error, "sqlstate", None) or ""
    detail = _detail(error)
    if state in _RETRY:
        return Transient(f"{dependency}: {_RETRY[state]}. Nothing was written; the call will be retried.")
    if state == "57014":
        return Slow(dependency, "a statement exceeded its time limit")
    if disconnected or state[:2] in _UNAVAILABLE_CLASSES:
        return Unavailable(dependency, detail)
    if not state and isinstance(error, psycopg.OperationalError):
        return Unavailable(dependency, detail)
    if state in ("42P01", "42703", "3F000"):
        return Terminal(f"{dependency} lacks a table or column of this release ({detail}). Run `sluice migrate`.")
    if state == "42501":
        return Terminal(
            f"{dependency} denies access to this role ({detail}). Run `sluice migrate`, which grants the privileges."
        )
    return Terminal(f"{dependency} rejected the statement ({detail}). Nothing was written.")


def _detail(error: BaseException | None) -> str:
    """Returns the first line of the message: later lines may contain values of rows."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
