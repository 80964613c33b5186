from __future__ import annotations

import random
import unicodedata
from itertools import pairwise
from uuid import UUID, uuid5

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from sluice import encryption
from sluice.adapters.embedders.minilm import minilm_tokenizer
from sluice.chunking.chunker import chunk, with_mentions
from sluice.chunking.headings import outline
from sluice.errors import BadRequest
from sluice.model.chunk import Chunk, Relation
from sluice.model.document import Document
from sluice.model.scan import ListingEntry, WorkItem
from sluice.ports.content import Recognized

KEY = b"i" * 32


def document(text: str, title: str = "", mime: str = "text/markdown", pages: tuple[int, ...] = ()) -> Document:
    item = WorkItem(uuid5(UUID(int=1), title or "one"), ListingEntry("one", "file:///one", "f", len(text)), new=True)
    return Document(item, mime, title, text, b"", {}, pages)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return minilm_tokenizer()


def chunks(text: str, profile: str = "chars:200:40", tokenizer: Tokenizer | None = None, **rest: object) -> list[Chunk]:
    built = chunk([document(text, **rest)], profile=profile, index_key=KEY, tokenizer=tokenizer)  # type: ignore[arg-type]
    assert len(built) == 1
    return list(built[0].chunks)


def prose(seed: int, words: int) -> str:
    choice = random.Random(seed)
    names = ["flow", "pressure", "wing", "layer", "boundary", "heat", "surface", "mach", "number", "theory", "shock"]
    sentences, count = [], 0
    while count < words:
        length = choice.randrange(5, 14)
        sentences.append(" ".join(choice.choice(names) + str(choice.randrange(99)) for _ in range(length)) + ".")
        count += length
    return " ".join(sentences)


PIECES = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        [
            "\r\n\r\n",
            "\n\n",
            "\n# Heading\n",
            "\n## Second ##\n",
            "\nSetext\n---\n",
            "\n```\n# code\n```\n",
            "| a | b |\n|---|---|\n" * 9,
            "- item\n" * 20,
            "x" * 700,
            "é́" * 90,
            "👩🏽‍🚀 " * 60,
            "漢字仮名交じり文。" * 30,
            "한국어" * 60,
            "  \t \n" * 40,
            "lone \ud83d surrogate ",
            "A sentence of words, then more. " * 12,
            "https://example.org/" + "a/b-c_d" * 40,
        ]
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join), st.sampled_from(["chars:100:0", "chars:150:70", "chars:600:100"]))
def test_offsets_are_exact_and_nothing_but_space_is_lost(text: str, profile: str) -> None:
    limit = int(profile.split(":")[1])
    built = chunks(text, profile, title="A title")
    covered = bytearray(len(text))
    for number, piece in enumerate(built):
        assert piece.text == text[piece.start : piece.end]
        assert piece.text == piece.text.strip() != ""
        assert len(piece.text) <= limit
        assert piece.ordinal == number
        assert piece.text_hash == encryption.text_hash(KEY, piece.embedded_text)
        covered[piece.start : piece.end] = b"x" * (piece.end - piece.start)
    assert not "".join(char for char, seen in zip(text, covered, strict=True) if not seen).strip()
    assert len({piece.chunk_id for piece in built}) == len(built)
    assert [p.start for p in built] == sorted({p.start for p in built})
    assert chunks(text, profile, title="A title") == built


@settings(max_examples=80, deadline=None)
@given(st.lists(PIECES, max_size=6).map("".join), st.text(max_size=300), st.sampled_from(["32:0", "64:20", "256:32"]))
@example("0000002\x1f" + "한국어" * 60 + "| a | b |\n|---|---|\n" * 9, "", "32:0")
@example("".join(f"{number}\x0b{'국' * 40}\x85" for number in range(0, 10**7, 999_983)), "", "32:0")
def test_every_chunk_fits_the_model(tokenizer: Tokenizer, text: str, title: str, sizes: str) -> None:
    built = chunks(text, f"tokens:{sizes}", tokenizer, title=title)
    for piece in built:
        assert piece.text == text[piece.start : piece.end]
        assert len(piece.context) <= 200
        assert len(tokenizer.encode(piece.embedded_text.encode("utf-8", "replace").decode()).ids) <= int(
            sizes.split(":")[0]
        )
    assert bool(built) == bool(text.strip())


def test_a_short_document_is_one_chunk_without_repeating_its_title(tokenizer: Tokenizer) -> None:
    text = "# Valves\n\nA valve stops the flow.\n\n## Sizes\n\nMany."
    for profile in ("tokens:256:0", "chars:600:0"):
        (only,) = chunks(f"\n{text}\n", profile, tokenizer, title="Valves")
        assert (only.text, only.context, only.headings, only.start) == (text, "", ("Valves",), 1)
    (only,) = chunks("A valve stops the flow.", "tokens:256:0", tokenizer, title="Valves")
    assert only.embedded_text == "Valves\n\nA valve stops the flow."


def test_blank_documents_have_no_chunks() -> None:
    assert chunks("") == [] == chunks(" \r\n\t ")


def test_chunks_keep_to_their_sections_and_know_their_headings() -> None:
    text = (
        "# Guide\n\nIntro.\n\n## Install\n\n"
        + prose(1, 60)
        + "\n\n### Linux\n\n"
        + prose(2, 8)
        + "\n\n## Use\n\nRun it."
    )
    built = chunks(text, "chars:300:60", title="Guide")
    assert {piece.headings for piece in built} >= {("Guide",), ("Guide", "Install"), ("Guide", "Use")}
    for piece in built:
        assert sum(line.startswith(("# ", "## ")) for line in piece.text.splitlines()) <= 1
    inner = next(p for p in built if p.headings == ("Guide", "Install") and not p.text.startswith("##"))
    assert inner.context == "Guide\nInstall"
    assert built[-1].text == "## Use\n\nRun it."
    assert built[-1].context == "Guide"


def test_headings_of_all_kinds_but_not_from_code() -> None:
    text = (
        "---\ntitle: x\n---\n\nTop\n===\n\n```python\n# comment\n```\n\n  ## Two ##\n~~~\n# no\n~~~\n\n"
        "Three\n-----\r\n####### seven\n#hash\n\n- item\n---\n\n=====\nFramed\n=====\n\n### [Link](http://x.y) `code`\n"
    )
    assert [(h.level, h.path[-1]) for h in outline(text).headings] == [
        (1, "Top"),
        (2, "Two"),
        (2, "Three"),
        (1, "Framed"),
        (3, "Link code"),
    ]
    assert outline(text).headings[2].path == ("Top", "Three")


def test_comments_in_code_files_are_no_headings() -> None:
    assert chunks("# comment\nx = 1\n", mime="text/x-python")[0].headings == ()


def test_the_page_is_the_one_a_chunk_begins_on() -> None:
    first, second = prose(1, 40), prose(2, 40)
    built = chunks(first + "\n\n" + second, "chars:200:0", pages=(0, len(first) + 2))
    assert {piece.page for piece in built} == {1, 2}
    for piece in built:
        assert piece.page == (1 if piece.start < len(first) + 2 else 2)
    assert chunks(first)[0].page is None


def test_overlap_repeats_whole_sentences_or_words() -> None:
    built = chunks(prose(3, 200), "chars:400:120")
    repeated = [before.end - after.start for before, after in pairwise(built)]
    assert max(repeated) > 20
    assert all(0 <= size + 1 <= 121 for size in repeated)


def test_equal_pieces_get_different_ids() -> None:
    section = "## Same\n\n" + "word " * 30 + "\n\n"
    built = chunks(section * 3, "chars:200:0")
    assert len(built) == 3
    assert len({piece.text_hash for piece in built}) == 1
    assert len({piece.chunk_id for piece in built}) == 3
    digest = built[0].text_hash.hex()
    assert built[2].chunk_id == uuid5(built[2].document_id, f"chars:200:0|{digest}|2")


@pytest.mark.parametrize("sections", [True, False], ids=["20 sections", "flat"])
def test_an_inserted_paragraph_leaves_other_chunks_alone(tokenizer: Tokenizer, sections: bool) -> None:
    paragraphs = [prose(seed, 30 + seed % 60) for seed in range(100)]

    def written(paragraphs: list[tuple[int, str]]) -> str:
        return "\n\n".join((f"## Section {n // 5}\n\n" if sections and n % 5 == 0 else "") + p for n, p in paragraphs)

    numbered = list(enumerate(paragraphs))
    before = chunks(written(numbered), "tokens:256:0", tokenizer, title="T")
    after = chunks(
        written([*numbered[:52], (52, prose(999, 60)), *numbered[52:]]), "tokens:256:0", tokenizer, title="T"
    )
    new = {piece.chunk_id for piece in after} - {piece.chunk_id for piece in before}
    assert len(after) > 40
    assert 1 <= len(new) <= 6


def test_an_unbroken_line_is_cut_between_characters() -> None:
    text = "e\u0301" * 400
    for piece in chunks(text, "chars:101:0"):
        assert not unicodedata.combining(piece.text[0])


@pytest.mark.parametrize("profile", ["", "words:10:0", "tokens:256", "tokens:8:0", "chars:200:150", "chars:-1:0"])
def test_an_unknown_profile_is_refused(profile: str) -> None:
    with pytest.raises(BadRequest, match=r"tokens:<max>:<overlap>"):
        chunks("text", profile)


def test_a_tokenizer_that_truncates_is_refused(tokenizer: Tokenizer) -> None:
    short = Tokenizer.from_str(tokenizer.to_str())
    short.enable_truncation(16)
    with pytest.raises(BadRequest, match="truncates"):
        chunks("text", "tokens:256:0", short)
    with pytest.raises(BadRequest, match="counts tokens"):
        chunks("text", "tokens:256:0")


class CapitalWords:
    name = "capitals"

    def extract(self, texts: list[str]) -> list[Recognized]:
        return [
            Recognized(
                [("NAME", word, text.split().count(word)) for word in {*text.split()} if word.istitle()],
                [("Bob", "met", "Ada"), ("Ada", "met", "Ada")] if "met" in text else [],
            )
            for text in texts
        ]


def test_mentions_are_merged_by_entity() -> None:
    built = chunk(
        [document("Ada met ADA's Ada and Bob"), document(""), document("Bob left", title="two")],
        profile="chars:100:0",
        index_key=KEY,
    )
    first, empty, last = with_mentions(
        built,
        CapitalWords(),  # type: ignore[arg-type]
        lambda kind, name: uuid5(UUID(int=2), f"{kind}|{name.casefold()}"),
    )
    output = [(m.name, m.count, m.kind) for m in first.chunks[0].mentions if m.count]
    assert output == [("Ada", 2, "NAME"), ("Bob", 1, "NAME")]
    ada, bob = (mention.entity_id for mention in first.chunks[0].mentions if mention.count)
    assert first.chunks[0].relations == (Relation(bob, "met", ada),)  # nothing is said of one entity alone
    assert empty.chunks == () and last.chunks[0].relations == ()
    assert last.chunks[0].mentions[0].entity_id == first.chunks[0].mentions[1].entity_id


def test_spellings_of_one_entity_are_one_mention() -> None:
    class Two:
        name = "two"

        def extract(self, texts: list[str]) -> list[Recognized]:
            return [Recognized([("ORG", "ACME", 1), ("ORG", "Acme", 3)]) for _ in texts]

    built = chunk([document("Acme")], profile="chars:100:0", index_key=KEY)
    ((mention,),) = [c.mentions for c in with_mentions(built, Two(), lambda kind, name: UUID(int=5))[0].chunks]  # type: ignore[arg-type]
    assert (mention.name, mention.count, mention.about) == ("Acme", 4, False)
