"""What each encoding promises, for rows of any size."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gradstore.errors import UsageError
from gradstore.store.encodings import ENCODINGS, encoding, row_norms
from gradstore.store.fidelity import fidelity, top_share
from gradstore.store.packed import LEVELS

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
    assert codes.shape == (len(rows), kind.width(rows.shape[1]))
    assert codes[0].nbytes == kind.row_bytes(rows.shape[1])
    assert (scale is not None) == kind.scaled
    decoded = kind.decode(codes, scale, rows.shape[1])
    assert decoded.dtype == np.float32
    assert decoded.shape == rows.shape
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


def test_the_levels_are_the_means_of_their_cells() -> None:
    """Lloyd's and Max's condition, for a standard Gaussian, to the last digits of a float64."""
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(LEVELS)), math.inf]
    density = [math.exp(-edge * edge / 2) / math.sqrt(2 * math.pi) for edge in edges]
    beyond = [math.erfc(edge / math.sqrt(2)) / 2 for edge in edges]
    for i, level in enumerate(LEVELS):
        assert level == pytest.approx((density[i] - density[i + 1]) / (beyond[i] - beyond[i + 1]), abs=5e-15)


def slow_int4(row: np.ndarray) -> tuple[bytes, float]:
    """Number by number: the nearest level of the row over its root mean square, low nibble first."""
    spread = math.sqrt(math.fsum(float(x) ** 2 for x in row) / len(row))
    bounds = [(a + b) / 2 for a, b in pairwise(LEVELS)]
    codes = [(8 if x < 0 else 0) + sum(abs(float(x)) > bound * spread for bound in bounds) for x in row]
    levels = [LEVELS[code % 8] for code in codes]
    scale = math.fsum(abs(float(x)) * y for x, y in zip(row, levels, strict=True)) / math.fsum(
        y * y for y in levels
    )
    codes += [0] * (len(codes) % 2)
    return bytes(low | high << 4 for low, high in zip(codes[::2], codes[1::2], strict=True)), scale


def slow_sign(row: np.ndarray) -> tuple[bytes, float]:
    """Bit by bit, the lowest first; 1 is negative."""
    packed = bytearray(-(-len(row) // 8))
    for place, x in enumerate(row):
        packed[place // 8] |= int(x < 0) << place % 8
    return bytes(packed), math.sqrt(math.fsum(float(x) ** 2 for x in row) / len(row))


@settings(max_examples=60)
@given(scaled_rows())
@example(
    np.random.default_rng(0).normal(size=(3, 40_001)).astype(np.float32)
)  # more than is worked on at a time
def test_packed_codes_are_those_of_a_slow_writer(rows: np.ndarray) -> None:
    for name, slow, width in (("int4", slow_int4, 2), ("sign", slow_sign, 8)):
        codes, scale = encoding(name).encode(rows)
        expected = [slow(row) for row in rows]
        near = [
            np.frombuffer(each, np.uint8) != found for (each, _), found in zip(expected, codes, strict=True)
        ]
        assert np.sum(near) <= 1e-4 * rows.size  # a number may lie on a bound, to rounding
        assert np.allclose(scale, [each for _, each in expected], rtol=1e-5, atol=0)
        rest = -rows.shape[1] % width
        assert rest == 0 or (codes[:, -1] >> 8 // width * (width - rest) == 0).all()


def test_packed_codes_are_read_as_described() -> None:
    """Every byte, against docs/format.md written out."""
    codes = np.arange(256, dtype=np.uint8)[None]
    scale = np.array([0.5], np.float32)
    nibbles = [nibble for byte in range(256) for nibble in (byte & 15, byte >> 4)]
    levels = [(-1 if nibble & 8 else 1) * np.float32(LEVELS[nibble & 7]) for nibble in nibbles]
    assert encoding("int4").decode(codes, scale, 511)[0].tolist() == [0.5 * level for level in levels[:511]]
    signs = [-0.5 if byte >> bit & 1 else 0.5 for byte in range(256) for bit in range(8)]
    assert encoding("sign").decode(codes, scale, 2045)[0].tolist() == signs[:2045]


@given(scaled_rows())
def test_int4_takes_the_best_multiple_and_keeps_the_direction(rows: np.ndarray) -> None:
    true, decoded = rows.astype(np.float64), round_trip("int4", rows).astype(np.float64)
    inner, own = np.einsum("ij,ij->i", true, decoded), np.einsum("ij,ij->i", decoded, decoded)
    assert np.allclose(inner, own, rtol=1e-5, atol=0)  # the error is orthogonal: no multiple is nearer
    assert (inner / np.linalg.norm(true, axis=1) / np.sqrt(own) > 0.95).all()


@given(scaled_rows())
def test_sign_keeps_signs_and_norm(rows: np.ndarray) -> None:
    decoded = round_trip("sign", rows)
    assert ((decoded < 0) == (rows < 0)).all()
    assert np.allclose(row_norms(decoded), row_norms(rows), rtol=1e-5, atol=0)


def test_gaussian_rows_lose_what_theory_says() -> None:
    """The share of the variance: 0.9501 % of four bits (Max 1960); signs keep √(2/π) of the cosine."""
    rows = np.random.default_rng(1).normal(size=(50, 4000)).astype(np.float32)
    lost = np.square(round_trip("int4", rows) - rows).sum() / np.square(rows).sum()
    assert lost == pytest.approx(0.009501, rel=0.03)
    decoded = round_trip("sign", rows)
    assert (decoded * rows).sum() / np.square(rows).sum() == pytest.approx(math.sqrt(2 / math.pi), rel=0.01)


@pytest.mark.parametrize("name", ENCODINGS)
@given(rows=ANY_ROWS)
def test_rows_of_any_size_stay_finite_and_none_becomes_zero(name: str, rows: np.ndarray) -> None:
    decoded = round_trip(name, rows)
    assert np.isfinite(decoded).all()
    there = (rows != 0).any(axis=1)
    assert not decoded[~there].any()
    if name in ("int4", "sign"):
        assert decoded[there].any(axis=1).all()


@pytest.mark.parametrize("name", ["int4", "sign"])
def test_packed_zero_rows_are_zero_bytes_and_positive_zeros(name: str) -> None:
    rows = np.zeros((2, 9), np.float32)
    rows[1, 3] = -0.0
    codes, scale = encoding(name).encode(rows)
    assert not codes.any()
    assert scale.tobytes() == bytes(8)
    assert encoding(name).decode(codes, scale, 9).tobytes() == bytes(2 * 9 * 4)


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
    best = [set(np.argsort(-each, kind="stable")[:2]) for each in scores]  # 1 % of 171 pairs, rounded up
    assert measured == {
        "spearman": pytest.approx(spearman(*scores), abs=2e-4),
        "top1": len(best[0] & best[1]) / 2,
        "rows": 19,
    }


def test_the_top_share_counts_the_best_and_takes_the_first_of_equal_ones() -> None:
    true = np.arange(300.0)
    kept = true.copy()
    kept[[0, 299]] = [999, 0]
    assert top_share(true, kept) == 2 / 3
    assert top_share(np.zeros(5), np.zeros(5)) == 1
    assert top_share(np.array([0.0, 1, 1]), np.array([0.0, 0, 1])) == 0


def test_fidelity_does_not_depend_on_how_a_machine_sums() -> None:
    """Cosines of signs are often equal, and must be found to be so."""
    rows = np.random.default_rng(2).normal(size=(64, 32)).astype(np.float32)
    decoded = round_trip("sign", rows)
    order = np.random.default_rng(3).permutation(32)
    valid = np.ones(64, bool)
    assert fidelity(rows[:, order], decoded[:, order], valid) == fidelity(rows, decoded, valid)


def test_fidelity_of_too_few_or_equal_rows_is_not_measured() -> None:
    rows = np.ones((3, 2), dtype=np.float32)
    assert fidelity(rows, rows, np.array([True, True, False])) is None
    assert fidelity(rows, rows, np.ones(3, bool)) is None
