"""Identifiers use the words of the field; those that they replaced do not come back."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "include" / "sluice"
# Word → what the project says instead.
REPLACED = {
    "adopt": "match a rename",
    "former": "previous",
    "leftovers": "orphaned objects",
    "leg": "retriever",
    "legs": "retrievers",
    "likeness": "similarity",
    "patience": "retry",
    "physical": "backing collection",
    "refuse": "quarantine, or reject",
    "refused": "quarantined, or rejected",
    "refusal": "quarantine record, or rejection",
    "removals": "outbox entries",
    "sparing": "isolate failures",
    "told": "the name of the value",
    "tools": "what the verb needs",
    "unseal": "decrypt",
    "voice": "start context",
}
# Names of the HTTP API, of the ledger's tables and of lineage facets, which stay.
STORED = {"former_external_id", "legs", "_no_graph_leg", "physical", "refused_at", "Refused", "RefusedInFull"}


def test_no_replaced_word_is_in_an_identifier() -> None:
    places = []
    for path in sorted(ROOT.rglob("*.py")):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            words = re.findall(r"[A-Z]?[a-z]+", token.string) if token.type == tokenize.NAME else []
            places += [
                f"{path.relative_to(ROOT)}:{token.start[0]} {token.string}: say {REPLACED[word.lower()]}"
                for word in words
                if word.lower() in REPLACED and token.string not in STORED
            ]
    assert places == []
