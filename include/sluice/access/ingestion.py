"""Checks that whoever started a run may ingest for its tenant and groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sluice.access import policy
from sluice.access.borrowing import all_places, known_places
from sluice.access.places import place_of
from sluice.errors import BadRequest, Forbidden
from sluice.model.grants import Grant, Principal
from sluice.model.source import SourceSpec
from sluice.ports.deletions import Deletions
from sluice.ports.grants import Grants
from sluice.ports.sources import Sources


def check(
    grants: Grants,
    sources: Sources,
    spec: SourceSpec,
    *,
    user: str | None,
    kind: str | None,
    roots: Sequence[Path],
    approve_shrink: bool = False,
) -> None:
    """Checks that a run may ingest the source. Changes nothing.

    `user` is the user that triggered the run, or None for a scheduled run; messages then name the `kind` of run. A user
    needs a grant to write to the tenant with every group that may read the source now and every group that the run
    gives it, or `*`. The same applies to saved sources of the tenant that overlap the source. Opening a source that is
    for some groups to the whole tenant needs `*`. A run without a user may only repeat a saved source, as it is saved,
    and approves nothing.

    Raises Forbidden, and BadRequest if a repository reads outside `roots`.
    """
    if user is None:
        _check_unattended(sources, spec, kind, approve_shrink)
        return
    grant = policy.writing(grants.of(user), spec.tenant)
    if grant is None:
        raise _forbidden(user, spec.tenant, f"may not write to tenant {spec.tenant}")
    if grant.holds_all_groups:
        return
    if what := _beyond_groups(sources, spec, grant) or _overlap(sources, spec, grant, roots):
        raise _forbidden(user, spec.tenant, what)


def check_hiding(deletions: Deletions, spec: SourceSpec, *, approved: bool) -> None:
    """Raises BadRequest if new groups or a shorter retention would hide served documents and this is not approved."""
    if not approved and (count := deletions.hidden_by(spec)):
        raise BadRequest(
            f"{count} documents of {spec.uri} that are readable now would become unreadable, for everyone or for some "
            "who may read them: the source loses groups, or its retention is shorter than their age. Nothing was "
            "changed. If this is intended, trigger the run again with approve_hiding."
        )


def may_repeat(grants: Grants, user: str | None) -> Callable[[SourceSpec], bool]:
    """Returns a check of the saved sources that a run of this user may ingest or purge as they are saved.

    `user` is None for a run that no user started; it may repeat all.
    """
    if user is None:
        return lambda saved: True
    held_grants = grants.of(user)
    return lambda saved: policy.may_repeat(policy.writing(held_grants, saved.tenant), saved)


def check_writer(caller: Principal) -> None:
    """Raises Forbidden before any content of an upload or a replay is read."""
    if not caller.may_write:
        raise _not_stored(caller, f"may not write to tenant {caller.tenant}")


def check_sender(sources: Sources, caller: Principal, collection: str, uri: str) -> None:
    """Makes the check that the run queued in the caller's name will make. Raises Forbidden."""
    check_writer(caller)
    if not policy.may_repeat(caller, sources.spec(caller.tenant, collection, uri)):
        raise _not_stored(caller, f"may not write to {uri}, which is for groups that they do not hold")


def _check_unattended(sources: Sources, spec: SourceSpec, kind: str | None, approve_shrink: bool) -> None:
    if approve_shrink:
        raise Forbidden(
            f"A {kind} run may not approve the deletion of many documents: a user must check it. Nothing was "
            "changed. Trigger sluice_ingest with approve_shrink as a user who may write there."
        )
    if (spec.access_groups, spec.retention_days, spec.include, spec.exclude) != (None, None, None, None):
        raise Forbidden(
            f"A {kind} run may not set groups, retention or globs of a source. Nothing was changed. Leave them out, "
            "so that the saved values stay, or trigger the run as a user."
        )
    saved = sources.saved(spec.tenant, spec.collection)
    if not any(source.spec.uri == spec.uri and source.removed_at is None for source in saved):
        raise Forbidden(
            f"{spec.uri} is not a saved source of collection {spec.collection} in tenant {spec.tenant}, and a {kind} "
            "run may not add one. Nothing was changed. Ingest it once as a user who may write there."
        )


def _beyond_groups(sources: Sources, spec: SourceSpec, grant: Grant) -> str | None:
    """Returns what the groups of the grant do not allow; None if they allow the source."""
    saved = sources.spec(spec.tenant, spec.collection, spec.uri)
    now = frozenset((saved.access_groups if saved else None) or ())
    if spec.access_groups is not None and (missing := set(spec.access_groups) - grant.groups):
        return f"may not write to tenant {spec.tenant} for groups {', '.join(sorted(missing))}"
    if not now <= grant.groups:  # the message must not name groups that the user does not hold
        return f"may not write to {spec.uri}, which is for groups that they do not hold"
    if now and spec.access_groups == ():
        return f"may not open {spec.uri}, which is for some groups, to the whole tenant"
    return None


def _overlap(sources: Sources, spec: SourceSpec, grant: Grant, roots: Sequence[Path]) -> str | None:
    """Returns what is not allowed if the source overlaps content saved for groups that the user does not hold.

    Otherwise the user could read it through a parent folder, a subfolder, another collection, or a repository that
    keeps a part of itself there. The reader of a repository checks again, for each file that it opens.
    """
    if place_of(spec.uri) is None:
        return None
    others = [
        other
        for saved in sources.saved(spec.tenant)
        if (saved.spec.uri, saved.spec.collection) != (spec.uri, spec.collection)
        and not policy.may_repeat(grant, saved.spec)
        for other in known_places(saved.spec.uri, roots)
    ]
    if others and any(place.overlaps(other) for place in all_places(spec.uri, roots) for other in others):
        return f"may not write to {spec.uri}, which overlaps a source that is for groups that they do not hold"
    return None


def _forbidden(user: str, tenant: str, what: str) -> Forbidden:
    return Forbidden(
        f"{user} {what}. Nothing was changed. An administrator can allow it: "
        f"sluice grant {user} --tenant {tenant} --write --group '*'"
    )


def _not_stored(caller: Principal, what: str) -> Forbidden:
    return Forbidden(f"{caller.name} {what}. Nothing was stored. An operator can allow it with `sluice grant`.")
