"""Which places may be given to which tenants and groups, on real folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pygit2
import pytest

from sluice.access import places
from sluice.access.source_rules import merged_rules, parse_rules
from sluice.adapters.postgres.failures import translated
from sluice.errors import BadRequest, ExtractionError, Forbidden, SluiceError
from sluice.model.scan import WorkItem
from sluice.model.source import SavedSource, Schedule, SourceSpec
from sluice.settings import Settings
from sluice.sources.schemes import canonical
from sluice.sources.uri import check_root
from sluice.wiring.readers import environment_connection
from sluice.wiring.readers import make_reader as _reader


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    for name in ("staff/plan.md", "board/minutes.md", "board/2026/may.md", "boards.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n")
    return folder


def rules_of(documents: Path, **more: Any) -> str:
    return json.dumps({(documents / "board").as_uri(): {"tenants": ["acme"], "groups": ["board", "audit"]}, **more})


def reader(documents: Path, folder: Path, rules: str, *groups: str, tenant: str = "acme", scheme: str = "file") -> Any:
    settings = Settings(_env_file=None, file_roots=str(documents), source_rules=rules)
    spec = SourceSpec(f"{scheme}://{folder}", "docs", tenant, groups)
    return _reader(settings, environment_connection, None, None, no_sources, spec)  # type: ignore[arg-type]


def no_sources(tenant: str) -> list[SavedSource]:
    return []


def listed(result: Any) -> list[str]:
    return [entry.external_id for entry in result.scan()]


ALL = ["board/2026/may.md", "board/minutes.md", "boards.md", "staff/plan.md"]


def test_without_rules_all_is_as_it_was(documents: Path) -> None:
    assert listed(reader(documents, documents, "")) == ALL


@pytest.mark.parametrize("groups", [("board",), ("audit", "board")])
def test_a_place_may_be_given_to_its_groups(documents: Path, groups: tuple[str, ...]) -> None:
    assert listed(reader(documents, documents / "board", rules_of(documents), *groups)) == ["2026/may.md", "minutes.md"]
    assert listed(reader(documents, documents, rules_of(documents), *groups)) == ALL


@pytest.mark.parametrize("groups", [(), ("staff",), ("board", "staff"), ("*",)])
@pytest.mark.parametrize("below", ["board", "board/2026", "board/minutes.md"])
def test_and_to_nobody_else(documents: Path, groups: tuple[str, ...], below: str) -> None:
    with pytest.raises(Forbidden, match="SLUICE_SOURCE_RULES") as caught:
        reader(documents, documents / below, rules_of(documents), *groups)
    assert "audit" not in str(caught.value)


def test_nor_to_another_tenant(documents: Path) -> None:
    with pytest.raises(Forbidden, match="tenant other"):
        reader(documents, documents / "board", rules_of(documents), "board", tenant="other")


@pytest.mark.parametrize("groups", [(), ("staff",)])
def test_a_folder_above_leaves_out_what_is_kept_for_others(documents: Path, groups: tuple[str, ...]) -> None:
    result = reader(documents, documents, rules_of(documents), *groups)
    assert listed(result) == ["boards.md", "staff/plan.md"]


def test_a_link_leads_nowhere_else(documents: Path) -> None:
    """Neither one to a folder, nor one to a file that is made after the scan."""
    (documents / "staff" / "board").symlink_to(documents / "board")
    (documents / "staff" / "peek.md").symlink_to(documents / "board" / "minutes.md")
    result = reader(documents, documents, rules_of(documents), "staff")
    entries = {entry.external_id: entry for entry in result.scan()}
    assert set(entries) == {"boards.md", "staff/plan.md"}
    (documents / "staff" / "plan.md").unlink()
    (documents / "staff" / "plan.md").symlink_to(documents / "board" / "minutes.md")
    with pytest.raises(ExtractionError):
        result.read(WorkItem(None, entries["staff/plan.md"], new=True, active_hash=None))  # type: ignore[arg-type]
    within = result._reader  # the file reader itself, whose check is on what is open
    with pytest.raises(ExtractionError):
        within.read(WorkItem(None, entries["staff/plan.md"], new=True, active_hash=None))  # type: ignore[arg-type]


def test_a_source_by_a_link_is_where_the_link_leads(documents: Path) -> None:
    (documents / "shortcut").symlink_to(documents / "board")
    with pytest.raises(Forbidden):
        reader(documents, documents / "shortcut", rules_of(documents), "staff")


def test_a_repository_is_read_whole_or_not_at_all(documents: Path) -> None:
    with pytest.raises(Forbidden):
        reader(documents, documents, rules_of(documents), "staff", scheme="git+file")


def test_the_longest_beginning_decides(documents: Path) -> None:
    more: dict[str, Any] = {(documents / "board" / "2026").as_uri(): {}}
    assert listed(reader(documents, documents, rules_of(documents, **more))) == [
        "board/2026/may.md",
        "boards.md",
        "staff/plan.md",
    ]


@pytest.mark.parametrize(
    ("rules", "output"),
    [
        ({"file://documents/board": {"groups": ["board"]}}, "three slashes: file:///documents/board"),
        ({"postgresql://books?table=pay": {"groups": ["hr"]}}, "remove the part from"),
        ({"https://a..b/": {"groups": ["board"]}}, "names no host"),
        ({"https://b\u00fccher..example/": {"groups": ["board"]}}, "names no host"),
        ({"https:///hr": {"groups": ["board"]}}, "names no host"),
        ({"file:///documents/\udcff": {"groups": ["board"]}}, "%FF"),
        (
            {"https://b\u00fccher.example": {"groups": ["a"]}, "https://xn--bcher-kva.example": {"groups": ["b"]}},
            "are the same place",
        ),
        ({"s3://reports/board/": {"groups": ["a"]}, "s3://reports/board": {"groups": ["b"]}}, "are the same place"),
    ],
)
def test_a_rule_that_would_protect_something_else_is_refused(rules: dict[str, object], output: str) -> None:
    with pytest.raises(BadRequest, match=output):
        parse_rules(json.dumps(rules))


def test_a_repository_borrows_nothing_from_outside_where_rules_are_about_folders(tmp_path: Path) -> None:
    mine = SourceSpec(f"git+file://{tmp_path}/staff/repo", "docs", "acme", ("staff",))
    rules = parse_rules(json.dumps({f"file://{tmp_path}/board": {"groups": ["board"]}}))
    assert rules.roots(mine, [tmp_path]) == [tmp_path / "staff" / "repo"]
    assert parse_rules("").roots(mine, [tmp_path]) == [tmp_path]


def test_the_place_that_a_repository_may_read_is_the_one_that_was_judged(tmp_path: Path) -> None:
    """A link that its URI names may lead elsewhere from one moment to the next."""
    (tmp_path / "board").mkdir()
    (tmp_path / "mine").symlink_to(tmp_path / "board")
    rules = parse_rules(json.dumps({f"file://{tmp_path}/board": {"groups": ["board"]}}))
    with pytest.raises(Forbidden, match="SLUICE_SOURCE_RULES"):
        rules.roots(SourceSpec(f"git+file://{tmp_path}/mine", "docs", "acme", ("staff",)), [tmp_path])


def _gitdir(secret: Path, mine: Path) -> None:
    shutil.rmtree(mine / ".git")
    (mine / ".git").write_text(f"gitdir: {secret}/.git\n")


def _linked_git(secret: Path, mine: Path) -> None:
    shutil.rmtree(mine / ".git")
    (mine / ".git").symlink_to(secret / ".git")


def _linked_folder(secret: Path, mine: Path) -> None:
    shutil.rmtree(mine)
    mine.symlink_to(secret)


def _alternates(secret: Path, mine: Path) -> None:
    (mine / ".git/objects/info").mkdir(exist_ok=True)
    (mine / ".git/objects/info/alternates").write_text(f"{secret}/.git/objects\n")
    shutil.copytree(secret / ".git/refs", mine / ".git/refs", dirs_exist_ok=True)


def _loose(secret: Path, mine: Path) -> None:
    shutil.copytree(secret / ".git/refs", mine / ".git/refs", dirs_exist_ok=True)
    for each in (secret / ".git/objects").glob("??/*"):
        (mine / ".git/objects" / each.parent.name).mkdir(exist_ok=True)
        (mine / ".git/objects" / each.parent.name / each.name).symlink_to(each)


@pytest.mark.parametrize("borrow", [_gitdir, _linked_git, _linked_folder, _alternates, _loose])
@pytest.mark.parametrize("scheme", ["file", "git+file"])
@pytest.mark.parametrize("opened_before", [False, True])
def test_a_repository_is_judged_by_what_it_opens(
    tmp_path: Path, borrow: Callable[[Path, Path], None], scheme: str, opened_before: bool
) -> None:
    """Whatever it named when its run was permitted, and whoever runs it."""
    secret, mine = tmp_path / "secret", tmp_path / "mine"
    for folder, name in ((secret, "secret.md"), (mine, "mine.md")):
        git = pygit2.init_repository(str(folder), initial_head="main")
        (folder / name).write_text(f"# {name}")
        git.index.add(name)
        who = pygit2.Signature("a", "a@example.org", 1_700_000_000, 0)
        git.create_commit("HEAD", who, who, "one", git.index.write_tree(), [])
    theirs = saved_source(f"{scheme}://{secret}", "board")

    def opened(*groups: str) -> Any:
        settings = Settings(_env_file=None, file_roots=str(tmp_path))
        spec = SourceSpec(f"git+file://{mine}", "docs", "acme", groups)
        return _reader(settings, environment_connection, None, None, lambda tenant: [theirs], spec)  # type: ignore[arg-type]

    if opened_before:
        assert listed(opened("staff")) == ["mine.md"]
    borrow(secret, mine)
    for groups in (("staff",), (), ("board", "staff")):
        with pytest.raises(SluiceError, match=r"saved for other groups|cannot be read \(outside"):
            listed(opened(*groups))
    assert listed(opened("board")) == ["secret.md"]


def test_what_a_saved_repository_borrows_is_kept_for_its_groups_too(tmp_path: Path) -> None:
    theirs, store, mine = tmp_path / "theirs", tmp_path / "store", tmp_path / "mine"
    for folder in (theirs, store, mine):
        pygit2.init_repository(str(folder))
    for folder in (theirs, mine):
        (folder / ".git/objects/info").mkdir(exist_ok=True)
        (folder / ".git/objects/info/alternates").write_text(f"{store}/.git/objects\n")
    saved = [saved_source(f"git+file://{theirs}", "board")]
    settings = Settings(_env_file=None, file_roots=str(tmp_path))
    spec = SourceSpec(f"git+file://{mine}", "docs", "acme", ("staff",))
    with pytest.raises(BadRequest, match="saved for other groups"):
        _reader(settings, environment_connection, None, None, lambda tenant: saved, spec)  # type: ignore[arg-type]
    saved = [saved_source(f"git+file://{theirs}")]
    assert _reader(settings, environment_connection, None, None, lambda tenant: saved, spec)  # type: ignore[arg-type]


def saved_source(uri: str, *groups: str) -> SavedSource:
    saved = SourceSpec(uri, "theirs", "acme", groups, None, (), ())
    return SavedSource(uuid4(), saved, Schedule(), datetime.now(UTC))


@pytest.mark.parametrize(
    ("rule", "uri", "may"),
    [
        ("s3://reports/board/", "s3://reports/board/", False),
        ("s3://reports/board", "s3://reports/board/2026/", False),
        ("s3://reports", "s3://reports/", False),
        ("s3://reports/board/", "s3://reports/boards/", True),
        ("s3://reports/board/", "s3://other/board/", True),
        ("https://intranet.example/hr", "https://intranet.example:443/hr/pay.html", False),
        ("https://intranet.example/hr", "https://INTRANET.example/x/../hr/", False),
        ("https://intranet.example/hr", "https://intranet.example/h%72/", False),
        ("https://intranet.example/hr", "git+https://intranet.example/hr/repo", False),
        ("https://intranet.example/hr", "https://intranet.example/", True),
        ("https://intranet.example/hr", "https://intranet.example:8443/hr", True),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example/hr", False),
        ("https://xn--bcher-kva.example", "https://B\u00dcCHER.example./hr", False),
        ("https://b\u00fccher.example", "git+https://xn--bcher-kva.example/hr", False),
        ("https://b\u00fccher.example", "https://bucher.example/hr", True),
        ("postgresql://books", "postgresql://books?table=pay", False),
        ("postgresql://books", "postgresql://Books?table=pay", False),
        ("postgresql://my-books", "postgresql://MY_BOOKS?table=pay", False),
        ("postgresql://books", "postgresql://books2?table=pay", True),
        ("file:///", "uploads://acme/docs", True),
    ],
)
def test_places_of_every_kind(rule: str, uri: str, may: bool) -> None:
    rules = parse_rules(json.dumps({rule: {"groups": ["board"]}}))
    spec = SourceSpec(uri, "docs", "acme", ("staff",))
    if may:
        rules.check(spec)
    else:
        with pytest.raises(Forbidden):
            rules.check(spec)


def test_pages_that_a_list_names_on_a_closed_path_are_left_out() -> None:
    rules = parse_rules('{"https://intranet.example/hr": {"groups": ["hr"]}}')
    admits = rules.admitting(SourceSpec("https://elsewhere.example/list", "docs", "acme", ()))
    assert admits and admits("https://elsewhere.example/a") and not admits("https://intranet.example/hr/pay")
    assert rules.admitting(SourceSpec("https://elsewhere.example/list", "docs", "acme", ("hr",))) is None


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("file:///x", "not a JSON object"),
        ("[]", "not a JSON object"),
        ('{"file:///x": {"tenant": ["a"]}}', "did you mean 'tenants'"),
        ('{"file:///x": {"groups": "hr"}}', "not a list of names"),
        ('{"file:///x": ["hr"]}', "needs an object"),
        ('{"/x": {}}', "not the beginning of a source's URI"),
    ],
)
def test_a_rule_that_is_none_opens_nothing(text: str, output: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=output):
        reader(tmp_path, tmp_path, text)


def test_rules_of_airflow_are_added_and_none_is_replaced() -> None:
    both = merged_rules('{"file:///a": {}}', '{"file:///b": {"groups": ["x"]}}')
    assert json.loads(both) == {"file:///a": {}, "file:///b": {"groups": ["x"]}}
    with pytest.raises(BadRequest, match="both name"):
        merged_rules('{"file:///a": {"groups": ["x"]}}', '{"file:///a/": {}}')


@pytest.mark.parametrize("connection", [None, "aws://@/?region_name=eu-1", "aws://key@/"])
def test_a_bucket_without_a_login_is_not_read_with_the_machines_own(
    monkeypatch: pytest.MonkeyPatch, connection: str | None
) -> None:
    uri = "s3://bucket/in/"
    if connection:
        monkeypatch.setenv("SLUICE_CONNECTION_BARE", connection)
        uri += "?connection=bare"
    spec = SourceSpec(uri, "docs", "acme", ())
    closed = Settings(_env_file=None)
    with pytest.raises(BadRequest, match="SLUICE_S3_DEFAULT_CREDENTIALS"):
        _reader(closed, environment_connection, None, None, no_sources, spec)  # type: ignore[arg-type]
    opened = Settings(_env_file=None, s3_default_credentials=True)
    assert _reader(opened, environment_connection, None, None, no_sources, spec)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bucket",
    ["arn:aws:s3:eu-west-1:123456789012:accesspoint:reports", "reports-abc-s3alias", "mine--ol-s3", "rep%6Frts", "a b"],
)
def test_another_name_of_a_bucket_is_refused(bucket: str) -> None:
    settings = Settings(_env_file=None, s3_default_credentials=True)
    spec = SourceSpec(f"s3://{bucket}/in/", "docs", "acme", ())
    with pytest.raises(BadRequest, match=r"bucket's own name|cannot be understood"):
        _reader(settings, environment_connection, None, None, no_sources, spec)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "uri",
    [
        "file:///in/\udcff",
        "jsonl:///in/\udcff.jsonl",
        "git+file:///in/\udcff",
        "git+https://git.example/\udcff",
        "https://web.example/\udcff",
        "https://\udcff.example/",
        "s3://bucket/\udcff/",
        "s3://\udcff/",
        "postgresql://books?table=\udcff",
        "uploads://acme/\udcff",
        "file:///in/\0",
    ],
)
def test_a_uri_that_is_not_utf_8_is_refused_with_advice(uri: str, tmp_path: Path) -> None:
    settings = Settings(_env_file=None, file_roots=str(tmp_path), s3_default_credentials=True)
    spec = SourceSpec(uri, "docs", "acme", ())
    for refused in (
        lambda: canonical(uri),
        lambda: places.place_of(uri),
        lambda: check_root(uri, [tmp_path]),
        lambda: _reader(settings, environment_connection, None, None, no_sources, spec),  # type: ignore[arg-type]
    ):
        with pytest.raises(BadRequest, match="%FF"):
            refused()


def test_a_name_that_is_not_utf_8_is_refused_by_the_ledger_with_advice() -> None:
    with pytest.raises(BadRequest, match="it is not UTF-8"), translated():
        "tenant \udcff".encode()


def test_a_public_bucket_needs_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_CONNECTION_PUBLIC", "aws://@/?anonymous=true")
    spec = SourceSpec("s3://bucket/in/?connection=public", "docs", "acme", ())
    assert _reader(Settings(_env_file=None), environment_connection, None, None, no_sources, spec)  # type: ignore[arg-type]
