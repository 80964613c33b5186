"""The stack that `make up` started on this machine, found without being told.

`app.json` in the data folder says where its stores answer and how to log in; `make up` writes it. The folder is
`SLUICE_HOME`, else `.sluice` of the working folder, else `.sluice` of the checkout that this code is in.
"""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping
from pathlib import Path

_LEDGER = ("SLUICE_DATABASE_URL", "SLUICE_DATABASE_URL_FILE")
_CHECKOUT = Path(__file__).resolve().parents[3]


def use_local_stack(environ: MutableMapping[str, str] = os.environ) -> None:
    """Add the local stack's variables to those that are not set, unless the environment or `.env` names a ledger."""
    from dotenv import dotenv_values

    written = dotenv_values(".env", interpolate=False)
    if any(environ.get(name) or written.get(name) for name in _LEDGER):
        return
    given = environ.get("SLUICE_HOME")
    homes = [Path(given)] if given else [Path(".sluice"), _CHECKOUT / ".sluice"]
    file = next((home / "app.json" for home in homes if (home / "app.json").is_file()), None)
    if file is None:
        return
    for name, value in json.loads(file.read_text(encoding="utf-8")).items():
        environ.setdefault(name, value)
