"""Finds the stack that `make up` started on this machine, without any setting.

`make up` writes `app.json` into the data folder, with the addresses and logins of the stores. The data folder is
`SLUICE_HOME` (a relative path is below the working folder, else below the checkout), else `.sluice` of the checkout
that this code is in.
"""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping
from pathlib import Path

from sluice.errors import BadRequest

_LEDGER = ("SLUICE_DATABASE_URL", "SLUICE_DATABASE_URL_FILE")
_CHECKOUT = Path(__file__).resolve().parents[3]


def use_local_stack(environ: MutableMapping[str, str] = os.environ) -> None:
    """Adds the local stack's variables that are not set yet, unless the environment or `.env` names a ledger.

    Raises BadRequest if `app.json` exists and cannot be read."""
    from dotenv import dotenv_values

    dotenv = dotenv_values(".env", interpolate=False)
    if any(environ.get(name) or dotenv.get(name) for name in _LEDGER):
        return
    set_up = dotenv_values(_CHECKOUT / ".env", interpolate=False)  # devstack's own
    given = environ.get("SLUICE_HOME") or dotenv.get("SLUICE_HOME") or set_up.get("SLUICE_HOME")
    homes = [Path(given), _CHECKOUT / given] if given else [_CHECKOUT / ".sluice"]
    file = next((home / "app.json" for home in homes if (home / "app.json").is_file()), None)
    if file is None:
        return
    try:
        variables = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        advice = "Run `make up` again as its owner, or set SLUICE_DATABASE_URL."
        what = f"{file} has the addresses of the local stack and cannot be read ({error})."
        raise BadRequest(f"{what} {advice}") from None
    for name, value in variables.items():
        if name.startswith("SLUICE_"):
            environ.setdefault(name, value)
