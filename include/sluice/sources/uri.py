"""Understands source URIs: scheme, canonical spelling, name in lineage, place, and the folders that may be named.

Each scheme is described by a `Scheme` in the module that implements it; `SCHEMES` names that module. It is imported
only when a URI of its scheme is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote_from_bytes, unquote, unquote_to_bytes, urlsplit

from sluice.errors import BadRequest
from sluice.model.text import is_storable

# Scheme → its `Scheme`, `<module of this package>:<name>`. Messages list the schemes in this order.
SCHEMES = {
    "file": "file:SCHEME",
    "jsonl": "jsonl:SCHEME",
    "s3": "s3:SCHEME",
    "https": "web.urls:HTTPS",
    "http": "web.urls:HTTP",
    "git+file": "git.address:FILE",
    "git+https": "git.address:HTTPS",
    "postgresql": "rows:SCHEME",
    "uploads": "uploads:SCHEME",
}


def dataset_by_host(parts: SplitResult) -> tuple[str, str]:
    """Returns `<scheme>://<host, connection or tenant>` and the table or path. Of a query only a table is used: other
    parameters may hold a token."""
    host = parts.netloc.rpartition("@")[2]
    table = dict(parse_qsl(parts.query)).get("table")
    return f"{parts.scheme}://{host}" if host else parts.scheme, table or unquote(parts.path) or "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """Properties of the URIs of one scheme."""

    reader: str  # `<module of this package>:<class>`; called as `Reader(spec, context)`
    example: str = ""  # for messages; empty: not shown
    canonical: Callable[[str], str] = str  # one spelling per place; an invalid URI stays
    dataset: Callable[[SplitResult], tuple[str, str]] = dataset_by_host  # OpenLineage's namespace and name
    # (host, path in bytes) → kind and path of the place for rules; None: no rules apply to this scheme
    place: Callable[[str, bytes], tuple[str, bytes]] | None = None
    whole: bool = False  # always read as a whole, so that no file can be left out


def place_below(kind: str, host: str, path: bytes) -> tuple[str, bytes]:
    """Returns a place that begins with a host, a bucket or a connection."""
    return kind, (os.fsencode(host) + b"/" + path).rstrip(b"/")


def scheme_of(uri: str) -> Scheme | None:
    """Returns the scheme of the URI, or None if it is unknown."""
    name, separator, _ = uri.strip().partition("://")
    return _scheme(name.lower()) if separator and name.lower() in SCHEMES else None


def check_scheme(uri: str) -> Scheme:
    """Returns the URI's scheme. Raises BadRequest; the message does not repeat a password."""
    name, separator, rest = uri.partition("://")
    name = name.lower()
    if separator and "@" in rest.partition("/")[0]:
        raise BadRequest(
            f"The {name}:// source has a login in its URI. A URI is stored and shown, so it must not hold one: "
            "remove it, and store the login in a connection."
        )
    if not separator or name not in SCHEMES:
        shown = f"{name}://" if separator else repr(uri[:80])
        *examples, last = filter(None, (_scheme(known).example for known in SCHEMES))
        raise BadRequest(
            f"{shown} is not a source that Sluice can read. Allowed are {', '.join(examples)} and {last}; "
            "a path in the file system starts with three slashes."
        )
    try:
        uri_parts(uri)
    except ValueError as error:
        raise BadRequest(
            f"The {name}:// source cannot be understood: its host, its port or a character in it is not one that a "
            "URI can have. Write such characters as %XX. Nothing was read."
        ) from error
    return _scheme(name)


def canonical(uri: str) -> str:
    """Returns one spelling per place, so that an extra slash or a missing escape does not create another source.
    Unknown and invalid URIs stay as they are.

    Raises BadRequest if the URI holds characters that cannot be stored.
    """
    check_uri(uri)
    try:
        uri_parts(uri.strip())
    except ValueError:
        return uri  # its reader rejects it
    scheme = scheme_of(uri)
    return scheme.canonical(uri) if scheme else uri


def dataset_name(uri: str) -> tuple[str, str]:
    """Returns (namespace, name) by the OpenLineage naming rules (https://openlineage.io/docs/spec/naming)."""
    scheme = scheme_of(uri)
    return (scheme.dataset if scheme else dataset_by_host)(urlsplit(uri))


def imported(name: str) -> object:
    """Imports an object by `<module of this package>:<name>`."""
    module, _, attribute = name.partition(":")
    attribute_value: object = getattr(import_module(f"sluice.sources.{module}"), attribute)
    return attribute_value


@cache
def _scheme(name: str) -> Scheme:
    scheme = imported(SCHEMES[name])
    assert isinstance(scheme, Scheme)
    return scheme


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


def path_scheme(reader: str, example: str) -> Scheme:
    """Creates the scheme of documents in the file system."""
    return Scheme(
        reader=reader,
        example=example,
        canonical=_canonical_path,
        dataset=lambda parts: ("file", unquote(parts.path)),
        place=path_place,
    )


def _canonical_path(uri: str) -> str:
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
