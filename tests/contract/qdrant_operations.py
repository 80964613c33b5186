"""Random operations on a Qdrant collection, for `qdrant_comparison`.

Vectors and sparse values are random floats, so that scores tie only where a fusion makes them tie.
"""

import random
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client import models as m

SIZE = 8
NAME = "things"
ALIAS = "things-live"
_IDS: list[Any] = [*range(1, 25), *(str(uuid.UUID(int=n * 7919)) for n in range(1, 25))]
_WORDS = ("sluice", "gate", "river", "weir", "lock", "mill", "canal", "dam")
_INDEXES: dict[str, Any] = {
    "tenant": m.KeywordIndexParams(type=m.KeywordIndexType.KEYWORD, is_tenant=True),
    "kind": m.PayloadSchemaType.KEYWORD,
    "rank": m.PayloadSchemaType.INTEGER,
    "price": m.PayloadSchemaType.FLOAT,
    "open": m.PayloadSchemaType.BOOL,
    "at": m.PayloadSchemaType.DATETIME,
    "ref": m.PayloadSchemaType.UUID,
    "title": m.TextIndexParams(type=m.TextIndexType.TEXT, tokenizer=m.TokenizerType.WORD, lowercase=True),
}

Call = Callable[[QdrantClient], Any]


class Operations:
    """Calls drawn from one seed; each is run on both servers."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)

    def setup(self) -> list[Call]:
        vectors = {"dense": m.VectorParams(size=SIZE, distance=m.Distance.COSINE, on_disk=True)}
        sparse = {"bm25": m.SparseVectorParams(modifier=m.Modifier.IDF)}
        calls: list[Call] = [
            lambda c: c.create_collection(NAME, vectors_config=vectors, sparse_vectors_config=sparse),
            lambda c: c.create_collection("other", vectors_config=m.VectorParams(size=2, distance=m.Distance.DOT)),
            lambda c: c.update_collection_aliases([_create_alias(NAME)]),
        ]
        for field, kind in _INDEXES.items():
            calls.append(partial(_create_index, field, kind))
        points = [self.point(identity) for identity in self.r.sample(_IDS, 30)]
        return [*calls, lambda c: c.upsert(NAME, points=points, wait=True)]

    def draw(self) -> Call:
        """One call: a read in two of three cases."""
        reads = [self.query, self.query, self.hybrid, self.scroll, self.ordered, self.count, self.facet]
        reads += [self.retrieve, self.query_batch, self.describe]
        writes = [self.upsert, self.upsert, self.upsert_columns, self.delete, self.payload, self.payload]
        writes += [self.vectors, self.mixed, self.index, self.aliases]
        group = self.r.choices([reads, writes, [self.mistake]], [60, 30, 10])[0]
        return self.r.choice(group)()

    def name(self) -> str:
        return self.r.choice([NAME, NAME, ALIAS])

    def dense(self) -> list[float]:
        return [round(self.r.uniform(-1, 1), 4) for _ in range(SIZE)]

    def sparse(self) -> m.SparseVector:
        indices = self.r.sample(range(40), self.r.randint(1, 8))
        return m.SparseVector(indices=indices, values=[round(self.r.uniform(0.1, 2), 4) for _ in indices])

    def vector(self) -> dict[str, Any]:
        both = {"dense": self.dense(), "bm25": self.sparse()}
        return self.r.choices([both, {"dense": both["dense"]}, {"bm25": both["bm25"]}], [8, 1, 1])[0]

    def values(self) -> dict[str, Any]:
        r = self.r
        every = {
            "tenant": r.choice("abc"),
            "kind": r.sample(["x", "y", "z"], r.randint(1, 2)),
            "rank": r.randint(0, 9),
            "price": round(r.uniform(0, 10), 2),
            "open": r.random() < 0.5,
            "at": f"2024-0{r.randint(1, 9)}-01T00:00:00Z",
            "ref": str(uuid.UUID(int=r.randint(1, 5))),
            "title": " ".join(r.sample(_WORDS, 3)),
            "parts": [{"n": r.randint(0, 3), "s": r.choice("pq")} for _ in range(r.randint(0, 3))],
            "nothing": None,
        }
        return {key: value for key, value in every.items() if r.random() < 0.8}

    def point(self, identity: Any) -> m.PointStruct:
        return m.PointStruct(id=identity, vector=self.vector(), payload=self.values())

    def ids(self, most: int = 5) -> list[Any]:
        return self.r.sample(_IDS, self.r.randint(1, most))

    def condition(self) -> Any:
        return self.conditions(1)[0]

    def conditions(self, count: int, depth: int = 0) -> list[Any]:
        """Conditions of different kinds: Qdrant 1.18 finds points for one that is both in must and in must_not."""
        r = self.r
        day = f"2024-0{r.randint(1, 9)}-01T00:00:00Z"
        choices: list[Any] = [
            m.FieldCondition(key="tenant", match=m.MatchValue(value=r.choice("abc"))),
            m.FieldCondition(key="kind", match=m.MatchAny(any=r.sample(["x", "y", "z"], 2))),
            m.FieldCondition(key="kind", match=m.MatchExcept(**{"except": ["x"]})),
            m.FieldCondition(key="rank", match=m.MatchAny(any=[r.randint(0, 9), r.randint(0, 9)])),
            m.FieldCondition(key="rank", range=m.Range(gte=r.randint(0, 9))),
            m.FieldCondition(key="price", range=m.Range(gt=r.uniform(0, 5), lte=r.uniform(5, 10))),
            m.FieldCondition(key="at", range=m.DatetimeRange(lt=day)),
            m.FieldCondition(key="open", match=m.MatchValue(value=r.random() < 0.5)),
            m.FieldCondition(key="ref", match=m.MatchValue(value=str(uuid.UUID(int=r.randint(1, 5))))),
            m.FieldCondition(key="title", match=m.MatchText(text=r.choice(_WORDS))),
            m.FieldCondition(key="parts", values_count=m.ValuesCount(gte=r.randint(1, 3))),
            m.NestedCondition(
                nested=m.Nested(
                    key="parts",
                    filter=m.Filter(
                        must=[
                            m.FieldCondition(key="n", match=m.MatchValue(value=r.randint(0, 3))),
                            m.FieldCondition(key="s", match=m.MatchValue(value="p")),
                        ]
                    ),
                )
            ),
            m.IsEmptyCondition(is_empty=m.PayloadField(key=r.choice(["tenant", "parts"]))),
            m.IsNullCondition(is_null=m.PayloadField(key="nothing")),
            m.HasIdCondition(has_id=r.sample(_IDS, 20)),
            m.HasVectorCondition(has_vector=r.choice(["dense", "bm25"])),
        ]
        if depth == 0:
            choices.append(self.filter(depth=1))
        return r.sample(choices, count)

    def filter(self, depth: int = 0) -> m.Filter:
        must, must_not, *should = self.conditions(4, depth)
        given = {"must": ([must], 0.5), "must_not": ([must_not], 0.5), "should": (should, 0.4)}
        clauses = {clause: conditions for clause, (conditions, share) in given.items() if self.r.random() < share}
        extra: dict[str, Any] = {}
        if self.r.random() < 0.15:
            extra["min_should"] = m.MinShould(conditions=self.conditions(3, depth), min_count=2)
        return m.Filter(**clauses, **extra)

    def maybe_filter(self) -> m.Filter | None:
        return self.filter() if self.r.random() < 0.5 else None

    def shown(self) -> dict[str, Any]:
        payload = self.r.choice(
            [True, False, ["tenant", "parts[].n"], m.PayloadSelectorExclude(exclude=["title", "parts"])]
        )
        return {"with_payload": payload, "with_vectors": self.r.choice([True, False, False, ["dense"]])}

    # reads

    def search(self, ids: float = 0.15) -> dict[str, Any]:
        """A search; `ids` is the share of searches by point id."""
        r = self.r
        using = r.choice(["dense", "bm25"])
        by_id = r.random() < ids
        vector: Any = r.choice(_IDS) if by_id else self.dense() if using == "dense" else self.sparse()
        return {
            "query": vector if by_id or r.random() < 0.5 else m.NearestQuery(nearest=vector),
            "using": using,
            "limit": r.randint(1, 20),
            "params": m.SearchParams(exact=True) if r.random() < 0.3 else None,
            "score_threshold": r.choice([None, None, 0.1]),
            "filter": self.maybe_filter(),
        }

    def query(self) -> Call:
        body, name, shown = self.search(), self.name(), self.shown()
        body["search_params"], body["query_filter"] = body.pop("params"), body.pop("filter")
        if self.r.random() < 0.2:
            body = {"query": None, "limit": body["limit"], "query_filter": body["query_filter"]}
        return lambda c: c.query_points(name, offset=0, **body, **shown)

    def fused(self, ids: float = 0.15) -> dict[str, Any]:
        r = self.r
        # One leg at most by id: of two that cannot be found, the servers may name another one.
        legs = [m.Prefetch(**self.search(ids if leg == 0 else 0)) for leg in range(r.randint(1, 3))]
        way = r.choice(
            [
                m.FusionQuery(fusion=m.Fusion.RRF),
                m.FusionQuery(fusion=m.Fusion.DBSF),
                m.RrfQuery(rrf=m.Rrf(k=r.randint(1, 80))),
                m.RrfQuery(rrf=m.Rrf(k=60, weights=[r.choice([0.5, 1.0, 2.0]) for _ in legs])),
                m.NearestQuery(nearest=self.dense()),
            ]
        )
        using = "dense" if isinstance(way, m.NearestQuery) else None
        return {
            "prefetch": legs,
            "query": way,
            "using": using,
            "limit": r.randint(1, 20),
            "offset": r.choice([0, 0, 2]),
        }

    def hybrid(self) -> Call:
        body, name, shown, outer = self.fused(), self.name(), self.shown(), self.maybe_filter()
        return lambda c: c.query_points(name, query_filter=outer, **body, **shown)

    def query_batch(self) -> Call:
        name = self.name()
        requests = [m.QueryRequest(**self.search(), with_payload=["tenant"]), m.QueryRequest(**self.fused(ids=0))]
        return lambda c: c.query_batch_points(name, requests=requests)

    def scroll(self) -> Call:
        name, limit, condition, shown = self.name(), self.r.randint(1, 15), self.maybe_filter(), self.shown()
        offset = self.r.choice([None, None, self.r.choice(_IDS)])
        return lambda c: c.scroll(name, scroll_filter=condition, limit=limit, offset=offset, **shown)

    def ordered(self) -> Call:
        name, limit, condition = self.name(), self.r.randint(1, 15), self.maybe_filter()
        order = m.OrderBy(key=self.r.choice(["rank", "price", "at"]), direction=self.r.choice(list(m.Direction)))
        return lambda c: c.query_points(name, query=m.OrderByQuery(order_by=order), query_filter=condition, limit=limit)

    def count(self) -> Call:
        name, condition = self.name(), self.maybe_filter()
        return lambda c: c.count(name, count_filter=condition, exact=True)

    def facet(self) -> Call:
        name, key, condition = (
            self.name(),
            self.r.choice(["tenant", "kind", "rank", "open", "ref"]),
            self.maybe_filter(),
        )
        return lambda c: c.facet(name, key=key, facet_filter=condition, limit=50, exact=True)

    def retrieve(self) -> Call:
        name, ids, shown = self.name(), self.ids(10), self.shown()
        return lambda c: c.retrieve(name, ids=ids, **shown)

    def describe(self) -> Call:
        name = self.name()
        calls: list[Call] = [
            lambda c: _info(c, name),
            lambda c: c.collection_exists(name),
            lambda c: sorted(x.name for x in c.get_collections().collections),
            lambda c: sorted((x.alias_name, x.collection_name) for x in c.get_aliases().aliases),
            lambda c: [x.alias_name for x in c.get_collection_aliases(NAME).aliases],
        ]
        return self.r.choice(calls)

    # writes

    def upsert(self) -> Call:
        name, points = self.name(), [self.point(identity) for identity in self.ids()]
        return lambda c: c.upsert(name, points=points, wait=True)

    def upsert_columns(self) -> Call:
        name, ids = self.name(), self.ids()
        columns = {"dense": [self.dense() for _ in ids], "bm25": [self.sparse() for _ in ids]}
        batch = m.Batch(ids=ids, vectors=columns, payloads=[self.values() for _ in ids])
        return lambda c: c.upsert(name, points=batch, wait=True)

    def target(self) -> Any:
        return self.ids(3) if self.r.random() < 0.6 else self.filter()

    def delete(self) -> Call:
        name = self.name()
        narrow = m.Filter(must=[m.HasIdCondition(has_id=self.ids(6)), self.condition()])
        target = self.ids(3) if self.r.random() < 0.5 else m.FilterSelector(filter=narrow)
        return lambda c: c.delete(name, points_selector=target, wait=True)

    def payload(self) -> Call:
        name, target, values = self.name(), self.target(), self.values()
        keys, key = self.r.sample(sorted(_INDEXES), 2), self.r.choice([None, None, "deep"])
        calls: list[Call] = [
            lambda c: c.set_payload(name, payload=values, points=target, key=key, wait=True),
            lambda c: c.overwrite_payload(name, payload=values, points=target, wait=True),
            lambda c: c.delete_payload(name, keys=keys, points=target, wait=True),
            lambda c: c.clear_payload(name, points_selector=self.narrow(target), wait=True),
        ]
        return self.r.choice(calls)

    @staticmethod
    def narrow(target: Any) -> Any:
        return target if isinstance(target, m.Filter) else m.PointIdsList(points=target)

    def vectors(self) -> Call:
        name, rows = self.name(), [m.PointVectors(id=i, vector={"dense": self.dense()}) for i in self.ids(2)]
        ids = self.ids(2)
        if self.r.random() < 0.3:
            return lambda c: c.delete_vectors(name, vectors=["bm25"], points=ids, wait=True)
        return lambda c: c.update_vectors(name, points=rows, wait=True)

    def mixed(self) -> Call:
        name, ids = self.name(), self.ids(3)
        operations: list[m.UpdateOperation] = [
            m.UpsertOperation(upsert=m.PointsList(points=[self.point(i) for i in ids])),
            m.SetPayloadOperation(set_payload=m.SetPayload(payload=self.values(), points=ids)),
            m.OverwritePayloadOperation(overwrite_payload=m.SetPayload(payload=self.values(), points=ids[:1])),
            m.DeletePayloadOperation(delete_payload=m.DeletePayload(keys=["rank"], points=self.ids(2))),
            m.UpdateVectorsOperation(
                update_vectors=m.UpdateVectors(points=[m.PointVectors(id=ids[0], vector={"bm25": self.sparse()})])
            ),
            m.DeleteOperation(delete=m.PointIdsList(points=self.ids(2))),
        ]
        return lambda c: c.batch_update_points(name, update_operations=operations, wait=True)

    def index(self) -> Call:
        field = self.r.choice(["price", "kind", "later"])
        if self.r.random() < 0.3:
            return lambda c: c.delete_payload_index(NAME, field, wait=True)
        return lambda c: c.create_payload_index(NAME, field, _INDEXES.get(field, "keyword"), wait=True)

    def aliases(self) -> Call:
        drawn: list[list[m.AliasOperations]] = [
            [_drop_alias(ALIAS), _create_alias(NAME)],
            [_create_alias("other", "spare"), _rename_alias("spare", "spare-2")],
            [_drop_alias("spare-2")],
            [_rename_alias("not-there", "x")],
            [_create_alias("not-there", "y")],
            [_create_alias(NAME, "other")],
        ]
        actions = self.r.choice(drawn)
        return lambda c: c.update_collection_aliases(actions)

    def mistake(self) -> Call:
        """A call that a server must refuse, or that does nothing."""
        name, short, ok = self.name(), self.dense()[:-1], self.dense()
        calls: list[Call] = [
            lambda c: c.upsert(name, points=[m.PointStruct(id=1, vector={"dense": short})], wait=True),
            lambda c: c.upsert(name, points=[m.PointStruct(id=1, vector={"other": ok})], wait=True),
            lambda c: c.upsert(name, points=[m.PointStruct(id=1, vector=ok)], wait=True),
            lambda c: c.upsert(name, points=[m.PointStruct(id=1, vector={"bm25": ok})], wait=True),
            lambda c: c.upsert(name, points=[m.PointStruct(id="no-uuid", vector={"dense": ok})], wait=True),
            lambda c: c.upsert(name, points=[], wait=True),
            lambda c: c.upsert("not-there", points=[m.PointStruct(id=1, vector={"dense": ok})], wait=True),
            lambda c: c.query_points(name, query=short, using="dense"),
            lambda c: c.query_points(name, query=ok, using="other"),
            lambda c: c.query_points(name, query=ok),
            lambda c: c.query_points(name, query=ok, using="bm25"),
            lambda c: c.query_points(name, query=m.SparseVector(indices=[1, 1], values=[1, 2]), using="bm25"),
            lambda c: c.query_points(name, query=m.FusionQuery(fusion=m.Fusion.RRF)),
            lambda c: c.query_points(name, query=987654, using="dense"),
            lambda c: c.query_points("not-there", query=ok, using="dense"),
            lambda c: c.query_points(name, query=ok, using="dense", limit=0),
            lambda c: c.scroll(name, order_by="never-indexed"),
            lambda c: c.facet(name, key="never-indexed"),
            lambda c: c.count("not-there"),
            lambda c: c.retrieve(name, ids=[1], with_vectors=["other"]),
            lambda c: c.set_payload(name, payload={"a": 1}, points=[987654], wait=True),
            lambda c: c.update_vectors(name, points=[m.PointVectors(id=987654, vector={"dense": ok})], wait=True),
            lambda c: c.create_collection(NAME, vectors_config=m.VectorParams(size=2, distance=m.Distance.DOT)),
            lambda c: c.create_collection(ALIAS, vectors_config=m.VectorParams(size=2, distance=m.Distance.DOT)),
            lambda c: c.delete_collection("not-there"),
            lambda c: c.update_collection("not-there", optimizers_config=m.OptimizersConfigDiff()),
            lambda c: c.get_collection("not-there"),
        ]
        return self.r.choice(calls)


def _info(client: QdrantClient, name: str) -> dict[str, Any]:
    info = client.get_collection(name)
    config = info.config.model_dump(mode="json", exclude_none=True)
    schema = {
        field: (index.data_type, index.points, getattr(index.params, "is_tenant", None))
        for field, index in info.payload_schema.items()
    }
    return {"points": info.points_count, "config": config, "schema": sorted(schema.items())}


def _create_index(field: str, kind: Any, client: QdrantClient) -> Any:
    return client.create_payload_index(NAME, field, kind, wait=True)


def _create_alias(collection: str, alias: str = ALIAS) -> m.CreateAliasOperation:
    return m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=collection, alias_name=alias))


def _drop_alias(alias: str) -> m.DeleteAliasOperation:
    return m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name=alias))


def _rename_alias(old: str, new: str) -> m.RenameAliasOperation:
    return m.RenameAliasOperation(rename_alias=m.RenameAlias(old_alias_name=old, new_alias_name=new))
