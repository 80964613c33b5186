"""One spelling of each source, and its name in lineage."""

from __future__ import annotations

import pytest

from sluice.sources.schemes import SCHEMES, canonical, check_scheme, dataset_name, imported


@pytest.mark.parametrize(
    ("spelling", "one"),
    [
        ("S3://bucket", "s3://bucket/"),
        ("s3://bucket/a", "s3://bucket/a/"),
        ("s3://bucket/a//", "s3://bucket/a//"),
        (" s3://bucket/a b/ü?connection=x ", "s3://bucket/a%20b/%C3%BC/?connection=x"),
        ("s3://bucket/a%20b/%c3%bc/?connection=x", "s3://bucket/a%20b/%C3%BC/?connection=x"),
        ("HTTPS://Example.ORG:443", "https://example.org/"),
        ("https://example.org./a?b=c#d", "https://example.org/a?b=c"),
        ("https://bücher.example/ü ä?q=ö", "https://xn--bcher-kva.example/%C3%BC%20%C3%A4?q=%C3%B6"),
        ("http://[::1]:8080/a%2Fb", "http://[::1]:8080/a%2Fb"),
        ("http://h:80/a/", "http://h/a/"),
    ],
)
def test_one_place_has_one_spelling(spelling: str, one: str) -> None:
    assert canonical(spelling) == one
    assert canonical(one) == one


@pytest.mark.parametrize("odd", ["https://", "https://h:port/", "https://[::1/", "https://ann:s3cret@h/"])
def test_what_cannot_be_understood_is_left_to_the_reader(odd: str) -> None:
    assert canonical(odd) == odd


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("file:///data/a%20b", ("file", "/data/a b")),
        ("jsonl:///data/x.jsonl", ("file", "/data/x.jsonl")),
        ("s3://bucket/a%20b/?connection=x", ("s3://bucket", "a b")),
        ("s3://bucket/", ("s3://bucket", "/")),
        ("https://example.org/feed.xml?token=s3cret", ("https://example.org", "/feed.xml")),
        ("https://example.org:8443/", ("https://example.org:8443", "/")),
        ("git+https://example.org/team/repo?ref=main", ("git+https://example.org", "/team/repo")),
        ("git+file:///srv/repo?ref=main", ("git+file", "/srv/repo")),
        ("postgresql://reports?table=public.pages&title=t", ("postgresql://reports", "public.pages")),
        ("uploads://acme/docs", ("uploads://acme", "/docs")),
    ],
)
def test_names_in_lineage(uri: str, name: tuple[str, str]) -> None:
    assert dataset_name(uri) == name


@pytest.mark.parametrize(
    "uri",
    [
        "file:///data/a",
        "jsonl:///data/x.jsonl",
        "s3://bucket",
        "s3://bucket/a?connection=x",
        "https://example.org",
        "git+https://example.org/team/repo?ref=main",
        "git+file:///srv/repo",
        "postgresql://reports?table=public.pages",
    ],
)
def test_a_slash_at_the_end_does_not_name_another_dataset(uri: str) -> None:
    """A saved source has the canonical spelling, and lineage names it by that."""
    path, question, query = uri.partition("?")
    assert dataset_name(canonical(f"{path}/{question}{query}")) == dataset_name(canonical(uri))


def test_pages_of_a_site_that_differ_in_a_slash_are_two_datasets() -> None:
    assert dataset_name(canonical("https://example.org/a/")) != dataset_name(canonical("https://example.org/a"))


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_has_a_reader_and_keeps_its_own_spelling(name: str) -> None:
    scheme = check_scheme(f"{name}://")
    assert callable(imported(scheme.reader))
    uri = scheme.example.partition(" (")[0] or f"{name}://host/"
    assert uri.startswith(f"{name}://")
    assert canonical(canonical(uri)) == canonical(uri)
