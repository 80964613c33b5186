"""Maximal marginal relevance (Carbonell & Goldstein 1998, "The use of MMR, diversity-based reranking")."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sluice.model.chunk import Vector


def marginal_order(relevance: Sequence[float], vectors: Vector, diversity: float, most: int) -> list[int]:
    """Returns the positions of the first `most` items. Each next one has the highest (1 - diversity) · relevance -
    diversity · (its highest similarity to those before it).

    `relevance`: scaled to 0 to 1 here. `vectors`: (n, dim), L2-normalised or zero; the similarity is their dot product.
    Of equal items the earlier one comes first.
    """
    scaled = np.asarray(relevance, dtype=np.float64)
    width = np.ptp(scaled) if len(scaled) else 0.0
    scaled = (scaled - scaled.min()) / width if width > 0 else np.zeros_like(scaled)
    nearest = np.zeros(len(scaled))
    order: list[int] = []
    while len(order) < min(most, len(scaled)):
        marginal = (1 - diversity) * scaled - diversity * nearest
        marginal[order] = -np.inf
        order.append(int(np.argmax(marginal)))
        similarity = (vectors @ vectors[order[-1]]).astype(np.float64)
        nearest = similarity if len(order) == 1 else np.maximum(nearest, similarity)
    return order
