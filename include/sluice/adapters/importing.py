"""Importing a library without what it would import by the way and nothing here uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from threading import get_ident


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Within the body these modules are not installed, for imports of this thread: for a library that does without them
    where they are missing. What is imported already is found as ever, and other threads notice nothing."""
    finder = _NotThere(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _NotThere:
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names, self._thread = names, get_ident()

    def find_spec(self, name: str, path: object = None, target: object = None, /) -> ModuleSpec | None:
        if name in self._names and get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is left out here", name=name)
        return None
