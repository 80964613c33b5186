"""The schemes of sources. To add one, write its module with a `Scheme` and a reader, and add a line to `SCHEMES`.

The module of a scheme is imported only when a URI of the scheme is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from sluice.errors import BadRequest
from sluice.sources.uri import canonical_path, check_uri, path_place, uri_parts

if TYPE_CHECKING:
    from sluice.model.source import SourceSpec
    from sluice.ports.readers import SourceReader
    from sluice.sources.context import SourceContext


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
    """Returns (namespace, name) by the OpenLineage naming rules (https://openlineage.io/docs/spec/naming).

    `uri`: canonical, as a saved source has it."""
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


def path_scheme(reader: str, example: str) -> Scheme:
    """Creates the scheme of documents in the file system."""
    return Scheme(
        reader=reader,
        example=example,
        canonical=canonical_path,
        dataset=lambda parts: ("file", unquote(parts.path)),
        place=path_place,
    )


def reader_for(spec: SourceSpec, context: SourceContext | None = None, **given: Any) -> SourceReader:
    """Returns the reader of `spec.uri`. It may use `context`, or a context made of `given`.

    Raises BadRequest if the scheme is unknown, the URI holds a password, or it lies outside the allowed places.
    """
    from sluice.sources.context import SourceContext

    reader_class: Any = imported(check_scheme(spec.uri).reader)
    reader: SourceReader = reader_class(spec, context or SourceContext(**given))
    return reader
