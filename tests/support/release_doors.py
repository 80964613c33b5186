"""The doors of the product, for tests of what a release promised: all that they import of sluice is here."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from fastapi.testclient import TestClient


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def command(environment: Mapping[str, str], words: Sequence[str]) -> Said:
    """`sluice …` in this process, which is quicker than one of its own."""
    from sluice.cli import main

    out, err = io.StringIO(), io.StringIO()
    given = patch.dict(os.environ, environment), patch.object(sys, "argv", ["sluice", *words])
    with given[0], given[1], redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except Exception:  # as Python ends a process of its own
            traceback.print_exc()
            code = 1
    return Said(code, out.getvalue(), err.getvalue())


@contextmanager
def service(environment: Mapping[str, str], *, queues: bool = True) -> Iterator[TestClient]:
    """The query service; a bearer token is the name of the caller, and a run that is queued is called `queued`."""
    from sluice.api.app import create_app
    from sluice.settings import Settings
    from sluice.wiring.application import Sluice

    async def authenticate(request: Any) -> str | None:
        return request.headers.get("authorization", "").removeprefix("Bearer ") or None

    with patch.dict(os.environ, environment):
        settings = Settings()
        trigger = (lambda conf, caller: "queued") if queues else None
        app = create_app(lambda: Sluice(settings, serving=True), authenticate, trigger=trigger)
        with TestClient(app, base_url="http://sluice.test", raise_server_exceptions=False) as client:
            yield client


def go_on(environment: Mapping[str, str], references: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is left of a run whose batches are done up to `done`, by the verbs that Airflow's tasks call. Returns the
    summary."""
    from uuid import UUID

    from sluice.model.run import BatchRef
    from sluice.settings import Settings
    from sluice.wiring.application import Sluice
    from support import steps

    verbs = (steps.extract, steps.validate, steps.chunk, steps.embed, steps.load)
    with patch.dict(os.environ, environment):
        sluice = Sluice(Settings())
    try:
        for each in references:
            ref = BatchRef.from_json(each)
            for verb in verbs[each["done"] :]:
                ref = verb(sluice, ref)
        return steps.finish(sluice, UUID(references[0]["run_id"]))
    finally:
        sluice.close()
