"""A source's URI: its scheme, its one spelling, its name in lineage, its place, and which folders it may name.

Each scheme is described by a `Scheme` in the module that knows it; `SCHEMES` says where. Those modules are imported
when a URI of their scheme is looked at, and not before.
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
    """`<scheme>://<host, connection or tenant>`, table or path. Of a query only a table is kept: anything else may hold
    a token."""
    host = parts.netloc.rpartition("@")[2]
    table = dict(parse_qsl(parts.query)).get("table")
    return f"{parts.scheme}://{host}" if host else parts.scheme, table or unquote(parts.path) or "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """What holds for the URIs of one scheme."""

    reader: str  # the class that reads it, `<module of this package>:<class>`; made as `Reader(spec, reach)`
    example: str = ""  # for messages; empty: it is not offered
    canonical: Callable[[str], str] = str  # one spelling a place; what cannot be understood stays as it is
    dataset: Callable[[SplitResult], tuple[str, str]] = dataset_by_host  # OpenLineage's namespace and name
    # (host, path in bytes) → kind and path of the place that rules are about; None: rules are about no such place
    place: Callable[[str, bytes], tuple[str, bytes]] | None = None
    whole: bool = False  # what is read holds every file, so that none can be left out


def place_below(kind: str, host: str, path: bytes) -> tuple[str, bytes]:
    """A place that a host, a bucket or a connection begins."""
    return kind, (os.fsencode(host) + b"/" + path).rstrip(b"/")


def scheme_of(uri: str) -> Scheme | None:
    """None where the URI has none that is known."""
    name, separator, _ = uri.strip().partition("://")
    return _scheme(name.lower()) if separator and name.lower() in SCHEMES else None


def check_scheme(uri: str) -> Scheme:
    """The URI's scheme. Raises BadRequest, and repeats no password."""
    name, separator, rest = uri.partition("://")
    name = name.lower()
    if separator and "@" in rest.partition("/")[0]:
        raise BadRequest(
            f"The {name}:// source carries a login in its URI. A URI is stored and shown, so it must not hold one: "
            "take it out, and keep the login in a connection."
        )
    if not separator or name not in SCHEMES:
        shown = f"{name}://" if separator else repr(uri[:80])
        *examples, last = filter(None, (_scheme(each).example for each in SCHEMES))
        raise BadRequest(
            f"{shown} is not a source that can be read. Allowed are {', '.join(examples)} and {last}; "
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
    """One spelling a place, so that a slash more or an escape less is no other source; other URIs as they are. Raises
    BadRequest where it holds what cannot be stored."""
    check_uri(uri)
    try:
        uri_parts(uri.strip())
    except ValueError:
        return uri  # refused by whoever is to read it
    scheme = scheme_of(uri)
    return scheme.canonical(uri) if scheme else uri


def dataset_name(uri: str) -> tuple[str, str]:
    """(namespace, name) of a source's URI by the OpenLineage naming rules (https://openlineage.io/docs/spec/naming)."""
    scheme = scheme_of(uri)
    return (scheme.dataset if scheme else dataset_by_host)(urlsplit(uri))


def imported(name: str) -> object:
    """`<module of this package>:<name>`."""
    module, _, attribute = name.partition(":")
    found: object = getattr(import_module(f"sluice.sources.{module}"), attribute)
    return found


@cache
def _scheme(name: str) -> Scheme:
    found = imported(SCHEMES[name])
    assert isinstance(found, Scheme)
    return found


# --- parts ---------------------------------------------------------------------------------------------------


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


# --- paths in the file system --------------------------------------------------------------------------------


def path_scheme(reader: str, example: str) -> Scheme:
    """Of documents that lie in the file system."""
    return Scheme(
        reader=reader,
        example=example,
        canonical=_canonical_path,
        dataset=lambda parts: ("file", unquote(parts.path)),
        place=path_place,
    )


def _canonical_path(uri: str) -> str:
    """`scheme:///path` without `.`, `..` and repeated slashes, escapes in one form."""
    scheme, _, rest = uri.strip().partition("://")
    host, _, path = rest.partition("/")
    if host.lower() not in ("", "localhost"):
        return uri
    named = os.path.normpath(b"/" + unquote_to_bytes(path).lstrip(b"/"))
    return f"{scheme.lower()}://{quote_from_bytes(named)}"


def path_place(host: str, path: bytes) -> tuple[str, bytes]:
    """Without links; one that cannot be a path stays, and is refused by its reader."""
    named = b"/" + path
    return "file", named if b"\0" in named else os.path.realpath(named)


def check_root(uri: str, roots: Sequence[Path]) -> Path:
    """The path that a file:// or jsonl:// URI names, links resolved. Raises BadRequest, listing what is allowed."""
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
