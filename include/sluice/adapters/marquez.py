"""Marquez, where lineage can be looked at. Nothing in Sluice waits for it."""

from __future__ import annotations

from sluice.errors import Unavailable


def ping(url: str, timeout_s: float) -> str:
    """How many namespaces it knows (its API tells no version). Raises Unavailable."""
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v1/namespaces", timeout=timeout_s)
        answer.raise_for_status()
        return f"{len(answer.json()['namespaces'])} namespaces"
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise Unavailable("Marquez", f"{type(error).__name__} at {url}") from error
