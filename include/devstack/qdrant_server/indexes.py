"""Payload indexes: Qdrant's field schemas as the engine's, and back."""

from typing import Any

import qdrant_edge as edge

from devstack.qdrant_server.body import Json
from devstack.qdrant_server.errors import bad_format, bad_request, unsupported

_NO_SCHEMA = "data did not match any variant of untagged enum PayloadFieldSchema"
_COMMON = ("on_disk", "enable_hnsw")
_TYPES = {
    "keyword": (edge.PayloadSchemaType.Keyword, edge.KeywordIndexParams, ("is_tenant", *_COMMON)),
    "integer": (
        edge.PayloadSchemaType.Integer,
        edge.IntegerIndexParams,
        ("lookup", "range", "is_principal", *_COMMON),
    ),
    "float": (edge.PayloadSchemaType.Float, edge.FloatIndexParams, ("is_principal", *_COMMON)),
    "bool": (edge.PayloadSchemaType.Bool, edge.BoolIndexParams, _COMMON),
    "datetime": (edge.PayloadSchemaType.Datetime, edge.DatetimeIndexParams, ("is_principal", *_COMMON)),
    "uuid": (edge.PayloadSchemaType.Uuid, edge.UuidIndexParams, ("is_tenant", *_COMMON)),
    "text": (
        edge.PayloadSchemaType.Text,
        edge.TextIndexParams,
        ("tokenizer", "min_token_len", "max_token_len", "lowercase", "ascii_folding", "phrase_matching", *_COMMON),
    ),
}
_TOKENIZERS = {
    "prefix": edge.TokenizerType.Prefix,
    "whitespace": edge.TokenizerType.Whitespace,
    "word": edge.TokenizerType.Word,
    "multilingual": edge.TokenizerType.Multilingual,
}


def to_schema(value: Any) -> Any:
    """The engine's schema for a `field_schema` (a type's name, or an object with `type`). Raises ApiError."""
    if value is None:
        raise bad_request("Can't auto-detect field type, please specify `field_schema` in the request")
    params = {"type": value} if isinstance(value, str) else value
    kind = params.get("type") if isinstance(params, dict) else None
    if kind == "geo":
        raise unsupported("payload indexes of type `geo`")
    if kind not in _TYPES:
        raise bad_format(_NO_SCHEMA)
    plain, build, names = _TYPES[kind]
    given = {name: item for name, item in params.items() if name != "type" and item is not None}
    for name in given.keys() - set(names):
        raise unsupported(f"the payload index parameter `{name}`")
    if isinstance(value, str):
        return plain
    if "tokenizer" in given:
        if given["tokenizer"] not in _TOKENIZERS:
            raise bad_format(_NO_SCHEMA)
        given["tokenizer"] = _TOKENIZERS[given["tokenizer"]]
    try:
        return build(**given)
    except (TypeError, ValueError, OverflowError):
        raise bad_format(_NO_SCHEMA) from None


def shown(info: "edge.PayloadIndexInfo") -> Json:
    """One entry of `payload_schema` in a collection's info."""
    kind, names = next((kind, names) for kind, (plain, _, names) in _TYPES.items() if plain == info.data_type)
    entry: Json = {"data_type": kind}
    if info.params is not None:
        values = {name: getattr(info.params, name) for name in names}
        if "tokenizer" in values:
            values["tokenizer"] = next(k for k, v in _TOKENIZERS.items() if v == values["tokenizer"])
        entry["params"] = {"type": kind, **{name: value for name, value in values.items() if value is not None}}
    return {**entry, "points": info.points}
