"""Folders of LESS: every row arrives, names tell step and direction, and what is incomplete is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gradstore
from gradstore.errors import DataError, IncompatibleError, UsageError
from gradstore.interchange import open_source
from tests.interchange.helpers import matrix, stored

torch = pytest.importorskip("torch")


def rows_of(path: Path) -> np.ndarray:
    return torch.load(path, weights_only=True).float().numpy()


def test_rows_of_several_files_arrive_in_order(less_run, tmp_path: Path) -> None:
    rows = matrix(400, 8)
    folder = less_run(rows)
    source = open_source(folder)
    assert (source.format, source.step, source.direction, source.notes) == ("less", 105, "adam", ())
    assert source.gradients.shape == (400, 8)
    for start, stop in ((0, 400), (150, 330), (159, 161), (320, 400), (7, 7)):
        assert (source.gradients[start:stop] == rows[start:stop]).all()
    assert (stored(folder, tmp_path) == rows).all()
    dataset = gradstore.open(tmp_path / "s.zarr").dataset("x")
    assert (dataset.checkpoint, dataset.directions, dataset.identity.step) == (
        "checkpoint-105",
        ("adam",),
        105,
    )
    assert dataset.attributes["provenance"] == {"file": "dim8", "format": "less"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_type_that_torch_writes_is_exact(dtype: torch.dtype, less_run, tmp_path: Path) -> None:
    rows = matrix(170, 4)
    expected = torch.from_numpy(rows).to(dtype).float().numpy()
    assert (stored(less_run(rows, dtype), tmp_path) == expected).all()


def test_the_folder_above_will_do_where_it_has_one_dim(less_run, tmp_path: Path) -> None:
    rows = matrix(5, 4)
    run = less_run(rows, name="bbh-ckpt20-sgd").parent
    assert (stored(run, tmp_path) == rows).all()
    (run / "dim8").mkdir()
    with pytest.raises(DataError, match="holds dim4, dim8; name one of them"):
        open_source(run)


def test_a_flat_folder_is_read_too(less_run, tmp_path: Path) -> None:
    rows = matrix(5, 4)
    flat = less_run(rows).rename(tmp_path / "mine-ckpt7-sign")
    source = open_source(flat)
    assert (source.step, source.direction) == (7, "sign")
    assert (source.gradients[0:5] == rows).all()


def test_whole_files_serve_where_the_parts_are_gone(less_run) -> None:
    rows = matrix(5, 4)
    folder = less_run(rows)
    (folder / "grads-5.pt").unlink()
    assert open_source(folder).notes == ()
    assert (open_source(folder).gradients[0:5] == rows).all()
    (folder / "all_unormalized.pt").unlink()
    source = open_source(folder)
    assert source.notes == ("its rows have norm 1: the norms of the gradients are lost",)
    np.testing.assert_allclose(np.linalg.norm(source.gradients[0:5], axis=1), 1, rtol=1e-6)
    assert open_source(folder / "all_orig.pt").notes == source.notes
    assert (open_source(folder / "all_orig.pt").step, source.step) == (105, 105)


def test_overflow_and_zeros_are_invalid_rows(less_run, tmp_path: Path) -> None:
    rows = matrix(4, 4)
    rows[1, 2] = 1e6  # not a float16
    rows[2] = 0
    stored(less_run(rows, torch.float16), tmp_path)
    dataset = gradstore.open(tmp_path / "s.zarr").dataset("x")
    assert dataset.reasons.tolist() == ["", "non-finite gradient", "zero gradient", ""]


def test_train_and_target_of_one_checkpoint_are_comparable(less_run, tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    train, target = matrix(30, 8), matrix(4, 8, seed=1)
    gradstore.import_gradients(store, less_run(train), name="dolly")
    gradstore.import_gradients(store, less_run(target, name="bbh-ckpt105-sgd"), name="bbh", target=True)
    picked = gradstore.select(store, selector="less", target="bbh", budget=3)
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (train, target)]
    expected = np.argsort(-(unit[0] @ unit[1].T).mean(axis=1))[:3]
    assert picked.selection.picks.tolist() == expected.tolist()
    other = less_run(matrix(4, 6), name="mmlu-ckpt105-sgd")
    with pytest.raises(IncompatibleError, match="the store has dim 8, this command 6\\): use another store"):
        gradstore.import_gradients(store, other, name="mmlu", target=True)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: (f / "grads-160.pt").unlink(), "those from 1 to 320: a file is missing"),
        (lambda f: (f / "grads-400.pt").unlink(), "ends at row 320, but all_unormalized.pt has 400"),
        (lambda f: (f / "grads-320.pt").rename(f / "grads-310.pt"), "from 161 to 310"),
        (lambda f: torch.save(torch.zeros(160, 9), f / "grads-320.pt"), "they are not of one run"),
        (lambda f: torch.save(torch.zeros(160, 8).int(), f / "grads-320.pt"), "they are not of one run"),
        (lambda f: (f / "grads-320.pt").write_bytes((f / "grads-320.pt").read_bytes()[:900]), "not loaded"),
        (lambda f: (f / "grads-320.pt").write_bytes(b""), "not loaded"),
        (lambda f: f.rename(f.parent / "dim9"), "rows have 8 numbers, not 9"),
    ],
)
def test_what_is_not_whole_is_refused_in_one_line(harm, message: str, less_run, tmp_path: Path) -> None:
    folder = less_run(matrix(400, 8))
    harm(folder)
    with pytest.raises(DataError, match=message) as caught:
        open_source(folder.parent)
    assert "\n" not in str(caught.value)


def test_links_that_lead_out_are_refused(less_run, tmp_path: Path) -> None:
    folder = less_run(matrix(5, 4))
    elsewhere = (folder / "grads-5.pt").rename(tmp_path / "secret.pt")
    (folder / "grads-5.pt").symlink_to(elsewhere)
    with pytest.raises(DataError, match="a link that leads out of its folder"):
        open_source(folder)
    (folder / "grads-5.pt").unlink()
    (folder / "grads-5.pt").symlink_to("grads-5.pt")
    with pytest.raises(DataError, match=r"a link that leads out|not an ordinary file|no such file"):
        open_source(folder)


def test_a_key_has_no_meaning_here(less_run) -> None:
    with pytest.raises(UsageError, match="hold one matrix"):
        open_source(less_run(matrix(5, 4)), key="a")


@pytest.mark.parametrize("direction", ["adam", "sgd", "sign"])
@pytest.mark.parametrize("dim", [256, 512])
def test_golden_files_go_through_a_store_unchanged(
    direction: str, dim: int, shared: Path, tmp_path: Path
) -> None:
    golden = shared / "golden" / "less_tiny" / "grads" / f"t-ckpt20-{direction}" / f"dim{dim}"
    theirs = rows_of(golden / "grads-37.pt")
    gradstore.import_gradients(tmp_path / "s.zarr", golden, name="t")
    made = gradstore.export(tmp_path / "s.zarr", tmp_path / "out", dataset="t", fmt="less")
    assert made.path == tmp_path / "out" / f"t-ckpt20-{direction}" / f"dim{dim}"
    assert (rows_of(made.path / "grads-37.pt") == theirs).all()
    for name in ("all_unormalized.pt", "all_orig.pt"):
        if (golden / name).exists():  # LESS normalised in float16
            step = 0 if "un" in name else 2.0**-10
            np.testing.assert_allclose(
                rows_of(made.path / name), rows_of(golden / name), rtol=step, atol=step / 8
            )
    again = gradstore.import_gradients(tmp_path / "again.zarr", made.path, name="t")
    assert (again.read(direction, 0, 37) == theirs).all()
