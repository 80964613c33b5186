"""ONNX models for tests, encoded by hand (protobuf wire format; field numbers of onnx.proto, opset 13).

`matching_words` is a cross-encoder without weights: the logit of a pair is the number of pairs of equal tokens, one of
the question and one of the passage.
"""

from __future__ import annotations

from collections.abc import Sequence

_INT64, _FLOAT = 7, 1


def matching_words(labels: int = 1) -> bytes:
    """Inputs input_ids, attention_mask, token_type_ids: (batch, tokens); output logits: (batch, `labels`)."""
    nodes = [
        _node("Cast", ["attention_mask"], "mask", to=_FLOAT),
        _node("Cast", ["token_type_ids"], "second", to=_FLOAT),
        _node("Mul", ["mask", "second"], "passage"),
        _node("Sub", ["mask", "passage"], "question"),
        _node("Unsqueeze", ["input_ids", "axis2"], "rows"),
        _node("Unsqueeze", ["input_ids", "axis1"], "columns"),
        _node("Equal", ["rows", "columns"], "same"),
        _node("Cast", ["same"], "equal", to=_FLOAT),
        _node("Unsqueeze", ["passage", "axis2"], "passages"),
        _node("MatMul", ["equal", "passages"], "matches"),
        _node("Unsqueeze", ["question", "axis1"], "questions"),
        _node("MatMul", ["questions", "matches"], "sums"),
        _node("Squeeze", ["sums", "axis2"], "one"),
        _node("Concat", ["one"] * labels, "logits", axis=1),
    ]
    return _model(nodes, ["input_ids", "attention_mask", "token_type_ids"], "logits", {"axis1": 1, "axis2": 2})


def not_a_reranker() -> bytes:
    """A model with one input of another name."""
    return _model([_node("Identity", ["pixels"], "logits")], ["pixels"], "logits", {})


def _model(nodes: Sequence[bytes], inputs: Sequence[str], output: str, constants: dict[str, int]) -> bytes:
    out = _FLOAT if len(inputs) > 1 else _INT64
    graph = [
        *(_field(1, node) for node in nodes),
        _field(2, b"graph"),
        *(_field(5, _constant(name, value)) for name, value in constants.items()),
        *(_field(11, _value(name, _INT64)) for name in inputs),
        _field(12, _value(output, out)),
    ]
    opset = _field(1, b"") + _number(2, 13)
    return _number(1, 8) + _field(7, b"".join(graph)) + _field(8, opset)


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    given = b"".join(_field(1, name.encode()) for name in inputs)
    named = b"".join(
        _field(5, _field(1, name.encode()) + _number(3, value) + _number(20, 2)) for name, value in attributes.items()
    )
    return given + _field(2, output.encode()) + _field(4, kind.encode()) + named


def _constant(name: str, value: int) -> bytes:
    return _number(1, 1) + _number(2, _INT64) + _field(8, name.encode()) + _field(9, value.to_bytes(8, "little"))


def _value(name: str, kind: int) -> bytes:
    dims = b"".join(_field(1, _field(2, axis)) for axis in (b"batch", b"width"))
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, dims)))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
