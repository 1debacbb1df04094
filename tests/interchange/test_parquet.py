"""Parquet: vectors, ids and rows come back; other tools' files are read by their column of lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gradstore
from gradstore.errors import DataError, UsageError
from gradstore.interchange import open_source
from gradstore.store import Store
from tests.interchange.helpers import matrix, stored


def test_what_is_exported_comes_back_with_all_its_columns(store: Store, tmp_path: Path) -> None:
    pool = store.dataset("pool")
    made = gradstore.export(store, tmp_path / "pool.parquet", dataset="pool", fmt="parquet")
    assert (made.rows, made.dim, made.path) == (200, 12, tmp_path / "pool.parquet")
    again = gradstore.import_gradients(tmp_path / "again.zarr", made.path, name="pool")
    assert (again.read("adam", 0, 200) == pool.read("adam", 0, 200)).all()
    for column in ("ids", "sources", "subtasks", "contents", "valid", "tokens"):
        assert (getattr(again, column) == getattr(pool, column)).all(), column
    np.testing.assert_array_equal(again.loss, pool.loss)
    assert np.unique(pool.loss[pool.valid]).size > 1
    assert pool.tokens.any()
    assert again.records(range(200)) == pool.records(range(200))


def test_every_column_is_in_the_file(store: Store, tmp_path: Path) -> None:
    pool = store.dataset("pool")
    gradstore.export(store, tmp_path / "pool.parquet", dataset="pool", fmt="parquet")
    table = pq.read_table(tmp_path / "pool.parquet")
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 12)
    assert table["valid"].to_pylist() == pool.valid.tolist()
    assert table["reason"][3].as_py() == "zero gradient"
    np.testing.assert_array_equal(table["norm"].to_numpy(), pool.norms("adam"))
    assert table["vector"][150].as_py() == [0.0] * 12


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("fixed", [True, False])
def test_lists_of_other_tools_are_read(kind: pa.DataType, fixed: bool, tmp_path: Path) -> None:
    rows = matrix(50, 6).astype(kind.to_pandas_dtype())
    lists = pa.array(list(rows), pa.list_(kind, 6) if fixed else pa.list_(kind))
    table = pa.table({"n": range(50), "id": range(100, 150), "emb": lists})
    pq.write_table(table, tmp_path / "e.parquet", row_group_size=13)
    source = open_source(tmp_path / "e.parquet")
    assert source.columns == {"ids": [str(i) for i in range(100, 150)]}
    for start, stop in ((0, 50), (5, 30), (10, 14), (49, 50), (7, 7), (0, 1)):  # also backwards
        assert (source.gradients[start:stop] == rows[start:stop]).all()
    assert (stored(tmp_path / "e.parquet", tmp_path) == rows.astype(np.float32)).all()


@pytest.mark.parametrize("fixed", [True, False])
def test_a_missing_vector_is_an_invalid_row(fixed: bool, tmp_path: Path) -> None:
    if fixed and int(pa.__version__.partition(".")[0]) < 26:
        pytest.skip("pyarrow before 26 does not read them")
    values = [[1.0, 2.0], None, [3.0, 4.0], None]
    kind = pa.list_(pa.float32(), 2) if fixed else pa.list_(pa.float32())
    pq.write_table(pa.table({"v": pa.array(values, kind)}), tmp_path / "e.parquet")
    assert stored(tmp_path / "e.parquet", tmp_path).tolist() == [[1, 2], [0, 0], [3, 4], [0, 0]]
    assert gradstore.open(tmp_path / "s.zarr").dataset("x").valid.tolist() == [True, False] * 2


def test_what_cannot_be_vectors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pq.write_table(pa.table({"a": [[1.0], [2.0]], "b": [[1.0], [2.0]]}), path)
    with pytest.raises(UsageError, match="has the columns of vectors a, b; name one with --key"):
        open_source(path)
    assert open_source(path, key="b").gradients.shape == (2, 1)
    pq.write_table(pa.table({"a": [1.0, 2.0]}), path)
    with pytest.raises(UsageError, match="has no column of vectors"):
        open_source(path)
    pq.write_table(pa.table({"a": [[1.0], [2.0, 3.0]]}), path)
    with pytest.raises(DataError, match="vectors of different lengths"):
        stored(path, tmp_path)
    pq.write_table(pa.table({"a": [[1.0], [2.0]], "id": ["x", None]}), path)
    with pytest.raises(DataError, match="column 'id' must be texts or whole numbers"):
        open_source(path)
    pq.write_table(pa.table({"a": pa.array([[1.0]], pa.list_(pa.float32(), 1)).slice(0, 0)}), path)
    with pytest.raises(DataError, match="has no vectors"):
        open_source(path)
    for cut in (0, 3, 50):
        pq.write_table(pa.table({"a": [[1.0], [2.0]]}), path)
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(DataError, match="no whole Parquet file"):
            open_source(path)
