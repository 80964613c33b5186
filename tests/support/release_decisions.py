"""Every access decision over small sets of principals, places and actions, as tables that a release records.

What is asked stands in `QUESTIONS`: axes, and a function of one value of each. A table holds a character for each
combination, in the order of the axes; `outcomes` says what the characters mean. When functions move, only the imports
below change.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from sluice.access import ingestion
from sluice.access.borrowing import borrowable
from sluice.access.connections import allowed_connections
from sluice.access.places import place_of
from sluice.access.policy import may_repeat, readers, would_expose, writing
from sluice.access.source_rules import merged_rules, parse_rules
from sluice.airflow import permission
from sluice.api.auth import principal_of_request, reject_cross_site_posts
from sluice.errors import BadRequest, Forbidden, NotFound, SluiceError
from sluice.model.generation import Profile
from sluice.model.grants import Grant, Principal
from sluice.model.source import SourceSpec
from sluice.ports.readers import Connection
from support.api_service import World, client_of, named

REASONS = {Forbidden: "forbidden", NotFound: "not found", BadRequest: "invalid", SluiceError: "error"}
PROFILE = Profile("tokens:256:0", "hash:64", "off", 64)
NOWHERE = "/srv/no-such-folder"  # without links: a place is judged by its real path

Outcome = str
Axes = dict[str, Sequence[Any]]


@dataclass(frozen=True)
class Question:
    axes: Axes
    decide: Callable[..., Any]

    def table(self) -> dict[str, Any]:
        """Lines by the values of the first axis."""
        known: list[Outcome] = []
        lines: dict[str, str] = {}
        first, *others = self.axes.values()
        for value in first:
            result = [decided(self.decide, value, *each) for each in product(*others)]
            known += sorted(set(result) - set(known))
            lines[label(value)] = _packed("".join(_LETTERS[known.index(each)] for each in result))
        axes = [{name: list(map(label, values))} for name, values in self.axes.items()]
        return {"axes": axes, "outcomes": dict(zip(_LETTERS, known, strict=False)), "table": lines}


_LETTERS = string.ascii_letters + "!#$%&*+,-./:;<=>?@^_|~"


def decided(decide: Callable[..., Any], *values: Any) -> Outcome:
    try:
        output = decide(*values)
    except HTTPException as error:
        return str(error.status_code)
    except SluiceError as error:
        return next(reason for kind, reason in REASONS.items() if isinstance(error, kind))
    return "allowed" if output is None else json.dumps(output)


def label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def unpacked(line: str) -> str:
    """`a12b` → twelve times a, then b."""
    output, count = "", ""
    for each in line:
        if each.isdigit():
            count += each
        elif output and count:
            output, count = output + output[-1] * (int(count) - 1) + each, ""
        else:
            output += each
    return output + (output[-1] * (int(count) - 1) if count else "")


def _packed(line: str) -> str:
    output = ""
    while line:
        same = len(line) - len(line.lstrip(line[0]))
        output += line[0] + (str(same) if same > 1 else "")
        line = line[same:]
    return output


def changes(recorded: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """What is decided differently, each with its question."""
    if recorded["axes"] != now["axes"]:
        yield f"another question: {recorded['axes']} is now {now['axes']}"
        return
    others = [values for axis in recorded["axes"][1:] for values in axis.values()]
    for value, line in recorded["table"].items():
        before, after = unpacked(line), unpacked(now["table"][value])
        for each, old, new in zip(product(*others), before, after, strict=True):
            if (was := recorded["outcomes"][old]) != (output := now["outcomes"][new]):
                yield f"{(value, *each)} was {was} and is {output}"


# --- runs --------------------------------------------------------------------------------------------------------

# tenant, groups, may write
GRANTS: dict[str, tuple[str, list[str], bool]] = {
    "reads all": ("acme", ["*"], False),
    "writes, no group": ("acme", [], True),
    "writes birds": ("acme", ["birds"], True),
    "writes birds and fish": ("acme", ["birds", "fish"], True),
    "writes all": ("acme", ["*"], True),
    "writes all elsewhere": ("other", ["*"], True),
}
# uri, collection, groups: what is saved in tenant acme
SAVED: dict[str, tuple[str, str, list[str]]] = {
    "the same, for everyone": ("{uri}", "docs", []),
    "the same, for birds": ("{uri}", "docs", ["birds"]),
    "the same, for birds and secret": ("{uri}", "docs", ["birds", "secret"]),
    "the same in another collection, for secret": ("{uri}", "more", ["secret"]),
    "one above, for secret": ("{above}", "docs", ["secret"]),
    "one below, for secret": ("{uri}/below", "docs", ["secret"]),
    "one beside, for secret": ("{uri}-beside", "docs", ["secret"]),
}
ASKED: list[list[str] | None] = [None, [], ["birds"], ["fish"], ["birds", "fish"], ["cats"], ["*"]]
URIS = [f"file://{NOWHERE}/in", "s3://bucket/in", "https://example.org/in", "uploads://acme/docs", "jsonl:///srv/a/b"]
KINDS = ["manual", "scheduled", "asset_triggered", "operator_triggered", "backfill", "unheard_of", None]


def _run(grant: str, saved: str, uri: str, asked: list[str] | None) -> None:
    ledger = _ledger(grant, saved, uri)
    run = SimpleNamespace(triggering_user_name="ann", run_type="manual")
    ingestion.check(ledger.grants, ledger.sources, _spec(uri, groups=asked), **_who(run), roots=())


def _who(run: Any) -> dict[str, Any]:
    return {"user": permission.triggered_by(run), "kind": permission.run_kind(run)}


def _unattended(kind: str | None, saved: str, asked: list[str] | None, shrink: bool, more: str) -> None:
    ledger = _ledger(saved=saved, uri=URIS[0])
    ways: dict[str, dict[str, Any]] = {
        "nothing": {},
        "retention": {"retention_days": 3},
        "globs": {"include": ("*.md",)},
    }
    how = ways[more]
    run = SimpleNamespace(triggering_user_name=None, run_type=kind)
    spec = SourceSpec(URIS[0], "docs", "acme", None if asked is None else tuple(asked), **how)
    ingestion.check(ledger.grants, ledger.sources, spec, **_who(run), roots=(), approve_shrink=shrink)


def _repeat(grant: str, groups: list[str] | None) -> list[bool]:
    ledger = _ledger(grant)
    spec = _spec(URIS[0], groups=groups)
    held = writing(ledger.grants.of("ann"), "acme")
    return [ingestion.may_repeat(ledger.grants, "ann")(spec), may_repeat(held, spec), may_repeat(held, None)]


def _readers(groups: list[str], tenant: str) -> list[str]:
    grants = [Grant(name, given[0], frozenset(given[1]), given[2]) for name, given in GRANTS.items()]
    return [each.principal for each in readers(grants, _spec(URIS[0], tenant=tenant, groups=groups))]


def _kept_from(saved: list[str] | None, asked: list[str]) -> bool:
    return would_expose(_spec(URIS[0], groups=saved), _spec(URIS[0], groups=asked))


def _upload(grant: str, saved: str) -> None:
    uri = "uploads://acme/docs"
    tenant, groups, may_write = GRANTS.get(grant, ("acme", [], False))
    caller = Principal("ann", tenant, frozenset(groups), may_write)
    ingestion.check_sender(_ledger(saved=saved, uri=uri).sources, caller, "docs", uri)


class _Sources:
    """What the rules ask of saved sources."""

    def __init__(self, specs: Sequence[SourceSpec]) -> None:
        self._specs = specs

    def spec(self, tenant: str, collection: str, uri: str) -> SourceSpec | None:
        named = (tenant, collection, uri)
        return next((each for each in self._specs if (each.tenant, each.collection, each.uri) == named), None)

    def saved(self, tenant: str | None = None, collection: str | None = None) -> list[Any]:
        return [
            SimpleNamespace(spec=each, removed_at=None)
            for each in self._specs
            if tenant in (None, each.tenant) and collection in (None, each.collection)
        ]


class _Grants:
    def __init__(self, grants: Sequence[Grant]) -> None:
        self._grants = grants

    def of(self, principal: str) -> list[Grant]:
        return [each for each in self._grants if each.principal == principal]


def _ledger(grant: str = "none", saved: str = "nothing", uri: str = "") -> Any:
    """The roles of a ledger that the rules ask."""
    specs, grants = [], []
    if saved in SAVED:
        place, collection, groups = SAVED[saved]
        where = place.format(uri=uri, above=uri.rpartition("/")[0])
        specs = [_spec(where, collection=collection, groups=groups or ())]
    if grant in GRANTS:
        tenant, held, may_write = GRANTS[grant]
        grants = [Grant("ann", tenant, frozenset(held), may_write)]
    return SimpleNamespace(sources=_Sources(specs), grants=_Grants(grants))


def _spec(uri: str, collection: str = "docs", tenant: str = "acme", groups: Sequence[str] | None = ()) -> SourceSpec:
    return SourceSpec(uri, collection, tenant, None if groups is None else tuple(groups))


# --- places and rules --------------------------------------------------------------------------------------------

PLACES = [
    "file:///srv/docs", "file:///srv/docs/", "file:///srv/docs/board", "file:///srv/docs/board%20room",
    "file://localhost/srv/docs/board", "file:///srv/docsx", "jsonl:///srv/docs/board/a.jsonl", "git+file:///srv/docs",
    "git+file:///srv/docs/board?ref=main", "FILE:///srv/docs/../docs/board", "https://example.org/a", "http://example.org:80/a",
    "https://EXAMPLE.org:443/a/b?c=d", "https://example.org:8443/a", "git+https://example.org/a", "https://bücher.example/a",
    "s3://reports", "s3://reports/2026", "s3://reportsx/2026", "postgresql://my-crm?table=notes", "postgresql://My_CRM/notes",
    "uploads://acme/docs", "nothing", "",
]  # fmt: skip
BOARD = "file:///srv/docs/board"
_RULES: dict[str, dict[str, Any]] = {
    "none": {},
    "board for board of acme": {BOARD: {"tenants": ["acme"], "groups": ["board", "audit"]}},
    "docs for acme, board for board": {"file:///srv/docs": {"tenants": ["acme"]}, BOARD: {"groups": ["board"]}},
    "docs for nobody, board for all": {"file:///srv/docs": {"tenants": []}, BOARD: {}},
    "web, s3 and a connection": {
        "https://example.org/a": {"groups": ["board"]},
        "s3://reports": {"tenants": ["acme"]},
        "postgresql://my.crm": {"groups": ["board"]},
    },
}
RULES = {name: json.dumps(rules) for name, rules in _RULES.items()}
WRONG_RULES = [
    "", " ", "{}", "[]", "{", '"x"', '{"/srv": {}}', '{"file:///srv": []}', '{"file:///srv": {"group": ["a"]}}',
    '{"file:///srv": {"groups": "a"}}', '{"file:///srv": {"groups": [""]}}', '{"file:///srv": {"groups": []}}',
    '{"file:///srv": {}, "file:///srv/": {}}', '{"file://host/srv": {}}', '{"https:///a": {}}', '{"https://a..b/": {}}',
    '{"https://example.org/a?b": {}}', '{"uploads://acme": {}}', '{"jsonl:///srv": {}, "file:///srv": {}}',
    '{"s3://b": {}}',
]  # fmt: skip
GROUPS = [[], ["board"], ["board", "audit"], ["board", "staff"], ["staff"], ["*"]]
TENANTS = ["acme", "other"]


def _place(uri: str) -> Any:
    place = place_of(uri)
    return None if place is None else [place.kind, place.path.decode()]


def _overlap(one: str, other: str) -> str | None:
    first, second = place_of(one), place_of(other)
    if first is None or second is None:
        return "no place"
    return {(True, True): "one place", (True, False): "holds", (False, True): "is held"}.get(
        (first.holds(second), second.holds(first)), "overlap" if first.overlaps(second) else "apart"
    )


def _ruled(rules: str, uri: str, tenant: str, groups: list[str]) -> Any:
    """Refused, or which of the places it may hold."""
    spec, parsed = _spec(uri, tenant=tenant, groups=groups), parse_rules(RULES[rules])
    parsed.check(spec)
    admits = parsed.admitting(spec)
    return "all" if admits is None else "".join(str(int(admits(each))) for each in PLACES)


def _parsed(text: str) -> Any:
    return len(parse_rules(text).rules)


def _merged(first: str, more: str) -> Any:
    return sorted(json.loads(merged_rules(first, more)))


def _borrowed(stored: str, own: str, other: str) -> bool:
    saved: Any = SimpleNamespace(spec=_spec(stored, groups=["board"]))
    admits = borrowable(_spec(own), lambda tenant: [saved], roots=())
    return admits is None or admits(other)


# --- connections -------------------------------------------------------------------------------------------------

CONNECTIONS = ["crm", "my-crm.2", "sluice_ledger", "Sluice", "SLUICEX", "not_sluice", "", "a/b", "a b", "x" * 201]
EXTRAS: list[dict[str, Any]] = [
    {}, {"tenants": "acme"}, {"tenants": ["acme", "other"]}, {"tenants": ""}, {"tenants": []}, {"tenants": None},
    {"groups": "board"}, {"groups": "board, audit"}, {"groups": ["board"]}, {"groups": []},
    {"tenants": "acme", "groups": "board"}, {"tenant": "acme"}, {"Groups": "board"}, {"access_groups": "board"},
    {"allowed_tenants": "acme"}, {"sslmode": "require"}, {"group": "board"},
]  # fmt: skip


def _connection(conn_id: str, extra: dict[str, Any], tenant: str, groups: list[str]) -> None:
    spec = _spec("postgresql://crm?table=notes", tenant=tenant, groups=groups)
    allowed_connections(lambda name: Connection(extra=extra), spec)(conn_id)


# --- the service -------------------------------------------------------------------------------------------------

HELD: dict[str, list[tuple[str, list[str], bool]]] = {
    "default": [("default", ["*"], True)],
    "acme": [("acme", ["birds"], False)],
    "acme and default": [("acme", [], True), ("default", ["birds"], False)],
    "acme and other": [("acme", [], True), ("other", ["*"], False)],
}
CALLERS = ["ann", "bob", "sam", "nil", ""]
DRY = "dry_run=true"
ROUTES = [
    "POST /api/v1/search", "GET /api/v1/collections", "GET /api/v1/collections/docs", "GET /api/v1/collections/secret",
    "GET /api/v1/sources", "GET /api/v1/documents?collection=docs", "GET /api/v1/documents?collection=secret",
    *(f"{method} /api/v1/documents/<{name}>{more}" for name in ("open", "legal", "neighbour", "foreign")
      for method, more in (("GET", ""), ("DELETE", f"?{DRY}"), ("POST", "/restore"))),
    *(f"GET /api/v1/passages/<{name}>{more}" for name in ("open", "legal", "neighbour", "foreign")
      for more in ("", "/lineage")),
    *(f"GET /api/v1/runs/<{name}>/gates" for name in ("open", "legal", "foreign")),
    "GET /api/v1/quarantine", "GET /api/v1/quarantine/<open>", "POST /api/v1/quarantine/<open>/replay",
    "GET /api/v1/access", f"DELETE /api/v1/grants/bob?{DRY}", f"DELETE /api/v1/collections/docs?{DRY}",
    f"DELETE /api/v1/sources?collection=docs&documents=keep&uri=file:///acme/docs/legal/legal&{DRY}",
    f"DELETE /api/v1/sources?collection=docs&documents=keep&uri=file:///acme/docs//open&{DRY}",
    "GET /api/v1/health", "GET /api/v1/health/live", "GET /api/v1/health/ready", "GET /api/v1/openapi.json", "GET /",
    "GET /api/v1/nothing", "GET /docs",
]  # fmt: skip
MEDIA = ["application/json", "application/json; charset=utf-8", "text/plain", "multipart/form-data; boundary=x", None]
SITES = [None, "same-origin", "same-site", "cross-site", "none"]
ORIGINS = [None, "http://sluice.test", "http://evil.test", "null"]


def _tenant(held: str, header: str | None) -> list[Any]:
    grants = [Grant("ann", tenant, frozenset(groups), write) for tenant, groups, write in HELD[held]]
    result = principal_of_request(grants, Response(), header)
    return [result.tenant, sorted(result.groups), result.may_write]


def _post(method: str, path: str, bearer: str | None, media: str | None, site: str | None, origin: str | None) -> None:
    headers = {"host": "sluice.test", "content-type": media, "sec-fetch-site": site, "origin": origin}
    headers |= {"authorization": bearer, "x-sluice-request": "1" if path.endswith(" marked") else None}
    raw = [(name.encode(), value.encode()) for name, value in headers.items() if value is not None]
    scope = {"type": "http", "method": method, "path": path.partition(" ")[0], "headers": raw, "query_string": b""}
    reject_cross_site_posts(Request({**scope, "scheme": "http", "server": ("sluice.test", 80)}))


def _status(world: World, client: TestClient, caller: str, route: str, tenant: str | None) -> int:
    headers = {"X-Sluice-Tenant": tenant} if tenant else {}
    headers |= {"Authorization": f"Bearer {caller}-token"} if caller else {}
    method, path = route.split(" ", 1)
    body: dict[str, Any] = {"json": {"query": "pumps", "collection": "docs"} if path.endswith("/search") else {}}
    given = body if method == "POST" else {}
    return client.request(method, _addressed(world, path), headers=headers, **given).status_code


def _addressed(world: World, path: str) -> str:
    before, _, rest = path.partition("<")
    name, _, after = rest.partition(">")
    return f"{before}{_id(world, before, name)}{after}" if name else path


def _id(world: World, before: str, name: str) -> UUID:
    if "passages" in before:
        return named(f"chunk {name}")
    return named(f"run {name}") if "runs" in before else world.ids[name]


def routes(world: World) -> dict[str, Any]:
    """A question changes nothing. bob writes for no group, sam reads all of the tenant other and what is for legal in
    acme."""
    world.ledger.grants.add(Grant("bob", "acme", frozenset(), True))
    world.ledger.grants.add(Grant("sam", "other", frozenset({"*"}), False))
    with client_of(world, token=None) as client:
        axes: Axes = {"caller": CALLERS, "route": ROUTES, "tenant": [None, "acme", "other", "nowhere"]}
        return Question(axes, partial(_status, world, client)).table()


QUESTIONS = {
    "a run that a user triggers": Question(
        {"grant": ["none", *GRANTS], "saved": ["nothing", *SAVED], "uri": URIS, "groups": ASKED}, _run
    ),
    "a run that nobody triggers": Question(
        {
            "kind": KINDS,
            "saved": ["nothing", *SAVED],
            "groups": [None, [], ["birds"]],
            "approves a shrink": [False, True],
            "sets": ["nothing", "retention", "globs"],
        },
        _unattended,
    ),
    "repeating a saved source": Question({"grant": ["none", *GRANTS], "groups": ASKED}, _repeat),
    "an upload": Question({"grant": ["none", *GRANTS], "saved": ["nothing", *SAVED]}, _upload),
    "who may read": Question({"groups": [each for each in ASKED if each is not None], "tenant": TENANTS}, _readers),
    "kept from others": Question({"saved": ASKED, "groups": [each for each in ASKED if each is not None]}, _kept_from),
    "the place of a URI": Question({"uri": PLACES}, _place),
    "places that overlap": Question({"one": PLACES, "other": PLACES}, _overlap),
    "sources under rules": Question({"rules": list(RULES), "uri": PLACES, "tenant": TENANTS, "groups": GROUPS}, _ruled),
    "rules as they are written": Question({"rules": WRONG_RULES}, _parsed),
    "rules of two places": Question({"first": list(RULES.values()), "more": list(RULES.values())}, _merged),
    "what a repository borrows": Question(
        {"kept": PLACES[:4], "own": ["git+file:///srv/docs", "git+file:///srv/repo"], "file": PLACES[:8]}, _borrowed
    ),
    "connections": Question(
        {"connection": CONNECTIONS, "extra": EXTRAS, "tenant": TENANTS, "groups": GROUPS}, _connection
    ),
    "the tenant of a call": Question(
        {"held": list(HELD), "header": [None, "default", "acme", "other", "nowhere"]}, _tenant
    ),
    "calls from other pages": Question(
        {
            "method": ["GET", "POST", "DELETE", "PUT"],
            "path": ["/api/v1/search", "/api/v1/documents", "/api/v1/documents marked"],
            "login": [None, "Bearer x", "Basic x"],
            "media type": MEDIA,
            "site": SITES,
            "origin": ORIGINS,
        },
        _post,
    ),
}


def decisions(world: World) -> dict[str, Any]:
    """By question. Takes some seconds, nearly all of them for the routes."""
    return {**{name: question.table() for name, question in QUESTIONS.items()}, "routes": routes(world)}
