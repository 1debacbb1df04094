"""What each encoding promises, for rows of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gradstore.errors import UsageError
from gradstore.store.encodings import ENCODINGS, encoding, row_norms
from gradstore.store.fidelity import fidelity

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=24)
ANY_SIZE = st.floats(-(2.0**120), 2.0**120, width=32)
TINY = st.floats(-(2.0**-126), 2.0**-126, width=32)  # subnormal numbers
ANY_ROWS = arrays(np.float32, SHAPES, elements=ANY_SIZE) | arrays(np.float32, SHAPES, elements=TINY)


@st.composite
def scaled_rows(draw: st.DrawFn) -> np.ndarray:
    """Rows with entries of one magnitude, of norms between 1e-9 and 1e9."""
    shape = draw(SHAPES)
    rows = draw(arrays(np.float32, shape, elements=st.floats(0.125, 1, width=32)))
    signs = draw(arrays(np.int8, shape, elements=st.sampled_from([-1, 1])))
    size = draw(arrays(np.float64, (shape[0], 1), elements=st.floats(-9, 9)))
    rows = rows * signs
    return (rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True) * 10.0**size).astype(
        np.float32
    )


def round_trip(name: str, rows: np.ndarray) -> np.ndarray:
    kind = encoding(name)
    codes, scale = kind.encode(rows)
    assert codes.dtype == kind.dtype
    assert (scale is not None) == kind.scaled
    decoded = kind.decode(codes, scale)
    assert decoded.dtype == np.float32
    assert not np.shares_memory(decoded, codes)
    return decoded


@given(ANY_ROWS)
@example(np.arange(1, 2000, dtype=np.float32)[:, None] * np.float32(2.0**-149))
def test_int8_errs_by_at_most_half_a_scale(rows: np.ndarray) -> None:
    _, scale = encoding("int8").encode(rows)
    error = np.abs(round_trip("int8", rows).astype(np.float64) - rows)
    assert (error <= scale[:, None].astype(np.float64) * (0.5 + 2e-5)).all()
    largest = np.abs(rows).max(axis=1).astype(np.float64)
    assert (scale <= largest / 127 * (1 + 1e-6) + 3e-45).all()


@given(arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_exact_is_exact(rows: np.ndarray) -> None:
    assert round_trip("exact", rows).tobytes() == rows.tobytes()


@given(scaled_rows())
def test_half_keeps_cosine_and_norm_whatever_the_size(rows: np.ndarray) -> None:
    decoded = round_trip("half", rows).astype(np.float64)
    true = rows.astype(np.float64)
    norms, kept = np.linalg.norm(true, axis=1), np.linalg.norm(decoded, axis=1)
    assert np.allclose(kept, norms, rtol=2e-7, atol=0)
    assert (np.einsum("ij,ij->i", true, decoded) / (norms * kept) > 1 - 1e-6).all()


@given(scaled_rows())
def test_norms_are_the_nearest_float32(rows: np.ndarray) -> None:
    assert (
        row_norms(rows) == np.linalg.norm(rows.astype(np.float64), axis=1).astype(np.float32)
    ).mean() > 0.9
    assert np.allclose(row_norms(rows), np.linalg.norm(rows.astype(np.float64), axis=1), rtol=1.2e-7, atol=0)


@pytest.mark.parametrize("name", ENCODINGS)
def test_zero_rows_stay_zero(name: str) -> None:
    rows = np.array([[0, 0, 0], [1, -2, 3]], dtype=np.float32)
    assert (round_trip(name, rows)[0] == 0).all()
    assert (round_trip(name, rows)[1] != 0).all()


def test_an_unknown_encoding_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'int8'"):
        encoding("int9")


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Slow and plain: ranks by counting."""
    ranks = [np.array([(x < v).sum() + ((x == v).sum() - 1) / 2 for v in x]) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def test_fidelity_is_the_spearman_correlation_of_pairwise_cosines() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(20, 8)).astype(np.float32)
    noisy = (rows + 0.3 * random.normal(size=rows.shape)).astype(np.float32)
    noisy[3] = noisy[4]
    rows[3] = rows[4]
    valid = np.arange(20) != 7
    upper = np.triu_indices(19, k=1)
    scores = []
    for matrix in (rows, noisy):
        unit = matrix[valid].astype(np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        scores.append(np.round((unit @ unit.T)[upper], 12))
    measured = fidelity(rows, noisy, valid)
    assert measured == {"spearman": pytest.approx(spearman(*scores), abs=2e-4), "rows": 19}


def test_fidelity_of_too_few_or_equal_rows_is_not_measured() -> None:
    rows = np.ones((3, 2), dtype=np.float32)
    assert fidelity(rows, rows, np.array([True, True, False])) is None
    assert fidelity(rows, rows, np.ones(3, bool)) is None
