"""Starts Sluice's engines and Airflow on one machine, without Docker.

    config = Config.from_env(root, os.environ)
    Stack(config).up(["engines"], on_progress=print)

It belongs to this project (its settings are `SLUICE_*`) and does not import the `sluice` package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devstack.config import Config as Config
    from devstack.config import Ports as Ports
    from devstack.errors import DevstackError as DevstackError
    from devstack.stack import Stack as Stack

_PLACES = {"Config": "config", "Ports": "config", "DevstackError": "errors", "Stack": "stack"}


def __getattr__(name: str) -> Any:
    # Imported late: the embedded Qdrant server is part of this package and often starts a child, which needs none.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"devstack.{_PLACES[name]}"), name)
