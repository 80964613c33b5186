"""Finds Tesseract's language data, which OCR needs.

The engine comes with kreuzberg; the package `tesseract-ocr` installs the data.
"""

from __future__ import annotations

import os
from pathlib import Path

from sluice.errors import BadRequest

_FOLDERS = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
)


def language_folder(languages: str) -> Path | None:
    """Returns the folder with the data of all `languages` (`eng+deu`), or None. TESSDATA_PREFIX is searched first."""
    prefix_folder = os.environ.get("TESSDATA_PREFIX")
    for folder in map(Path, (prefix_folder, *_FOLDERS) if prefix_folder else _FOLDERS):
        if all((folder / f"{language}.traineddata").is_file() for language in languages.split("+")):
            return folder
    return None


def required_folder(languages: str) -> Path:
    """Returns the folder. Raises BadRequest that says what to install."""
    folder = language_folder(languages)
    if folder is None:
        raise BadRequest(
            f"SLUICE_OCR=tesseract needs Tesseract's data for {languages!r}, which was not found. Install it "
            "(apt-get install tesseract-ocr, and tesseract-ocr-<language> for others than English), or set "
            "TESSDATA_PREFIX to its folder, or SLUICE_OCR=off."
        )
    return folder
