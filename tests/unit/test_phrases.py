"""Names by their capitals, and what documents are about by titles and headings."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from sluice.adapters.entities.factory import make_entities
from sluice.adapters.entities.naming import entity_id
from sluice.chunking.chunker import chunk, with_mentions
from sluice.model.document import Document
from sluice.model.scan import ListingEntry, WorkItem

KEY = b"k" * 32


def names(text: str) -> dict[str, int]:
    extractor = make_entities("phrases")
    assert extractor is not None
    (result,) = extractor.extract([text])
    assert {kind for kind, _, _ in result.entities} <= {"PHRASE"}
    return {name: count for _, name, count in result.entities}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The British Museum stands in London.", {"British Museum": 1, "London": 1}),
        ("Barack Obama met Angela Merkel. Barack Obama's speech", {"Barack Obama": 2, "Angela Merkel": 1}),
        ("a Bank of America branch, Émile de la Croix", {"Bank of America": 1, "Émile de la Croix": 1}),
        ("Paris and London", {"Paris": 1, "London": 1}),  # *and* joins no name
        ("John F. Kennedy and J. R. R. Tolkien", {"John F. Kennedy": 1, "J. R. R. Tolkien": 1}),
        ("AT&T, O'Neill and the U.S. Army", {"AT&T": 1, "O'Neill": 1, "U.S. Army": 1}),
        ("In 1990 Apollo 11 was history.", {"Apollo 11": 1}),
        ("However, We Were There", {}),
        ("the New York\nTimes", {"New York": 1, "Times": 1}),  # a line ends it
        ("VERY LOUD TITLE THAT GOES ON FOR MORE THAN EIGHT WORDS", {}),
        ("no capitals, 1984, 東京は大きい", {}),
        ("", {}),
        ("\udcff Broken \0 Text", {"Broken": 1, "Text": 1}),
    ],
)
def test_runs_of_capitalised_words(text: str, expected: dict[str, int]) -> None:
    assert names(text) == expected


def test_spellings_that_normalise_alike_are_one() -> None:
    assert names("ACME paid Acme, and Acme paid.") == {"Acme": 3}


def test_a_long_text_takes_time_by_its_length_alone() -> None:
    """Each would take hours if it took the square of its length, and takes less than a second: a minute of this
    thread's own time tells them apart on any machine, however busy."""
    for piece in ("A. ", "A.B.", "of ", "A of of ", "A", "A&", "Aa ", "a.", "A. of "):
        began_s = time.thread_time()
        result = names(piece * 100_000)
        assert time.thread_time() - began_s < 60, piece
        assert all(name in piece * 100 for name in result)


def test_a_document_is_about_its_title_and_its_headings() -> None:
    body = (
        "# Mercury\n\nIt is near.\n\n## 2.1 Orbit and Rotation\n\n" + "It turns. " * 40 + "\n\n### Orbit\n\nOnce more."
    )
    body += "\n\n## Orbit\n\n```\n# no heading\n```\nAgain."
    built = cut("Mercury (planet)", body)
    assert len(built) > 2
    assert [[each.name for each in chunk.mentions if each.about] for chunk in built if any_about(chunk)] == [
        ["Mercury"],  # the title, without its brackets; the first heading says the same
        ["Orbit and Rotation"],
        ["Orbit"],
    ]
    about = [each for chunk in built for each in chunk.mentions if each.about]
    assert about[0].entity_id == entity_id(KEY, "mercury")  # where a text that names it leads
    assert about[0].count == 0 or about[0].about


def test_a_title_that_the_text_names_is_one_entity_with_both() -> None:
    (first, *_) = cut("Ada Lovelace", "Ada Lovelace wrote to Charles Babbage.")
    assert [(each.name, each.count, each.about) for each in first.mentions] == [
        ("Ada Lovelace", 1, True),
        ("Charles Babbage", 1, False),
    ]


@pytest.mark.parametrize("title", ["1984", "", "-", "x"])
def test_what_names_nothing_is_no_subject(title: str) -> None:
    assert not any_about(cut(title, "words without names")[0])


def test_lines_of_code_and_data_are_no_headings() -> None:
    assert [each.name for each in cut("setup.py", "# Comment\nprint()", "text/x-python")[0].mentions if each.about] == [
        "setup.py"
    ]


def cut(title: str, text: str, mime: str = "text/markdown") -> tuple:
    item = WorkItem(uuid4(), ListingEntry("one", "file:///one", "1", len(text)), new=True)
    document = Document(item, mime, title, text, b"h" * 20)
    extractor = make_entities("phrases")
    assert extractor is not None
    chunked = chunk([document], profile="chars:200:0", index_key=KEY)
    return with_mentions(chunked, extractor, lambda _, name: entity_id(KEY, name))[0].chunks


def any_about(chunk: object) -> bool:
    return any(each.about for each in chunk.mentions)  # type: ignore[attr-defined]
