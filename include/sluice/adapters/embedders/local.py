"""Functions that the local embedders share: files of installed wheels, tokenizers, normalisation of vectors."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sluice.errors import Terminal
from sluice.model.chunk import Vector

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def packaged(package: str, name: str) -> Path:
    """Returns a file of an installed package without importing the package. Raises Terminal if it is missing."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder, name)).is_file():
            return path
    raise Terminal(
        f"The embedding model is not installed: {package}/{name} is missing. Install requirements.txt unchanged "
        "(`make demo` does), or set SLUICE_EMBEDDER=hash:384 to try the flow without a model."
    )


def read_tokenizer(file: Path | bytes) -> Tokenizer:
    """Loads a tokenizer, from a path or its content, that neither truncates nor pads."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(file) if isinstance(file, bytes) else Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def unit_rows(sums: np.ndarray[Any, Any]) -> Vector:
    """Returns (n, dim), float32, L2-normalised; a row of zeros becomes the first unit vector. Modifies `sums`."""
    norms = np.linalg.norm(sums, axis=1)
    sums[norms == 0.0, 0] = 1.0
    norms[norms == 0.0] = 1.0
    return np.asarray(sums / norms[:, None], dtype=np.float32)
