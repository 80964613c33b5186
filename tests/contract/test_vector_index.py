"""Any VectorIndex: what is upserted is found by who may find it, and by nobody else."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta, timezone
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sluice.adapters.qdrant.index import QdrantIndex
from sluice.errors import BadRequest, Terminal, Transient, Unavailable
from sluice.indexing.loading import filterable
from sluice.model.chunk import SparseVector
from sluice.model.filters import contradiction, holds, inexact, parse_filters
from sluice.model.generation import Generation, Profile
from sluice.model.points import Point
from sluice.model.search import VectorQuery
from sluice.ports.projections import VectorIndex
from sluice.testing.vectors import MemoryVectors

DIM = 16
SOURCE = UUID(int=1)
FIELDS = ("category", "year", "published_at", "draft")
Open = Callable[..., Generation]


@pytest.fixture(params=["memory", "rest", "grpc"], scope="module")
def index(request: pytest.FixtureRequest) -> Iterator[VectorIndex]:
    if request.param == "memory":
        yield MemoryVectors()
        return
    client = _client(_environment(request), request.param)
    yield client
    client.close()


@pytest.fixture
def open_generation(index: VectorIndex, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Generations of collections with names of their own, ensured; dropped afterwards."""
    built: list[Generation] = []
    environment = {} if isinstance(index, MemoryVectors) else _environment(request)

    def make(number: int = 1, collection: str | None = None, dim: int = DIM) -> Generation:
        name = collection or f"contract-{uuid.uuid4().hex}"
        profile = Profile("tokens:256:0", f"hash:{dim}", "off", dim)
        generation = Generation(uuid.uuid4(), name, number, profile, f"{name}__g{number}", FIELDS)
        built.append(generation)
        index.ensure(generation)
        return generation

    yield make
    if environment:
        with _http(environment) as http:
            for generation in built:
                http.delete(f"/collections/{generation.backing_collection}").raise_for_status()


@pytest.fixture
def generation(open_generation: Open) -> Generation:
    return open_generation()


def test_the_nearest_comes_first_and_counts_agree(index: VectorIndex, generation: Generation) -> None:
    points = [_point(seed) for seed in range(20)]
    index.upsert(generation, points)
    assert index.count(generation) == index.count(generation, "default") == 20
    assert index.count(generation, "nobody") == 0
    for query in (_ask(points[7], dense=True), _ask(points[7], sparse=True), _ask(points[7], dense=True, sparse=True)):
        result = index.search(generation, query)
        for retriever in query.retrievers:
            best = max(result, key=lambda each: each.scores.get(retriever, 0.0))
            assert best.chunk_id == points[7].chunk_id
        assert len({each.chunk_id for each in result}) == len(result)


def test_a_second_upsert_replaces_and_adds_nothing(index: VectorIndex, generation: Generation) -> None:
    first, other = _point(1), _point(2)
    index.upsert(generation, [first])
    index.upsert(generation, [Point(first.chunk_id, other.dense, other.sparse, {**first.payload, "tenant": "second"})])
    assert index.count(generation) == index.count(generation, "second") == 1
    assert index.search(generation, _ask(first, dense=True)) == []


def test_more_than_one_batch_arrives_whole(index: VectorIndex, generation: Generation) -> None:
    points = [_point(seed) for seed in range(1203)]
    index.upsert(generation, points)
    assert index.count(generation) == 1203
    index.delete(generation, [point.chunk_id for point in points[:1100]])
    result = index.search(generation, _ask(points[0], dense=True, limit=2000))
    assert {each.chunk_id for each in result} == {point.chunk_id for point in points[1100:]}


def test_tenant_and_sources_bound_what_is_found(index: VectorIndex, generation: Generation) -> None:
    mine, theirs, elsewhere = _point(1), _point(2, tenant="other"), _point(3, source=UUID(int=9))
    index.upsert(generation, [mine, theirs, elsewhere])
    both: dict[str, Any] = {"dense": True, "sparse": True}
    assert _ids(index, generation, _ask(theirs, **both)) == {mine.chunk_id}
    assert _ids(index, generation, _ask(mine, **both, tenant="other")) == {theirs.chunk_id}
    assert _ids(index, generation, _ask(mine, **both, sources=())) == set()
    assert _ids(index, generation, _ask(mine, **both, sources=(SOURCE, UUID(int=9)))) == {
        mine.chunk_id,
        elsewhere.chunk_id,
    }


METADATA: list[dict[str, Any]] = [
    {"category": "a", "year": 2019, "published_at": "2024-01-05", "draft": True},
    {"category": "b", "year": 2020.0, "published_at": "2024-02-05T10:00:00Z", "draft": False},
    {"category": ["a", "c"], "year": 2021, "published_at": "not a date"},
    {"year": "2021", "draft": 1},
    {},
]


FILTERS: list[tuple[dict[str, Any], set[int]]] = [
    ({}, {0, 1, 2, 3, 4}),
    ({"category": "a"}, {0, 2}),
    ({"category": "A"}, set()),
    ({"category": ["b", "c"]}, {1, 2}),
    ({"year": 2020}, {1}),
    ({"year": 2021}, {2}),
    ({"year": "2021"}, {3}),
    ({"year": [2019.0, 2021, "2021"]}, {0, 2, 3}),
    ({"year": {"gte": 2020}}, {1, 2}),
    ({"year": {"gt": 2019, "lt": 2021}}, {1}),
    ({"draft": True}, {0}),
    ({"draft": 1}, {3}),
    ({"published_at": "2024-01-05"}, {0}),
    ({"published_at": {"gte": "2024-01-05", "lte": "2024-02-05T10:00:00Z"}}, {0, 1}),
    ({"published_at": {"gt": "2024-01-05", "lt": "2024-02-05T12:00:00+02:00"}}, set()),
    ({"category": "a", "year": {"lte": 2020}}, {0}),
    ({"category": []}, set()),
    ({"category": {"any": []}}, set()),
    ({"category": {"any": ["b", "c"]}}, {1, 2}),
    ({"category": {"none": []}}, {0, 1, 2, 3, 4}),
    ({"category": {"none": ["a"]}}, {1, 3, 4}),
    ({"category": {"none": ["a"], "exists": True}}, {1}),
    ({"category": {"any": ["a"], "none": ["c"]}}, {0}),
    ({"year": {"none": [2020, "2021", True]}}, {0, 2, 4}),
    ({"year": {"gte": 2019.5, "none": [2021]}}, {1}),
    ({"draft": {"exists": True}}, {0, 1, 3}),
    ({"draft": {"exists": False}}, {2, 4}),
    ({"draft": {"none": [True, 1]}}, {1, 2, 4}),
]
IMPOSSIBLE: list[dict[str, Any]] = [
    {"secret": "x"},
    {"year": None},
    {"year": {}},
    {"year": {"near": 3}},
    {"year": {"gte": "soon"}},
    {"year": {"gte": 3, "lte": "2024-01-01"}},
    {"category": [{"a": 1}]},
    {"category": {"any": "a"}},
    {"category": {"none": None}},
    {"category": {"none": ["a", None]}},
    {"category": {"exists": "yes"}},
    {"category": {"exists": 1}},
    {"category": {"none": ["a"], "near": 3}},
    {"published_at": {"gte": "0001-01-01T00:00:00+10:00"}},
    {"year": list(range(20_000))},
]


def test_metadata_filters(index: VectorIndex, generation: Generation) -> None:
    points = [_point(seed, meta=meta) for seed, meta in enumerate(METADATA)]
    index.upsert(generation, points)
    for filters, expected in FILTERS:
        result = _ids(index, generation, _ask(points[0], dense=True, filters=filters))
        assert {position for position, point in enumerate(points) if point.chunk_id in result} == expected, filters


# --- any metadata, any conditions

_NUMBERS = st.sampled_from([0, 1, -1, 2, 2.5, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 1e300, -0.0])
_TEXTS = st.sampled_from(["", "a", "b", "A", "true", "1", "x" * 200, "y" * 201, "ß", "2026-01-31"])
_DATES = st.one_of(
    st.sampled_from(
        [
            *(
                "2026-01-31",
                "2026-01-31T12:00",
                "2026-01-31 12:00:00",
                "2026-01-31T12:00:00Z",
                "20260131",
                "2026-02-30",
            ),
            *("2026-01-31T13:00:00+01:00", "2026-01-31T13:00:00+0100", "2026-01-31T13:00:00+01", "2026-W05-6"),
            *("2026-01-31T12:00Z", "2026-01-31t12:00:00z", "2026-01-31T12:00:00.1234567Z", "2026-01-31T12:00:00,5"),
            *("2026-01-31T12:00:00+01:75", "2026-01-31T23:59:60Z", "0001-01-01", "0001-01-01T00:00:00+23:59"),
            *(
                "9999-12-31T23:59:59.999999-23:59",
                " 2026-01-31",
                "2026-01-31T12:00:00+02:00:30",
                "1969-12-31T23:59:59.5",
            ),
        ]
    ),
    st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=-7, minutes=-30)))).map(
        lambda moment: moment.isoformat()
    ),
)
_SCALARS = st.one_of(_NUMBERS, _TEXTS, _DATES, st.booleans())
_VALUES: st.SearchStrategy[Any] = st.one_of(
    _SCALARS,
    st.sampled_from([None, float("nan"), float("inf"), 2**63, 2**70, [], [None], [[]], {}, {"a": 1}, ["a", None]]),
    st.lists(_SCALARS, max_size=3),
)
_METADATA = st.dictionaries(st.sampled_from(FIELDS), _VALUES, max_size=3)
_LISTS = st.lists(_SCALARS, max_size=3)
_OPERATORS = st.sampled_from(["gt", "gte", "lt", "lte"])
_WANTED = st.one_of(
    _SCALARS,
    _LISTS,
    st.fixed_dictionaries({}, optional={"any": _LISTS, "none": _LISTS, "exists": st.booleans()}),
    st.dictionaries(_OPERATORS, _NUMBERS, min_size=1, max_size=2),
    st.dictionaries(_OPERATORS, _DATES, min_size=1, max_size=2),
    st.fixed_dictionaries({"gte": _NUMBERS, "none": _LISTS}),
)
_FILTERS = st.dictionaries(st.sampled_from(FIELDS), _WANTED, min_size=1, max_size=2)
# Without shrinking, which would ask the engine thousands of times.
_MANY = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_any_filter_finds_what_holds_of_any_metadata(index: VectorIndex, generation: Generation) -> None:
    """The index finds all documents for which the conditions hold; others only where a condition is inexact."""

    @_MANY
    @given(st.lists(_METADATA, min_size=8, max_size=8), st.lists(_FILTERS, min_size=6, max_size=6))
    def check(documents: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
        points = [_point(seed, meta=filterable(meta, FIELDS)) for seed, meta in enumerate(documents)]
        index.upsert(generation, points)
        for filters in asked:
            try:
                conditions = parse_filters(filters, FIELDS)
            except BadRequest:
                continue
            result = _ids(index, generation, _ask(points[0], dense=True, filters=filters))
            wanted = {
                point.chunk_id
                for point, meta in zip(points, documents, strict=True)
                if all(holds(each, meta.get(each.field)) for each in conditions)
            }
            assert wanted <= result, (filters, documents)
            assert wanted == result or any(map(inexact, conditions)), (filters, documents)
            assert not (wanted and contradiction(conditions)), (filters, documents)

    check()


def test_big_integers_are_found_with_their_neighbours_at_most(index: VectorIndex, generation: Generation) -> None:
    """A superset, of which the search keeps what the ledger confirms; smaller numbers are exact."""
    values = [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, 2**63 - 1, -(2**63), 2**60 + 1]
    points = [_point(seed, meta={"year": value}) for seed, value in enumerate(values)]
    index.upsert(generation, points)
    for wanted in (
        *values,
        {"gt": 2**53},
        {"lt": 2**53 + 1},
        {"gte": 2**60, "lt": 2**63 - 1},
        {"gt": 5, "lt": 2**53 - 1},
        {"none": [2**53]},
        {"none": [2**53 - 1]},
        {"none": [2**60 + 1, 2**53 - 1]},
    ):
        filters = {"year": wanted}
        (condition,) = parse_filters(filters, FIELDS)
        exact = {point.chunk_id for point, value in zip(points, values, strict=True) if holds(condition, value)}
        result = _ids(index, generation, _ask(points[0], dense=True, filters=filters))
        assert exact <= result, filters
        assert inexact(condition) or exact == result, filters
    stored = {each.chunk_id: each.payload["meta"]["year"] for each in index.points(generation, None, 10)}
    assert stored == {point.chunk_id: value for point, value in zip(points, values, strict=True)}


def test_a_filter_that_cannot_be_is_a_bad_request(index: VectorIndex, generation: Generation) -> None:
    for filters in IMPOSSIBLE:
        with pytest.raises(BadRequest, match=next(iter(filters))):
            index.search(generation, _ask(_point(1), dense=True, filters=filters))


def test_each_candidate_has_the_scores_of_all_retrievers(index: VectorIndex, generation: Generation) -> None:
    """Also of the one that did not return it."""
    points = [_point(seed) for seed in range(30)]
    points.append(_point(99, terms=[5000]))  # shares no term with the query
    index.upsert(generation, points)
    few = index.search(generation, _ask(points[3], dense=True, sparse=True, limit=3))
    assert 3 <= len(few) <= 6
    everything = index.search(generation, _ask(points[3], dense=True, sparse=True, limit=31))
    scores = {each.chunk_id: each.scores for each in everything}
    assert len(scores) == 31
    assert scores[points[3].chunk_id]["dense"] == pytest.approx(1.0, abs=1e-5)
    assert scores[points[-1].chunk_id].keys() == {"dense"}
    for each in few:
        assert each.scores == pytest.approx(scores[each.chunk_id], rel=1e-4)
    for retriever in ("dense", "sparse"):
        best = sorted((each[retriever] for each in scores.values() if retriever in each), reverse=True)[:3]
        assert sorted((each.scores.get(retriever, 0.0) for each in few), reverse=True)[:3] == pytest.approx(
            best, rel=1e-4
        )


RETRIEVERS: tuple[dict[str, Any], ...] = ({"dense": True}, {"sparse": True}, {"dense": True, "sparse": True})


def test_scores_are_those_of_the_model_in_memory(index: VectorIndex, generation: Generation) -> None:
    """Dot product, and BM25 with the collection's IDF, point by point."""
    model = MemoryVectors()
    model.ensure(generation)
    points = [_point(seed, tenant="default" if seed % 3 else "other") for seed in range(150)]
    for each in (model, index):
        each.upsert(generation, points)
    for seed in (1, 2, 77):
        for retrievers in RETRIEVERS:
            query = _ask(_point(seed + 1000), **retrievers, limit=150)
            expected = {each.chunk_id: each.scores for each in model.search(generation, query)}
            result = {each.chunk_id: each.scores for each in index.search(generation, query)}
            assert result.keys() == expected.keys()
            for chunk_id, scores in result.items():
                assert scores == pytest.approx(expected[chunk_id], rel=1e-4, abs=1e-6)


def test_nothing_to_ask_with_finds_nothing(index: VectorIndex, generation: Generation) -> None:
    point = _point(1)
    index.upsert(generation, [point])
    assert index.search(generation, _ask(point)) == []
    empty = SparseVector(np.array([], dtype=np.uint32), np.array([], dtype=np.float32))
    assert index.search(generation, VectorQuery(None, empty, "default", (SOURCE,), {}, 10)) == []
    assert index.search(generation, _ask(point, dense=True, limit=0)) == []
    result = index.search(generation, VectorQuery(point.dense, empty, "default", (SOURCE,), {}, 10))
    assert [each.chunk_id for each in result] == [point.chunk_id]


def test_ensure_keeps_what_is_there(index: VectorIndex, generation: Generation) -> None:
    index.upsert(generation, [_point(1)])
    index.ensure(generation)
    assert index.count(generation) == 1


def test_deleting_what_is_not_there_is_no_error(index: VectorIndex, generation: Generation) -> None:
    index.delete(generation, [uuid.uuid4()])
    index.delete(generation, [])
    index.upsert(generation, [])
    assert index.count(generation) == 0


def test_pages_follow_the_bytes_of_ids_and_give_back_what_was_written(
    index: VectorIndex, generation: Generation
) -> None:
    points = {each.chunk_id: each for each in (_point(seed, meta={"year": seed, "tags": ["x"]}) for seed in range(25))}
    index.upsert(generation, list(points.values()))
    seen: list[UUID] = []
    while page := index.points(generation, seen[-1] if seen else None, 10):
        assert all(each.dense is None and each.sparse is None for each in page)
        assert all(each.payload == points[each.chunk_id].payload for each in page)
        seen += [each.chunk_id for each in page]
    assert seen == sorted(points, key=lambda each: each.bytes)
    assert index.points(generation, UUID(int=2**128 - 1), 10) == []

    some = [seen[3], uuid.uuid4(), seen[20]]
    result = {each.chunk_id: each for each in index.points_of(generation, some, vectors=True)}
    assert set(result) == {seen[3], seen[20]}
    for chunk_id, held in result.items():
        assert held.dense is not None and held.sparse is not None
        np.testing.assert_allclose(held.dense, points[chunk_id].dense, rtol=0, atol=1e-7)
        terms = dict(zip(held.sparse.indices.tolist(), held.sparse.values.tolist(), strict=True))
        meant = points[chunk_id].sparse
        assert terms == pytest.approx(dict(zip(meant.indices.tolist(), meant.values.tolist(), strict=True)))
    assert index.points_of(generation, []) == []


def test_a_lost_collection_counts_nothing_and_says_so_to_searches(index: VectorIndex) -> None:
    profile = Profile("tokens:256:0", "hash:16", "off", DIM)
    lost = Generation(uuid.uuid4(), "lost", 1, profile, f"lost-{uuid.uuid4().hex}__g1", FIELDS)
    assert index.count(lost) == 0
    index.delete(lost, [uuid.uuid4()])
    with pytest.raises(Unavailable, match="is missing"):
        index.search(lost, _ask(_point(1), dense=True))
    with pytest.raises(Transient):
        index.upsert(lost, [_point(1)])


@pytest.mark.parametrize("dense", [np.full(DIM, np.nan, dtype=np.float32), np.ones(DIM + 1, dtype=np.float32)])
def test_a_vector_that_is_wrong_is_refused(index: VectorIndex, generation: Generation, dense: np.ndarray) -> None:
    good = _point(1)
    with pytest.raises(Terminal):
        index.upsert(generation, [Point(good.chunk_id, dense, good.sparse, good.payload)])
    assert index.count(generation) == 0


def test_ping_tells_a_version(index: VectorIndex) -> None:
    assert index.ping()


# --- of the server alone ------------------------------------------------------------------------------------


def test_the_alias_follows_the_first_generation_until_it_is_switched(
    index: VectorIndex, open_generation: Open, request: pytest.FixtureRequest
) -> None:
    if isinstance(index, MemoryVectors):
        pytest.skip("aliases are for readers outside, on a server")
    first = open_generation(1)
    open_generation(2, first.collection)
    with _http(_environment(request)) as http:
        aliases = http.get("/aliases").json()["result"]["aliases"]
    targets = {each["alias_name"]: each["collection_name"] for each in aliases}
    assert targets[first.collection] == first.backing_collection


def test_another_shape_under_the_same_name_is_terminal(index: VectorIndex, open_generation: Open) -> None:
    if isinstance(index, MemoryVectors):
        pytest.skip("only a server outlives a change of profile")
    first = open_generation(1)
    with pytest.raises(Terminal, match="16 dimensions"):
        open_generation(1, first.collection, dim=8)


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_a_wrong_key_is_terminal(request: pytest.FixtureRequest, transport: str) -> None:
    environment = _environment(request)
    if not environment.get("SLUICE_QDRANT_API_KEY"):
        pytest.skip("this Qdrant asks for no key")
    index = _client({**environment, "SLUICE_QDRANT_API_KEY": "wrong"}, transport)
    profile = Profile("tokens:256:0", "hash:16", "off", DIM)
    with pytest.raises(Terminal, match="SLUICE_QDRANT_API_KEY"):
        index.ensure(Generation(uuid.uuid4(), "denied", 1, profile, "denied__g1", FIELDS))
    index.close()


def _environment(request: pytest.FixtureRequest) -> dict[str, str]:
    environment: dict[str, str] = request.getfixturevalue("stack").environment
    return environment


def _client(environment: dict[str, str], transport: str) -> QdrantIndex:
    port = environment.get("SLUICE_QDRANT_GRPC_PORT")
    if transport == "grpc" and not port:
        pytest.skip("this Qdrant speaks no gRPC (SLUICE_QDRANT_GRPC_PORT is unset)")
    key = environment.get("SLUICE_QDRANT_API_KEY")
    return QdrantIndex(environment["SLUICE_QDRANT_URL"], key, int(port or 0) if transport == "grpc" else None)


def _http(environment: dict[str, str]) -> httpx.Client:
    headers = {"api-key": environment.get("SLUICE_QDRANT_API_KEY", "")}
    return httpx.Client(base_url=environment["SLUICE_QDRANT_URL"], headers=headers, timeout=30)


def _point(
    seed: int,
    tenant: str = "default",
    source: UUID = SOURCE,
    meta: dict[str, Any] | None = None,
    terms: list[int] | None = None,
) -> Point:
    """Always the same point for the same seed; every point without `terms` has term 7."""
    random = np.random.default_rng(seed)
    dense = random.standard_normal(DIM).astype(np.float32)
    indices = np.array(terms or sorted({7, *random.integers(0, 200, 12).tolist()}), dtype=np.uint32)
    values = random.uniform(0.2, 2.0, len(indices)).astype(np.float32)
    payload = {
        "tenant": tenant,
        "source_id": str(source),
        "document_id": str(UUID(int=seed)),
        "meta": meta or {},
    }
    return Point(
        uuid.uuid5(uuid.NAMESPACE_OID, str(seed)), dense / np.linalg.norm(dense), SparseVector(indices, values), payload
    )


def _ask(
    point: Point,
    *,
    dense: bool = False,
    sparse: bool = False,
    tenant: str = "default",
    sources: tuple[UUID, ...] = (SOURCE,),
    filters: dict[str, Any] | None = None,
    limit: int = 10,
) -> VectorQuery:
    return VectorQuery(
        dense=point.dense if dense else None,
        sparse=point.sparse if sparse else None,
        tenant=tenant,
        sources=sources,
        filters=filters or {},
        limit=limit,
    )


def _ids(index: VectorIndex, generation: Generation, query: VectorQuery) -> set[UUID]:
    return {each.chunk_id for each in index.search(generation, query)}


def test_a_dropped_collection_is_gone_and_dropping_it_again_is_a_no_op(
    index: VectorIndex, open_generation: Open
) -> None:
    gone, retained = open_generation(), open_generation()
    for each in (gone, retained):
        index.upsert(each, [_point(1)])
    index.drop(gone)
    index.drop(gone)
    assert (index.count(gone), index.count(retained)) == (0, 1)
    index.ensure(gone)
    assert index.count(gone) == 0
