"""Ports behind a guard: the same methods, whose calls the guard limits."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any, TypeVar, cast

from sluice.resilience.guard import Guard

Port = TypeVar("Port")
_UNGUARDED = frozenset({"ping", "close"})  # a ping shows the dependency as it is, not as the guard sees it


def guarded(port: Port, guard: Guard, *, writes: Collection[str] | None = ()) -> Port:
    """Returns the port behind the guard. `writes`: methods that must neither be left nor repeated; None: all."""
    return cast(Port, _Guarded(port, guard, writes))


class _Guarded:
    def __init__(self, port: Any, guard: Guard, writes: Collection[str] | None) -> None:
        self._port, self._guard, self._writes = port, guard, writes

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if name in _UNGUARDED or not callable(member):
            return member
        inline = self._writes is None or name in self._writes
        return partial(self._guard.call_inline if inline else self._guard.call, member)
