"""Authenticates callers by Airflow's auth manager: `Authorization: Bearer <JWT>`, else the UI's session cookie."""

from __future__ import annotations

import logging

from airflow.api_fastapi.core_api import security
from fastapi import HTTPException, Request

from sluice.errors import Unavailable

log = logging.getLogger(__name__)
_LOOK = "Look at the log of the API server and at Airflow's database, then try again."


async def authenticate(request: Request) -> str | None:
    """The Airflow user's name. None: there is no token, or it is forged, expired, revoked, or its user was deactivated.
    Raises Unavailable if the auth manager fails, mostly because Airflow's database is down: it never fails open."""
    try:
        user = await security.get_user(request, None, await security.bearer_scheme(request))
    except HTTPException:
        return None
    except Exception as error:
        # Each auth manager raises other errors; after any of them the caller is not authenticated.
        log.exception("Airflow's auth manager failed")
        raise Unavailable("Airflow's sign-in", "it could not authenticate the caller", _LOOK) from error
    return user.get_name() or None
