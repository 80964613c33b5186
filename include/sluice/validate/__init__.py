"""The gates: Great Expectations decides, row by row, which documents go on. Its only importer.

Great Expectations sees numbers that describe documents, chunks and vectors, never a text, so nothing readable can end
up in its results.
"""

from sluice.validate.expectations import gates_process, prepare, ready
from sluice.validate.gates import Verdict, chunks_gate, documents_gate, suspect_vectors, vectors_gate
from sluice.validate.labels import Result, label, observed_in_words, result
from sluice.validate.rules import merged, parse_actions, ruled, with_rules
from sluice.validate.suite import SUITES, Check, check_of, suite_of

__all__ = [
    "SUITES",
    "Check",
    "Result",
    "Verdict",
    "check_of",
    "chunks_gate",
    "documents_gate",
    "gates_process",
    "label",
    "merged",
    "observed_in_words",
    "parse_actions",
    "prepare",
    "ready",
    "result",
    "ruled",
    "suite_of",
    "suspect_vectors",
    "vectors_gate",
    "with_rules",
]
