"""Detection of a text's language by trigrams (whatlang, in kreuzberg)."""

from __future__ import annotations

from functools import cache
from typing import Any

_CODES = """
    afr aka amh ara aze bel ben bul cat ces cmn dan deu ell eng epo est fin fra guj heb hin hrv hun hye ind ita jav
    jpn kan kat khm kor lat lav lit mal mar mkd mya nep nld nob ori pan pes pol por ron rus sin slk slv sna spa srp
    swe tam tel tgl tha tuk tur ukr urd uzb vie yid zul
"""
LANGUAGES = tuple(_CODES.split())
"""ISO 639-3 codes of all languages that the detector distinguishes."""
_PIECE_CHARS = 400


def language(text: str) -> str | None:
    """Returns the ISO 639-3 code; None if the text is too short or too mixed. Takes about a third of a millisecond."""
    import kreuzberg

    result = kreuzberg.extract_bytes_sync(sample(text).encode("utf-8", "replace"), "text/plain", _configuration())
    languages: list[str] | None = result.detected_languages
    return languages[0] if languages else None


def sample(text: str) -> str:
    """Returns the parts of a text from which its language is detected: begin, middle and end."""
    if len(text) <= 3 * _PIECE_CHARS:
        return text
    middle = (len(text) - _PIECE_CHARS) // 2
    return "\n".join([text[:_PIECE_CHARS], text[middle : middle + _PIECE_CHARS], text[-_PIECE_CHARS:]])


@cache
def _configuration() -> Any:
    from kreuzberg import ExtractionConfig, LanguageDetectionConfig

    return ExtractionConfig(
        language_detection=LanguageDetectionConfig(enabled=True, min_confidence=0.5, detect_multiple=False),
        use_cache=False,
    )
