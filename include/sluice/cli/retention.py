"""How long documents are served, and the removal of what has expired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from sluice.cli.terminal import FAILED, OK, Json, Tenant, Yes, confirm, tell, tools_of_settings
from sluice.errors import BadRequest, Terminal

if TYPE_CHECKING:
    from sluice.model.retention import ExpiredDocument, Retention, RetentionScope, RetentionSetting
    from sluice.ports.tools import Tools

app = typer.Typer(
    help="How long documents are served: by document, source or collection; the narrowest that is set decides.",
    no_args_is_help=True,
)
OfCollection = Annotated[str, typer.Option("--collection", "-c", help="Of all sources in it that have none.")]
OfSource = Annotated[str, typer.Option("--source", help="Of one source of the collection, by its URI.")]
OfDocument = Annotated[str, typer.Option("--document", help="Of one document, by its id.")]
Only = Annotated[str | None, typer.Option("--collection", "-c", help="Only this one. Not given: all.")]


@app.command("show")
def show(collection: Only = None, json_: Json = False) -> None:
    """What is set. Where nothing is, documents are kept for ever."""
    with tools_of_settings() as tools:
        settings = tools.ledger.retention.assigned(collection)
    told = [{**asdict(each.scope), **asdict(each.retention)} for each in settings]
    tell({"retention": told}, json_, *([_setting(each) for each in settings] or ["None is set: all is kept for ever."]))


@app.command("set")
def set_(
    collection: OfCollection = "",
    source: OfSource = "",
    document: OfDocument = "",
    tenant: Tenant = "default",
    days: Annotated[
        int | None, typer.Option(help="From when content is first served; 0: for ever, whatever is set wider.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="2027-01-31: readable through that day (UTC); or a time, 2027-01-31T12:00:00Z.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Shorten or lengthen. Documents that are served already follow at once."""
    from sluice.model.retention import Retention, RetentionSetting

    scope = _scope(collection, source, document, tenant)
    wanted = Retention(days, None if until is None else _moment(until))
    with tools_of_settings() as tools:
        _ask(tools, scope, wanted, yes)
        renewed = tools.ledger.retention.assign(scope, wanted)
    typer.echo(f"{_setting(RetentionSetting(scope, wanted))}. The end of {renewed} documents changed.")


@app.command("unset")
def unset(
    collection: OfCollection = "",
    source: OfSource = "",
    document: OfDocument = "",
    tenant: Tenant = "default",
    yes: Yes = False,
) -> None:
    """Back to what is set for the source, the collection, or for ever."""
    scope = _scope(collection, source, document, tenant)
    with tools_of_settings() as tools:
        _ask(tools, scope, None, yes)
        renewed = tools.ledger.retention.assign(scope, None)
    typer.echo(f"{_named(scope)} has no retention of its own. The end of {renewed} documents changed.")


def purge(
    collection: Only = None,
    apply: Annotated[bool, typer.Option("--apply", help="Remove what is listed; else it is only listed.")] = False,
    as_of: Annotated[
        str | None, typer.Option(help="What had expired then, as an earlier list told it. Not given: now.")
    ] = None,
    listed: Annotated[
        str | None, typer.Option(help="Digest of an earlier list: nothing is removed where it is another one now.")
    ] = None,
    json_: Json = False,
) -> None:
    """Take what has expired out of all stores. It is unreadable already. Exit code 1: some was left, try again."""
    from sluice.maintenance import purging

    with tools_of_settings() as tools:
        moment = tools.ledger.retention.clock() if as_of is None else _moment(as_of)
        found = list(purging.expired(tools, moment, collection))
        ids = {each.document_id for each in found}
        if not apply:
            _tell_listed(moment, found, purging.digest(ids), collection, json_)
            raise typer.Exit(OK)
        if listed is not None and listed != purging.digest(ids):
            raise Terminal(
                "What has expired is not what was listed: a retention was changed meanwhile, or some is gone already. "
                "Nothing was removed. Run it without --apply and look at the new list."
            )
        report = purging.purge(tools, moment, collection=collection, listed=ids)
    lines = [_expired(each) for each in found] if not report["left"] else []
    lines += [each["left"] for each in report["sources"] if "left" in each]
    lines.append(f"{report['documents']} documents with {report['chunks']} chunks were taken out of all stores.")
    tell({"apply": True, **report}, json_, *lines)
    raise typer.Exit(FAILED if report["left"] else OK)


def prune(
    apply: Annotated[bool, typer.Option("--apply", help="Remove what is counted; else it is only counted.")] = False,
    json_: Json = False,
) -> None:
    """Remove history that nobody reads any more: old versions' text, unused vectors and keys, old runs and records."""
    from sluice.maintenance import pruning

    with tools_of_settings() as tools:
        report = pruning.prune(tools, apply=apply)
    lines = [
        f"{kind}: {told['removed'] if apply else told['found']} {'removed' if apply else 'found'}, kept for "
        f"{told['keep_days']} days"
        for kind, told in report["kinds"].items()
    ]
    found = any(told["found"] for told in report["kinds"].values())
    advice = ["Nothing was removed. To remove it: sluice prune --apply"] if found and not apply else []
    tell(report, json_, *lines, *advice)


def _tell_listed(
    moment: datetime, found: Sequence[ExpiredDocument], digest: str, collection: str | None, as_json: bool
) -> None:
    chunks = sum(each.chunks for each in found)
    of = f" -c {collection}" if collection else ""
    again = f"sluice purge{of} --apply --as-of {moment.isoformat()} --listed {digest}"
    told = {"apply": False, "as_of": moment.isoformat(), "listed": digest, "documents": len(found), "chunks": chunks}
    tell(
        {**told, "expired": [asdict(each) for each in found]},
        as_json,
        *map(_expired, found),
        f"{len(found)} documents with {chunks} chunks have expired. Nothing was removed.",
        *([f"To take exactly these out: {again}"] if found else []),
    )


def _ask(tools: Tools, scope: RetentionScope, wanted: Retention | None, yes: bool) -> None:
    if hidden := tools.ledger.deletions.hidden_by_retention(scope, wanted):
        confirm(f"{hidden} documents that are readable now become unreadable at once: their end would be past.", yes)


def _scope(collection: str, source: str, document: str, tenant: str) -> RetentionScope:
    from sluice.model.retention import RetentionScope
    from sluice.sources.roots import canonical

    if document:
        if collection or source:
            raise BadRequest("A document is named by its id alone: leave --collection and --source out.")
        return RetentionScope(document_id=_id(document))
    if not collection:
        raise BadRequest("Say what it is set for: --collection, --collection with --source, or --document.")
    return RetentionScope(collection, tenant, canonical(source) if source else "")


def _id(document: str) -> UUID:
    try:
        return UUID(document)
    except ValueError:
        raise BadRequest(f"{document!r} is not a document's id. A search shows it as document_id.") from None


def _moment(value: str) -> datetime:
    """A date alone means its end."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise BadRequest(f"{value!r} is neither a date (2027-01-31) nor a time (2027-01-31T12:00:00Z).") from None
    if len(value) <= len("2027-01-31"):
        moment += timedelta(days=1)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _expired(each: ExpiredDocument) -> str:
    return f"{each.document_id} {each.collection} {each.external_id} expired {each.expired_at:%Y-%m-%dT%H:%M:%SZ}"


def _setting(each: RetentionSetting) -> str:
    retention = each.retention
    if retention.until is not None:
        return f"{_named(each.scope)}: unreadable from {retention.until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} on"
    days = "for ever" if retention.days == 0 else f"{retention.days} days from when content is first served"
    return f"{_named(each.scope)}: {days}"


def _named(scope: RetentionScope) -> str:
    if scope.document_id is not None:
        return f"Document {scope.document_id}"
    if scope.source:
        return f"Source {scope.source} of {scope.tenant} in {scope.collection}"
    return f"Collection {scope.collection}"
