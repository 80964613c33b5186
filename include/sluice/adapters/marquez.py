"""Marquez, a viewer of lineage. Nothing in Sluice waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from sluice.errors import Terminal, Unavailable

SEND_TIMEOUT_S = 10.0
_LATER = frozenset({408, 425, 429})


class UnprocessableEvent(Unavailable):
    """Marquez answered 500: the server may be faulty, or it cannot process this event."""


def ping(url: str, timeout_s: float) -> str:
    """Returns the number of namespaces, because its API has no version. Raises Unavailable."""
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v1/namespaces", timeout=timeout_s)
        answer.raise_for_status()
        return f"{len(answer.json()['namespaces'])} namespaces"
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise Unavailable("Marquez", f"{type(error).__name__} at {url}") from error


def dataset_link(web_url: str | None, api_url: str | None, namespace: str, name: str) -> str | None:
    """Returns the address of a dataset's lineage: its page, or without `web_url` its answer of the API; None without
    both."""
    if web_url:
        return f"{web_url.rstrip('/')}/lineage/dataset/{quote(namespace, safe='')}/{quote(name, safe='')}"
    if api_url:
        node = quote(f"dataset:{namespace}:{name}", safe="")
        return f"{api_url.rstrip('/')}/api/v1/lineage?nodeId={node}&depth=20"
    return None


def sender(url: str, timeout_s: float = SEND_TIMEOUT_S) -> Callable[[dict[str, Any]], None]:
    """Returns a function that sends one OpenLineage event. It raises Terminal if Marquez rejects the event, Unavailable
    if Marquez cannot process it now."""
    import httpx

    client = httpx.Client(timeout=timeout_s)

    def send(event: dict[str, Any]) -> None:
        try:
            answer = client.post(f"{url.rstrip('/')}/api/v1/lineage", json=event)
        except httpx.HTTPError as error:
            raise Unavailable("Marquez", f"{type(error).__name__} at {url}") from error
        if answer.is_success:
            return
        detail = f"status {answer.status_code}: {answer.text[:300]}"
        if answer.is_client_error and answer.status_code not in _LATER:
            raise Terminal(f"Marquez rejected the event with {detail}")
        raise (UnprocessableEvent if answer.status_code == 500 else Unavailable)("Marquez", detail)

    return send
