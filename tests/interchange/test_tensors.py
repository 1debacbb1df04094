"""Files of torch: tensors are mapped, code is never run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from gradstore.errors import DataError, UsageError
from gradstore.interchange import open_source
from tests.interchange.helpers import matrix, stored

torch = pytest.importorskip("torch")


def test_a_tensor_alone_and_in_a_dictionary(tmp_path: Path) -> None:
    rows = torch.from_numpy(matrix())
    torch.save(rows, tmp_path / "a.pt")
    assert (stored(tmp_path / "a.pt", tmp_path / "a") == rows.numpy()).all()
    torch.save({"grads": rows, "note": "text", "n": 3}, tmp_path / "b.pt")
    assert (stored(tmp_path / "b.pt", tmp_path / "b") == rows.numpy()).all()
    torch.save({"grads": rows, "more": rows + 1}, tmp_path / "c.pt")
    with pytest.raises(UsageError, match="holds grads, more; name one with --key"):
        open_source(tmp_path / "c.pt")
    with pytest.raises(UsageError, match="unknown tensor"):
        open_source(tmp_path / "c.pt", key="x")
    assert (stored(tmp_path / "c.pt", tmp_path / "c", key="more") == (rows + 1).numpy()).all()


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["EVIL"],)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_executes_nothing(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVIL", str(tmp_path / "pwned"))
    for name in ("evil.pt", "all_orig.pt", "all_quantized_4bits_absmax.pt"):
        torch.save({"a": Evil()}, tmp_path / name, _use_new_zipfile_serialization=zipped)
        with pytest.raises(DataError, match=r"which is not data|more than tensors"):
            open_source(tmp_path / name)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match="not loaded"):
        open_source(tmp_path / "bare.pt")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(1).expand(10**9, 10**4), "not a plain matrix"),
        (torch.zeros(4, 3).t(), "not a plain matrix"),
        (torch.eye(3).to_sparse(), "not a plain matrix"),
        (torch.zeros(3), "not a matrix of real numbers"),
        (torch.zeros(0, 3), "not a matrix of real numbers"),
        (torch.zeros(2, 3, dtype=torch.complex64), "not a matrix of real numbers"),
        (torch.zeros(2, 3, dtype=torch.bool), "not a matrix of real numbers"),
        (torch.zeros(2, 3, device="meta"), "not a plain matrix"),
        ([torch.zeros(2, 3)], "holds a list, not a tensor"),
    ],
)
def test_what_is_no_plain_matrix_is_refused(value: object, message: str, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "a.pt")
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / "a.pt")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(50, 50), tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 30):
        (tmp_path / "a.pt").write_bytes(whole[:cut])
        with pytest.raises(DataError, match="not loaded"):
            open_source(tmp_path / "a.pt")
