"""Who calls, by Airflow's own auth manager: `Authorization: Bearer <JWT>`, else the UI's session cookie."""

from __future__ import annotations

import logging

from airflow.api_fastapi.core_api import security
from fastapi import HTTPException, Request

from sluice.errors import Unavailable

log = logging.getLogger(__name__)
_LOOK = "Look at the log of the API server and at Airflow's database, then try again."


async def authenticate(request: Request) -> str | None:
    """The Airflow user's name; None without a token, or with one that is forged, expired, revoked or of a user who
    was deactivated. Raises Unavailable where Airflow's database cannot be asked: nobody is let in on a guess."""
    try:
        user = await security.get_user(request, None, await security.bearer_scheme(request))
    except HTTPException:
        return None
    except Exception as error:
        # Mostly its database, but each auth manager fails in its own way; none of them may open the door.
        log.exception("Airflow's auth manager failed")
        raise Unavailable("Airflow's sign-in", "it could not be asked who is calling", _LOOK) from error
    return user.get_name() or None
