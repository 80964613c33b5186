"""Parts of URIs: how they are split, checked and spelled, and the folders that may be named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, quote_from_bytes, unquote_to_bytes, urlsplit

from sluice.errors import BadRequest
from sluice.model.text import is_storable

# --- parts ---------------------------------------------------------------------------------------------------


def check_uri(uri: str) -> None:
    """Raises BadRequest if the URI holds characters that cannot be stored or looked up. A shell passes file names that
    are not UTF-8 in this form."""
    if not is_storable(uri):
        raise BadRequest(
            f"The URI {uri[:200]!r} holds NUL or bytes that are not UTF-8. Nothing was read. Write each such byte as "
            "%XX: the byte FF as %FF."
        )


def ascii_host(host: str) -> str:
    """Returns the host name as in DNS. Raises ValueError."""
    host = host.lower().rstrip(".")
    return host if host.isascii() else host.encode("idna").decode("ascii")


def uri_parts(uri: str) -> SplitResult:
    """Splits a URI. Raises ValueError for every error in it; `urlsplit` alone reports some only when a part is used."""
    parts = urlsplit(uri)
    if not is_storable(uri) or (parts.port is not None and not parts.hostname):  # reading the port checks it
        raise ValueError("NUL, half of a surrogate pair, or a port without a host")
    return parts


# --- paths in the file system --------------------------------------------------------------------------------


def canonical_path(uri: str) -> str:
    """Returns `scheme:///path` without `.`, `..` and repeated slashes; escapes have one form."""
    scheme, _, rest = uri.strip().partition("://")
    host, _, path = rest.partition("/")
    if host.lower() not in ("", "localhost"):
        return uri
    named = os.path.normpath(b"/" + unquote_to_bytes(path).lstrip(b"/"))
    return f"{scheme.lower()}://{quote_from_bytes(named)}"


def path_place(host: str, path: bytes) -> tuple[str, bytes]:
    """Resolves links. An invalid path stays as it is, and its reader rejects it."""
    named = b"/" + path
    return "file", named if b"\0" in named else os.path.realpath(named)


def check_root(uri: str, roots: Sequence[Path]) -> Path:
    """Resolves links in the path of a file:// or jsonl:// URI. Raises BadRequest that lists the allowed folders."""
    check_uri(uri)
    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise BadRequest(f"A {scheme}:// URI starts with three slashes: {scheme}:///folder. Nothing was read.")
    named = unquote_to_bytes(slash + path)
    if b"\0" in named:
        raise BadRequest(f"The {scheme}:// URI holds a NUL character. Nothing was read.")
    if not roots:
        raise BadRequest(
            "No folder may be read yet. Set SLUICE_FILE_ROOTS to the allowed folders, with ':' between them."
        )
    resolved = Path(os.fsdecode(os.path.realpath(named)))
    if not any(resolved.is_relative_to(os.path.realpath(root)) for root in roots):
        allowed = ", ".join(str(root) for root in roots)
        raise BadRequest(
            f"{uri} is outside the folders that may be read. Allowed: {allowed}. "
            "Choose a path in one of them, or add its folder to SLUICE_FILE_ROOTS (for Airflow also: its variable "
            "sluice_file_roots)."
        )
    if not os.path.lexists(resolved):
        raise BadRequest(
            f"{uri} does not exist. Nothing was read or deleted; correct the path, or mount what is missing."
        )
    return resolved
