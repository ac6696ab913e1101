"""Vectors in 8 bits a component, with a bound on what that loses.

A row x becomes codes c (unsigned, 128 is zero) and a scale s with x ~ s * (c - 128); the length of the difference is
kept as the row's error. A query q becomes two columns of 7-bit codes, a coarse and a fine one, so that its own error is
some 1e-4. By the inequality of Cauchy and Schwarz the cosine of both (length 1) differs from the one of the codes by at
most row error + query error. Seven bits, because the instruction of older x86 processors adds two products of an
unsigned and a signed byte in 16 bits: 2 * 255 * 64 is the most that fits.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from openrek.store.vector_changes import Floats

Codes = NDArray[np.uint8]
ZERO: Final = 128
QUERY_STEPS: Final = 64
FINER: Final = 2 * QUERY_STEPS
ROUNDING: Final = 1e-5
"""More than what float32 arithmetic on sums of codes can lose of a cosine."""


def width(dimension: int) -> int:
    """The bytes that a row of codes takes: the next multiple of 4."""
    return -(-dimension // 4) * 4


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """codes: (N, width) uint8. scales, errors: (N,) float32."""

    codes: Codes
    scales: Floats
    errors: Floats


def quantise(vectors: Floats) -> Quantised:
    """Quantise (N, D) float32 rows."""
    count, dimension = vectors.shape
    peaks = np.abs(vectors).max(axis=1, initial=0.0)
    scales = np.where(peaks > 0, peaks / np.float32(127), np.float32(1)).astype(np.float32)
    steps = np.rint(vectors / scales[:, None])
    errors = np.linalg.norm(vectors - steps * scales[:, None], axis=1)
    codes = np.full((count, width(dimension)), ZERO, np.uint8)
    codes[:, :dimension] = (steps + ZERO).astype(np.uint8)
    return Quantised(codes, scales, (errors * 1.001 + 1e-6).astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """exact: (D,) float64 of length 1. columns: (width, 2) int8; weights: (2,) float32; error: a cosine's worth."""

    exact: NDArray[np.float64]
    columns: NDArray[np.int8]
    weights: Floats
    error: float


def quantise_query(query: Floats) -> Query:
    """Quantise a query (D,) of any length above 0. Raises ValueError for one that has no direction."""
    exact = np.asarray(query, np.float64)
    length = float(np.linalg.norm(exact))
    if not np.isfinite(length) or length == 0:
        raise ValueError("a query vector needs a finite length above 0")
    exact = exact / length
    coarse = np.abs(exact).max() / QUERY_STEPS
    fine = coarse / FINER
    first = np.rint(exact / coarse)
    second = np.clip(np.rint((exact - first * coarse) / fine), -QUERY_STEPS, QUERY_STEPS)
    columns = np.zeros((width(len(exact)), 2), np.int8)
    columns[: len(exact), 0] = first
    columns[: len(exact), 1] = second
    lost = float(np.linalg.norm(exact - first * coarse - second * fine))
    # a row of codes is a little longer than 1 at most: by its own error
    return Query(exact, columns, np.array([coarse, fine], np.float32), lost * 1.1 + ROUNDING)
