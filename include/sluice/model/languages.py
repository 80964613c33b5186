"""Languages of documents by ISO 639-3 code, and which of them an embedder represents."""

from __future__ import annotations

from collections.abc import Mapping

_NAMES = {
    "ara": "Arabic",
    "ben": "Bengali",
    "bul": "Bulgarian",
    "ces": "Czech",
    "cmn": "Chinese",
    "dan": "Danish",
    "deu": "German",
    "ell": "Greek",
    "eng": "English",
    "fin": "Finnish",
    "fra": "French",
    "heb": "Hebrew",
    "hin": "Hindi",
    "hun": "Hungarian",
    "ind": "Indonesian",
    "ita": "Italian",
    "jpn": "Japanese",
    "kor": "Korean",
    "nld": "Dutch",
    "nob": "Norwegian",
    "pes": "Persian",
    "pol": "Polish",
    "por": "Portuguese",
    "ron": "Romanian",
    "rus": "Russian",
    "spa": "Spanish",
    "swe": "Swedish",
    "tha": "Thai",
    "tur": "Turkish",
    "ukr": "Ukrainian",
    "vie": "Vietnamese",
}
# Languages of the embedders that were trained on few. Of all others (endpoints) the languages are not known; `hash`
# compares spellings.
EMBEDDED = {"minilm": frozenset({"eng"}), "bge-small": frozenset({"eng"}), "wordllama": frozenset({"eng"})}
_WORTH_A_WARNING = 0.1  # of the documents whose language is known


def language_name(code: str) -> str:
    """Returns the English name of a language; its code if it has no name here."""
    return _NAMES.get(code, code)


def in_words(languages: Mapping[str, int]) -> str:
    """Returns documents by language as text, the most frequent first: `German 240, English 12`."""
    ordered = sorted(languages.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{language_name(code)} {count:,}" for code, count in ordered)


def language_warning(embedder: str, languages: Mapping[str, int]) -> str | None:
    """Returns a warning if at least a tenth of the documents are in languages that the embedder does not represent;
    None otherwise. `languages`: documents by language, without those whose language is not known."""
    known = EMBEDDED.get(embedder.partition(":")[0])
    if known is None:
        return None
    foreign = {code: count for code, count in languages.items() if code not in known}
    if not foreign or sum(foreign.values()) < _WORTH_A_WARNING * sum(languages.values()):
        return None
    return (
        f"The embedder {embedder} represents English. {sum(foreign.values()):,} of {sum(languages.values()):,} "
        f"documents are in other languages ({in_words(foreign)}): its vectors misplace "
        "them, most in scripts other than Latin. Search them with the sparse retriever alone (legs: sparse). To search "
        "them by meaning, set SLUICE_EMBEDDER=openai:<multilingual model> and ingest them "
        "into a new collection; see docs/embedders.md."
    )
