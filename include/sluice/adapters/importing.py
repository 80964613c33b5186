"""Imports of a library without its optional dependencies that this project does not use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from threading import get_ident


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Makes these modules seem not installed for imports of this thread within the body, so that a library with
    optional imports skips them. Modules imported already stay available; other threads are not affected."""
    finder = _Hidden(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Hidden:
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names, self._thread = names, get_ident()

    def find_spec(self, name: str, path: object = None, target: object = None, /) -> ModuleSpec | None:
        if name in self._names and get_ident() == self._thread:
            raise ModuleNotFoundError(f"the optional import of {name} is suppressed here", name=name)
        return None
