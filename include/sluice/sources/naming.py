"""What sources on the network are called: one spelling of a URI, and the dataset's name in lineage."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from sluice.sources.uri_parts import ascii_host, uri_parts

DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT = "/%:@!$&'()*+,;=~"  # what a path may hold as it is (RFC 3986, 3.3), and escapes that are there already


def canonical_s3(uri: str) -> str:
    """`s3://bucket/folder/?connection=x`: the prefix is a folder and ends with a slash, escapes are in one form."""
    parts = urlsplit(uri)
    if parts.fragment or not parts.netloc:
        return uri  # refused by the reader
    prefix = unquote(parts.path).removeprefix("/")
    folder = quote(prefix if not prefix or prefix.endswith("/") else f"{prefix}/")
    query = urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)))
    return f"s3://{parts.netloc}/{folder}" + (f"?{query}" if query else "")


def canonical_web(uri: str) -> str:
    """Host in lower case and ASCII, no default port, no fragment. What cannot be understood stays as it is, and is
    refused by the reader."""
    try:
        parts = uri_parts(uri)
        host, port = ascii_host(parts.hostname or ""), parts.port
    except ValueError:
        return uri
    if not host or "@" in parts.netloc:
        return uri
    scheme = parts.scheme.lower()
    place = f"[{host}]" if ":" in host else host
    if port and port != DEFAULT_PORTS.get(scheme):
        place += f":{port}"
    query = f"?{quote(parts.query, safe=_KEPT + '?')}" if parts.query else ""
    return f"{scheme}://{place}{quote(parts.path, safe=_KEPT) or '/'}{query}"


def dataset_name(uri: str) -> tuple[str, str]:
    """(namespace, name) of a source's URI by the OpenLineage naming rules (https://openlineage.io/docs/spec/naming).

    `file`, path · `s3://bucket`, key · `https://host`, path · `git+https://host`, path · `<scheme>://<connection or
    tenant>`, table or path. Of a query only a table is kept: anything else may hold a token.
    """
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme in ("file", "jsonl"):
        return "file", path
    table = dict(parse_qsl(parts.query)).get("table")
    if parts.scheme == "s3" or table:
        path = path.strip("/")
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else parts.scheme, table or path or "/"
