"""Commands for retention: set it, delete expired documents, remove old history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from sluice.cli.terminal import FAILED, OK, Json, Tenant, Yes, confirm, opened, tell
from sluice.errors import BadRequest, Terminal

if TYPE_CHECKING:
    from sluice.model.retention import ExpiredDocument, Retention, RetentionScope, RetentionSetting

app = typer.Typer(
    help="How long documents are served: set by document, source or collection; the most specific setting applies.",
    no_args_is_help=True,
)
OfCollection = Annotated[str, typer.Option("--collection", "-c", help="For all its sources without their own.")]
OfSource = Annotated[str, typer.Option("--source", help="For one source of the collection, by its URI.")]
OfDocument = Annotated[str, typer.Option("--document", help="For one document, by its id.")]
Only = Annotated[str | None, typer.Option("--collection", "-c", help="Only this one. Not given: all.")]


@app.command("show")
def show(collection: Only = None, json_: Json = False) -> None:
    """Show the retention settings. Documents without one are kept for ever."""
    with opened() as sluice:
        settings = sluice.ledger.retention.assigned(collection)
    lines = [_setting(each) for each in settings] or ["No retention is set: all documents are kept for ever."]
    tell({"retention": [each.to_json() for each in settings]}, json_, *lines)


@app.command("set")
def set_(
    collection: OfCollection = "",
    source: OfSource = "",
    document: OfDocument = "",
    tenant: Tenant = "default",
    days: Annotated[
        int | None,
        typer.Option(help="Days from when content is first served; 0: for ever, wider settings do not apply."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="2027-01-31: readable through that day (UTC); or a time, 2027-01-31T12:00:00Z.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Set a retention. It applies at once to documents that are served already."""
    from sluice.model.retention import Retention, RetentionSetting

    scope = _scope(collection, source, document, tenant)
    wanted = Retention(days, None if until is None else _moment(until))
    renewed = _assign(scope, wanted, yes)
    typer.echo(f"{_setting(RetentionSetting(scope, wanted))}. The expiry of {renewed} documents changed.")


@app.command("unset")
def unset(
    collection: OfCollection = "",
    source: OfSource = "",
    document: OfDocument = "",
    tenant: Tenant = "default",
    yes: Yes = False,
) -> None:
    """Remove a retention; that of the source or the collection applies again, or none."""
    scope = _scope(collection, source, document, tenant)
    renewed = _assign(scope, None, yes)
    typer.echo(f"{_named(scope)} has no retention of its own. The expiry of {renewed} documents changed.")


def purge(
    collection: Only = None,
    apply: Annotated[bool, typer.Option("--apply", help="Delete. Not given: only list.")] = False,
    as_of: Annotated[
        str | None, typer.Option(help="Documents expired at this time, as an earlier list shows it. Not given: now.")
    ] = None,
    listed_digest: Annotated[
        str | None,
        typer.Option("--listed", help="Digest of an earlier list: delete nothing if the list has changed since."),
    ] = None,
    json_: Json = False,
) -> None:
    """Delete expired documents from all stores; they are unreadable already. Exit code 1: some could not be deleted,
    try again."""
    from sluice.maintenance import purging

    with opened() as sluice:
        moment = sluice.ledger.retention.clock() if as_of is None else _moment(as_of)
        expired = list(sluice.purging.expired(moment, collection))
        ids = {each.document_id for each in expired}
        if not apply:
            _tell_expired(moment, expired, purging.digest(ids), collection, json_)
            raise typer.Exit(OK)
        if listed_digest is not None and listed_digest != purging.digest(ids):
            raise Terminal(
                "The list of expired documents has changed since it was shown: a retention was changed, or some "
                "documents are deleted already. Nothing was deleted. Run it without --apply and check the new list."
            )
        report = sluice.purging.purge(moment, collection=collection, only=ids)
    lines = report.left or [_expired(each) for each in expired]
    lines.append(f"{report.documents} documents with {report.chunks} chunks were deleted from all stores.")
    tell({"apply": True, **report.to_json()}, json_, *lines)
    raise typer.Exit(FAILED if report.left else OK)


def prune(
    apply: Annotated[bool, typer.Option("--apply", help="Remove. Not given: only count.")] = False, json_: Json = False
) -> None:
    """Remove history that is no longer used: text of old versions, unused vectors and keys, old runs and records."""
    with opened() as sluice:
        report = sluice.pruning.prune(apply=apply)
    lines = [
        f"{kind}: {pruned.removed if apply else pruned.found} {'removed' if apply else 'found'}, kept for "
        f"{pruned.keep_days} days"
        for kind, pruned in report.kinds.items()
    ]
    removable = any(pruned.found for pruned in report.kinds.values())
    advice = ["Nothing was removed. To remove it: sluice prune --apply"] if removable and not apply else []
    tell(report.to_json(), json_, *lines, *advice)


def _tell_expired(
    moment: datetime, expired: Sequence[ExpiredDocument], digest: str, collection: str | None, as_json: bool
) -> None:
    chunks, as_of = sum(each.chunks for each in expired), moment.isoformat()
    of = f" -c {collection}" if collection else ""
    command = f"sluice purge{of} --apply --as-of {as_of} --listed {digest}"
    summary = {"apply": False, "as_of": as_of, "listed": digest, "documents": len(expired), "chunks": chunks}
    tell(
        {**summary, "expired": [each.to_json() for each in expired]},
        as_json,
        *map(_expired, expired),
        f"{len(expired)} documents with {chunks} chunks have expired. Nothing was deleted.",
        *([f"To delete exactly these: {command}"] if expired else []),
    )


def _assign(scope: RetentionScope, wanted: Retention | None, yes: bool) -> int:
    """Asks first if the change hides documents. Returns for how many the expiry changed."""
    with opened() as sluice:
        if hidden := sluice.ledger.deletions.hidden_by_retention(scope, wanted):
            confirm(f"{hidden} documents become unreadable at once, because they would be expired already.", yes)
        return sluice.ledger.retention.assign(scope, wanted)


def _scope(collection: str, source: str, document: str, tenant: str) -> RetentionScope:
    from sluice.model.retention import RetentionScope
    from sluice.sources.schemes import canonical

    if document:
        if collection or source:
            raise BadRequest("--document needs no other option: leave --collection and --source out.")
        return RetentionScope(document_id=_id(document))
    if not collection:
        raise BadRequest("Choose a scope: --collection, --collection with --source, or --document.")
    return RetentionScope(collection, tenant, canonical(source) if source else "")


def _id(document: str) -> UUID:
    try:
        return UUID(document)
    except ValueError:
        raise BadRequest(f"{document!r} is not a document's id. A search shows it as document_id.") from None


def _moment(value: str) -> datetime:
    """A time from ISO 8601, in UTC where it names no zone. A date without a time means the end of that day."""
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
