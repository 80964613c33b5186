"""URIs in parts, and the one form of a host name."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from sluice.errors import BadRequest
from sluice.model.text import is_storable


def check_uri(uri: str) -> None:
    """Raises BadRequest where the URI holds what cannot be stored or looked up. A name of a file that is not UTF-8
    comes from a shell like that."""
    if not is_storable(uri):
        raise BadRequest(
            f"The URI {uri[:200]!r} holds NUL or bytes that are not UTF-8. Nothing was read. Write each such byte as "
            "%XX: the byte FF as %FF."
        )


def ascii_host(host: str) -> str:
    """As DNS has it. Raises ValueError."""
    host = host.lower().rstrip(".")
    return host if host.isascii() else host.encode("idna").decode("ascii")


def uri_parts(uri: str) -> SplitResult:
    """Raises ValueError for all that is wrong with it; `urlsplit` alone is silent on some of it until it is used."""
    parts = urlsplit(uri)
    if not is_storable(uri) or (parts.port is not None and not parts.hostname):  # asking for the port checks it
        raise ValueError("NUL, half of a surrogate pair, or a port without a host")
    return parts
