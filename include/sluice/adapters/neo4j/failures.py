"""Translates errors of Neo4j's driver into the project's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neo4j.exceptions import AuthError, ClientError, ConfigurationError, DriverError, Neo4jError

from sluice.errors import Terminal, Unavailable


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Translates a failure of the body's call to Neo4j into Unavailable or Terminal; `what` names the call."""
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
    except ClientError as error:
        if error.is_retryable() or "Terminated" in (error.code or "") or "TimedOut" in (error.code or ""):
            raise Unavailable("neo4j", f"{what}: {error.message}") from error
        raise Terminal(
            f"Neo4j rejected the request ({what}): {error.code} {error.message}. The transaction was rolled back."
        ) from error
    except (Neo4jError, DriverError, OSError) as error:
        raise Unavailable("neo4j", f"{what}: {type(error).__name__} {error}") from error
