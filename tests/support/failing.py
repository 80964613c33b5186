"""Processes that die at one call of an adapter."""

from __future__ import annotations

from typing import Any


class Crash(BaseException):
    """Not an Exception: nothing in the flow may catch it, as nothing catches a kill."""


class Crashing:
    """An adapter whose process dies once, at one call."""

    def __init__(self, adapter: Any, method: str, after: bool) -> None:
        self._adapter, self._method, self._after = adapter, method, after
        self.died = False

    def __getattr__(self, name: str) -> Any:
        result = getattr(self._adapter, name)
        if name != self._method or self.died:
            return result

        def call(*args: Any, **options: Any) -> Any:
            self.died = True
            if self._after:
                result(*args, **options)
            raise Crash

        return call
