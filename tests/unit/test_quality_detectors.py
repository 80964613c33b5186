"""Personal data, secrets, languages, near-duplicates and boilerplate: found, told without text, masked or kept out."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.model.document import Document
from sluice.model.gates import GateRule, Signature
from sluice.model.scan import ListingEntry, WorkItem
from sluice.quality import gates
from sluice.quality.boilerplate import boilerplate_shares
from sluice.quality.checks import PERSONAL_TYPES
from sluice.quality.duplicates import closest, signature
from sluice.quality.findings import Findings, Span, apart, masked, replaced, windows
from sluice.quality.gates import Verdict
from sluice.quality.language import language
from sluice.quality.personal_data import personal_data
from sluice.quality.secrets import secrets

KEY, COLLECTION = bytes(32), UUID(int=7)
EXACT = PERSONAL_TYPES[:6]
PROSE = "The quick brown fox jumps over the lazy dog, and nobody minds. "
# Valid in form and checksum, and nobody's: documentation ranges, test numbers of issuers.
PEOPLE = {
    "EMAIL": "jo.doe@example.org",
    "PHONE": "+44 20 7946 0958",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "IBAN": "GB82 WEST 1234 5698 7654 32",
    "US_SSN": "078-05-1121",
    "IP_ADDRESS": "203.0.113.77",
}
TOKENS = {
    "AWS_KEY": "AKIA" + "Q3EGRJXT5VN7UWZP",
    "GITHUB_TOKEN": "ghp_" + "a1B2c3D4e5F6" * 3,
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "GOOGLE_KEY": "AIza" + "Sy4" * 11 + "x_",
    "PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA\n" * 3 + "-----END RSA PRIVATE KEY-----",
}


def document(name: str, text: str = PROSE, **more: Any) -> Document:
    item = WorkItem(uuid5(UUID(int=3), name), ListingEntry(name, f"file:///{name}", "f", len(text)), new=True)
    return replace(Document(item, "text/plain", "A title", text, b"h"), **more)


def gate(documents: Sequence[Document], known: Sequence[Signature] = (), **rules: GateRule) -> Verdict[Document]:
    by_check = {("documents", code): rule for code, rule in rules.items()}
    return gates.documents_gate(
        documents, by_check, index_key=KEY, collection_id=COLLECTION, similar=lambda bands: known
    )


def rows(verdict: Verdict[Document], code: str) -> list[Any]:
    return [row.observed for row in verdict.rows if row.code == code]


# --- personal data


@pytest.mark.parametrize("kind", EXACT)
def test_each_kind_is_found_where_it_stands(kind: str) -> None:
    before = "Her ssn: " if kind == "US_SSN" else "Write down: "
    text = f"{before}{PEOPLE[kind]}, please."
    (outcome,) = personal_data([text], EXACT)
    assert outcome == (Span(len(before), len(before) + len(PEOPLE[kind]), kind),)
    assert personal_data([text], [each for each in EXACT if each != kind]) == [()]


@pytest.mark.parametrize(
    "text",
    [
        "Mach 0.65 0.10 at 381-397 (1950), see table 12 13 14 15.",
        "On 2018-01-14 03:07:43 version 2.3.2.4 came out; std::vector<int> and a::b stayed.",
        "Card number 4111 1111 1111 1112 has a wrong digit, as has GB83 WEST 1234 5698 7654 32.",
        "pip install numpy==1.2.3.4 # 127.0.0.1 only, someone@localhost",
        "ISBN 978-3-16-148410-0, pages 2023-2025, 1 000 000 people.",
    ],
)
def test_what_looks_like_it_is_left_alone(text: str) -> None:
    assert personal_data([text], EXACT) == [()]


def test_names_are_found_on_request_only() -> None:
    text = "Yesterday Angela Merkel met Barack Obama in Paris; write to angela@example.org."
    names, without = personal_data([text], PERSONAL_TYPES)[0], personal_data([text], EXACT)[0]
    assert {text[span.start : span.end] for span in names if span.kind == "PERSON"} == {"Angela Merkel", "Barack Obama"}
    assert [span.kind for span in without] == ["EMAIL"]


def test_nothing_is_fetched_and_nothing_heavy_imported_for_a_text_without_any() -> None:
    code = (
        "import socket, sys; from sluice.quality.personal_data import personal_data\n"
        "def refuse(*a, **k): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        f"assert personal_data([{PROSE!r}], {EXACT!r}) == [()]\n"
        "assert not {'presidio_analyzer', 'spacy', 'phonenumbers', 'tldextract'} & set(sys.modules)\n"
        "assert [s.kind for s in personal_data(['mail jo@example.co.uk'], ['EMAIL'])[0]] == ['EMAIL']\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr


# --- secrets


@pytest.mark.parametrize("kind", TOKENS)
def test_each_kind_of_secret_is_found_whole(kind: str) -> None:
    text = f"{PROSE}{TOKENS[kind]} and so on"
    assert secrets(text) == (Span(len(PROSE), len(PROSE) + len(TOKENS[kind]), kind),)


def test_passwords_that_are_written_out() -> None:
    text = 'password = "k9$Lw2!pQz"\nurl: postgres://app:s3cr3tW0rd@db/x\nsecret: \'changeme\'\ntoken: "$TOKEN"'
    assert [text[span.start : span.end] for span in secrets(text)] == ["k9$Lw2!pQz", "s3cr3tW0rd"]


@pytest.mark.parametrize("name", ["pwd", "passphrase"])
@pytest.mark.parametrize("quote", ['"', "'", ""])
def test_every_name_of_a_password_counts_with_and_without_quotes(name: str, quote: str) -> None:
    text = f"{name}: {quote}hunter2-Xk29{quote}"
    assert [text[span.start : span.end] for span in secrets(text)] == ["hunter2-Xk29"]


@pytest.mark.parametrize(
    "line",
    [
        "aws_secret_access_key = {}",
        "AWS_SECRET_ACCESS_KEY={}",
        "the secret access key is {} for the bucket",
        "secretAccessKey: `{}`",
    ],
)
def test_the_secret_half_of_a_key_is_found_without_quotes(line: str) -> None:
    secret = "9f" + "Qz7LmXw2Kd+Rv5Tn8Bc/Hj3Gy6PsEa1UoIrNt4"  # made up
    (outcome,) = secrets(f"[default]\n{line.format(secret)}\nregion = eu\n")
    assert (f"[default]\n{line.format(secret)}"[outcome.start : outcome.end]) == secret


@pytest.mark.parametrize(
    "text", ["password: hunter2-Xk29", "DB_PASSWORD=Tr0ub4dor&3\n", "api_key = 8f14e45fceea167a.", "pwd: `a1B2c3D4e5`"]
)
def test_passwords_are_found_without_quotes(text: str) -> None:
    (outcome,) = secrets(text)
    assert outcome.kind == "PASSWORD" and any(map(str.isdigit, text[outcome.start : outcome.end]))
    assert text[outcome.end :].strip(" .`\n") == ""


@pytest.mark.parametrize(
    "text",
    [
        "password: the one that you chose",
        "password=os.environ.get('PASSWORD_1')",
        "token = settings.token2_name",
        "token: tokenize(text1, 200)",
        "api_key: $API_KEY_1 or ${API_KEY_2}",
        "secret: projects/one1/secrets/two2",
        "max_token=12345678",
        "the password reset of 2024-05-01",
        "access_key=<your-key-123456>",
    ],
)
def test_what_stands_for_a_password_is_none(text: str) -> None:
    assert secrets(text) == ()


def test_words_and_hashes_are_no_secrets() -> None:
    text = f"The token bucket has a key: 'tokens'. {'0123456789abcdef' * 4} https://user:password@host/ {UUID(int=5)}"
    assert secrets(text) == ()


@pytest.mark.parametrize("before", [0, 1, 1660, 1671, 1999, 2000, 2001, 3990, 4000, 9990])
def test_in_long_texts_nothing_is_lost_at_the_seams(before: int) -> None:
    filling = "lorem ipsum dolor " * 700
    head = filling[:before]
    text = f"{head} {PEOPLE['EMAIL']} {TOKENS['JWT']} {filling}"
    at = before + 1
    assert personal_data([text], EXACT) == [(Span(at, at + len(PEOPLE["EMAIL"]), "EMAIL"),)]
    at += len(PEOPLE["EMAIL"]) + 1
    assert secrets(text) == (Span(at, at + len(TOKENS["JWT"]), "JWT"),)


@given(st.text("ab \n", max_size=300), st.integers(2, 40), st.integers(1, 20))
def test_windows_cover_the_text_and_overlap(text: str, chars: int, overlap: int) -> None:
    overlap = min(overlap, chars - 1)
    pieces = list(windows(text, chars, overlap))
    assert all(text[start : start + len(piece)] == piece and len(piece) <= chars for start, piece in pieces)
    for (start, piece), (later, _) in pairwise(pieces):
        assert start < later <= start + len(piece) - overlap
    assert pieces[0][0] == 0
    assert pieces[-1][0] + len(pieces[-1][1]) == len(text)


# --- what happens to it


def people(name: str = "people") -> Document:
    text = f"{PROSE}Mail {PEOPLE['EMAIL']} or call {PEOPLE['PHONE']}.\f{PROSE}{TOKENS['AWS_KEY']}\f{PROSE}"
    pages = (0, text.index("\f") + 1, text.rindex("\f") + 1)
    metadata = {"author": "Jo <jo.doe@example.org>", "year": 2020, "to": ["a@example.org", 5, {"cc": "b@example.org"}]}
    return document(name, text, title=f"From {PEOPLE['EMAIL']}", metadata=metadata, page_starts=pages)


def test_by_default_secrets_are_masked_and_personal_data_flagged_and_told_without_text() -> None:
    verdict = gate([people(), document("clean")])
    flagged, clean = verdict.passed
    assert (flagged.text, flagged.title) == (people().text.replace(TOKENS["AWS_KEY"], "[AWS_KEY]"), people().title)
    assert flagged.metadata["gate_flags"] == ["personal_data", "secrets"]
    assert "gate_flags" not in clean.metadata
    start = people().text.index(PEOPLE["EMAIL"])
    (output,) = rows(verdict, "personal_data")
    assert output["kinds"] == {"EMAIL": 5, "PHONE": 1}
    assert output["count"] == 6
    assert ["text", "EMAIL", start, start + len(PEOPLE["EMAIL"])] in output["at"]
    stored = json.dumps([row.observed for row in verdict.rows]) + repr(verdict.results) + repr(verdict.failures)
    assert not [each for each in ("jo.doe", "7946", "AKIA", "example.org") if each in stored]


def test_masked_it_goes_on_with_placeholders_and_true_pages() -> None:
    mask = GateRule("mask")
    verdict = gate([people()], personal_data=mask, secrets=mask)
    (passed,) = verdict.passed
    assert passed.text == f"{PROSE}Mail [EMAIL] or call [PHONE].\f{PROSE}[AWS_KEY]\f{PROSE}"
    assert [passed.text[start:].startswith(PROSE) for start in passed.page_starts] == [True] * 3
    assert passed.title == "From [EMAIL]"
    assert passed.metadata == {
        "author": "Jo <[EMAIL]>",
        "year": 2020,
        "to": ["[EMAIL]", 5, {"cc": "[EMAIL]"}],
        "gate_flags": ["personal_data", "secrets"],
    }
    assert rows(verdict, "personal_data"), "what was masked is told, too"
    again = gate(verdict.passed, personal_data=GateRule("block"), secrets=GateRule("block"))
    assert again.failures == [], "nothing is left to find"


def test_blocked_it_is_kept_out_and_only_for_what_was_asked() -> None:
    verdict = gate([people(), document("clean")], personal_data=GateRule("block", options=("IBAN", "EMAIL")))
    assert [(each.code, each.item) for each in verdict.failures] == [("personal_data", people().item)]
    assert [each.item for each in verdict.passed] == [document("clean").item]
    assert rows(verdict, "personal_data")[0]["kinds"] == {"EMAIL": 5}
    verdict = gate([people()], personal_data=GateRule("block", limit=6))
    assert verdict.failures == []
    verdict = gate([people()], personal_data=GateRule("off"), secrets=GateRule("off"))
    assert "gate_flags" not in verdict.passed[0].metadata


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9), st.sampled_from(["A", "LONGER_KIND"])), max_size=6),
    st.lists(st.integers(0, 60), max_size=4),
)
def test_masking_leaves_the_rest_and_moves_pages_with_it(
    text: str, raw: list[tuple[int, int, str]], pages: list[int]
) -> None:
    outcome = [Span(start, min(start + size, len(text)), kind) for start, size, kind in raw if start < len(text)]
    starts = tuple(sorted(page for page in pages if page <= len(text)))
    spans = apart(outcome)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    done = masked(document("a", text, page_starts=starts), [Findings(text=tuple(outcome))])
    assert done.text == replaced(text, spans)
    for before, after in zip(starts, done.page_starts, strict=True):
        inside = [span for span in spans if span.start <= before < span.end]
        if inside:
            assert done.text[after:].startswith(f"[{inside[0].kind}]")
        else:
            assert done.text[after:] == replaced(
                text[before:], [Span(s.start - before, s.end - before, s.kind) for s in spans if s.start >= before]
            )


# --- languages


def test_languages_are_told_and_unexpected_ones_flagged_where_asked() -> None:
    german = document("german", "Der schnelle braune Fuchs springt über den faulen Hund, und niemand stört sich daran.")
    assert (language(PROSE * 2), language(german.text), language("x 1 2")) == ("eng", "deu", None)
    batch = [document("english", PROSE * 2), german, document("numbers", "12 34 56")]
    verdict = gate(batch, language=GateRule("block"))
    assert [failure.item for failure in verdict.failures] == [german.item]
    assert rows(verdict, "language") == [{"language": "deu"}]
    assert gate(batch, language=GateRule("block", options=("deu", "eng"))).failures == []
    assert "language" not in [result.observed["code"] for result in gate(batch).results]


# --- near-duplicates


def words(seed: int, count: int = 300) -> list[str]:
    return [f"w{number}" for number in random.Random(seed).choices(range(5000), k=count)]


def test_similarity_is_near_the_share_of_common_runs() -> None:
    base = words(1, 2000)
    other = [f"x{word}" if number % 40 == 0 else word for number, word in enumerate(base)]
    runs = [{tuple(each[i : i + 4]) for i in range(len(each) - 3)} for each in (base, other)]
    true = len(runs[0] & runs[1]) / len(runs[0] | runs[1])
    one, two = (signature(document("a", " ".join(each)), KEY, COLLECTION) for each in (base, other))
    assert one is not None and two is not None
    assert float((one.minima == two.minima).mean()) == pytest.approx(true, abs=0.15)
    assert set(one.bands) & set(two.bands)


def test_of_two_alike_the_later_one_is_flagged_whatever_their_order() -> None:
    first, second = sorted(
        [document(name, " ".join([*words(2), name])) for name in ("a", "b")], key=lambda each: each.document_id
    )
    for batch in ([first, second], [second, first]):
        verdict = gate([*batch, document("other", " ".join(words(3)))], near_duplicate=GateRule("block"))
        assert [failure.item for failure in verdict.failures] == [second.item]
        (output,) = rows(verdict, "near_duplicate")
        assert output["document_id"] == str(first.document_id)
        assert 0.9 < output["similarity"] <= 1


def test_what_is_served_is_compared_too_and_a_full_run_blocks_nothing() -> None:
    first, second = sorted([document(name, " ".join(words(4))) for name in "ab"], key=lambda each: each.document_id)
    known = gate([first]).signatures
    block = GateRule("block")
    assert [each.item for each in gate([second], known, near_duplicate=block).failures] == [second.item]
    served = [replace(first, item=replace(first.item, new=False, active_hash=first.raw_hash))]
    assert gate(served, [*known, *gate([second]).signatures], near_duplicate=block).failures == []
    edited = [replace(first, item=replace(first.item, new=False, active_hash=b"other"))]
    failures = gate(edited, [*known, *gate([second]).signatures], near_duplicate=block).failures
    assert [each.item.document_id for each in failures] == [first.document_id], "an edit made it like a later one"


def test_signatures_are_of_what_passed_and_differ_by_key_and_collection() -> None:
    text = " ".join(words(5))
    verdict = gate([document("a", text), document("short", "too few words"), document("bad", text, mime="")])
    assert [each.document_id for each in verdict.signatures] == [document("a").document_id]
    plain = verdict.signatures[0]
    for key, collection in ((b"\1" * 32, COLLECTION), (KEY, UUID(int=8))):
        other = signature(document("a", text), key, collection)
        assert other is not None
        assert not set(other.bands) & set(plain.bands)
        assert np.array_equal(other.minima, plain.minima) is (key == KEY)
    assert closest([document("a", text)], {}, verdict.signatures) == {}


# --- boilerplate


def test_lines_that_many_documents_repeat() -> None:
    banner = "We use cookies to improve your experience.\nAccept all cookies and continue\n"
    own = [f"{'Something that only this one says, number ' + str(number)} {PROSE}\n" for number in range(4)]
    shares = boilerplate_shares([banner + own[0], banner * 3 + own[1], banner, own[2], own[3], ""])
    assert shares[2] == pytest.approx(1, abs=0.03)
    assert 0.3 < shares[0] < 0.6 < shares[1] < 1
    assert shares[3:] == [0, 0, 0]
    assert boilerplate_shares([banner, banner]) == [0, 0], "two alike are duplicates"
    verdict = gate([document(str(number), banner + text) for number, text in enumerate([*own, ""])])
    assert [row.document_id for row in verdict.rows if row.code == "boilerplate"] == [document("4").document_id]
