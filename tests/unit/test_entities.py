"""Names in texts, and the ids under which they meet."""

from __future__ import annotations

import pytest

from sluice.adapters.entities.factory import make_entities
from sluice.adapters.entities.naming import entity_id, normalise
from sluice.adapters.entities.spacy import KINDS
from sluice.errors import BadRequest
from sluice.ports.content import EntityExtractor

ONE, OTHER = b"1" * 32, b"2" * 32

ABOUT_OBAMA = "Barack Obama was born in Honolulu. Years later Barack Obama met Angela Merkel in Berlin."


@pytest.fixture(scope="module")
def extractor() -> EntityExtractor:
    built = make_entities("spacy:en_core_web_sm")
    assert built is not None
    return built


def test_people_and_places_are_counted(extractor: EntityExtractor) -> None:
    (result,) = extractor.extract([ABOUT_OBAMA])
    assert result.entities[0] == ("PERSON", "Barack Obama", 2)
    assert {name for kind, name, _ in result.entities if kind == "GPE"} == {"Honolulu", "Berlin"}


def test_results_come_in_the_order_of_the_texts(extractor: EntityExtractor) -> None:
    cities = ["Paris", "London", "Tokyo", "Madrid", "Vienna"] * 30
    texts = [f"She travelled to {city} last summer." if city != "Tokyo" else "" for city in cities]
    result = extractor.extract(texts)
    assert len(result) == len(texts)
    for city, names in zip(cities, result, strict=True):
        assert [name for _, name, _ in names.entities] == ([] if city == "Tokyo" else [city])


def test_spellings_meet_under_the_most_frequent(extractor: EntityExtractor) -> None:
    text = (
        "The European Union met in Brussels. Ministers of the European Union agreed with the European Union's court. "
        "The EUROPEAN   UNION paid."
    )
    (result,) = extractor.extract([text])
    unions = [each for each in result.entities if "union" in each[1].casefold()]
    assert len(unions) == 1
    assert unions[0][2] >= 3
    assert normalise(unions[0][1]) == "european union"


def test_numbers_dates_and_markup_are_no_entities(extractor: EntityExtractor) -> None:
    text = "On 3 May 2021 Microsoft paid $5 million, 40 percent more.\n\n| <td>Google</td> | `pip install` |\n\n1999"
    (result,) = extractor.extract([text])
    assert {kind for kind, _, _ in result.entities} <= KINDS
    assert "Microsoft" in {name for _, name, _ in result.entities}
    for _, name, count in result.entities:
        assert count > 0
        assert not set(name) & set("<>|`\n")
        assert name == " ".join(name.split())
        assert 2 <= len(name) <= 80
        assert len(name.split()) <= 8


def test_a_long_text_is_read_to_its_end(extractor: EntityExtractor) -> None:
    filler = "The water was cold and the road was long. " * 600
    (result,) = extractor.extract([filler + ABOUT_OBAMA])
    assert ("PERSON", "Barack Obama", 2) in result.entities


def test_odd_texts_are_survived(extractor: EntityExtractor) -> None:
    result = extractor.extract(["", " \n\t ", "\udcff broken", "\0", "x" * 9000, "🙂" * 100])
    assert len(result) == 6
    assert result[0].entities == result[1].entities == []
    assert extractor.extract([]) == []


def test_the_same_text_gives_the_same_answer(extractor: EntityExtractor) -> None:
    assert extractor.extract([ABOUT_OBAMA] * 3) == [extractor.extract([ABOUT_OBAMA])[0]] * 3


def test_relations_are_told_where_they_are_wanted(extractor: EntityExtractor) -> None:
    text = "Angela Merkel is a German politician. She lives in Hamburg, Germany. The German poet Goethe was in Weimar."
    relating = make_entities("spacy:en_core_web_sm+relations")
    assert relating is not None and relating.name == "spacy:en_core_web_sm+relations"
    (plain,), (result, empty) = extractor.extract([text]), relating.extract([text, ""])
    assert plain.relations == empty.relations == [] and result.entities == plain.entities
    assert ("Angela Merkel", "citizen_of", "German") in result.relations
    assert ("Hamburg", "located_in", "Germany") in result.relations
    named = {name for _, name, _ in result.entities}
    assert {end for head, _, tail in result.relations for end in (head, tail)} <= named


def test_a_row_of_a_table_is_no_sentence() -> None:
    relating = make_entities("spacy:en_core_web_sm+relations")
    assert relating is not None
    (result, wrapped) = relating.extract(
        ["| Hamburg | Germany |\n|---|---|\n| Berlin | France |", "She lives in Hamburg,\nGermany."]
    )
    assert {"Hamburg", "Germany"} <= {name for _, name, _ in result.entities} and not result.relations
    assert list(wrapped.relations) == [("Hamburg", "located_in", "Germany")]


def test_an_id_is_of_one_tenant_and_of_one_name() -> None:
    assert entity_id(ONE, "European Union") == entity_id(ONE, "the  EUROPEAN\nUnion.")
    assert entity_id(ONE, "European Union") != entity_id(OTHER, "European Union")
    assert entity_id(ONE, "European Union") != entity_id(ONE, "European Unit")
    assert entity_id(ONE, "ﬁeld") == entity_id(ONE, "field")  # a ligature from a PDF
    assert entity_id(ONE, "The") != entity_id(ONE, "")


def test_off_is_no_extractor_and_unknown_names_are_refused() -> None:
    assert make_entities("off") is None
    assert make_entities("spacy:en_core_web_sm") is make_entities("spacy:en_core_web_sm")
    for name in ("", "spacy", "spacy:", "spacy:no_such_pipeline", "spacy:../x", "spacy:en_core_web_sm+", "gliner:x"):
        with pytest.raises(BadRequest):
            make_entities(name)
