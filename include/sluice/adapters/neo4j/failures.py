"""Translates errors of Neo4j's driver into the project's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neo4j.exceptions import AuthError, ClientError, ConfigurationError, DriverError, Neo4jError

from sluice.errors import TRY_AGAIN, Slow, SluiceError, Terminal, Unavailable

# Ends of codes of transactions that the server ended because they took too long, or waited too long for a lock.
_TOOK_TOO_LONG = ("Terminated", "TransactionTimedOut", "TransactionTimedOutClientConfiguration", "LockClientStopped")


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Translates a failure of the body's call to Neo4j into Unavailable, Slow or Terminal; `what` names the call."""
    try:
        yield
    except AuthError as error:
        raise Terminal(
            f"Neo4j refused the login ({what}): {error.message or error}. Check SLUICE_NEO4J_USER and "
            "SLUICE_NEO4J_PASSWORD."
        ) from error
    except ConfigurationError as error:
        raise Terminal(
            f"Neo4j's address is invalid ({error}). Set SLUICE_NEO4J_URI to a URI such as bolt://host:7687."
        ) from error
    except Neo4jError as error:
        raise _failed(what, error) from error
    except (DriverError, OSError) as error:
        raise Unavailable("neo4j", f"{what}: {type(error).__name__} {error}") from error


def _failed(what: str, error: Neo4jError) -> SluiceError:
    """Returns the project's error for an answer of the server. The transaction was rolled back."""
    code = error.code or ""
    if code.endswith(_TOOK_TOO_LONG):
        return Slow("neo4j", f"{what}: {code}")
    if error.is_retryable():
        return Unavailable("neo4j", f"{what}: {code} {error.message}", TRY_AGAIN)
    if isinstance(error, ClientError):
        return Terminal(
            f"Neo4j rejected the request ({what}): {code} {error.message}. The transaction was rolled back."
        )
    return Unavailable("neo4j", f"{what}: {code} {error.message}")
