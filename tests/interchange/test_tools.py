"""Files of bergson, TRAK, LogIX and QLESS, written here by their documented layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.errors import DataError
from gradstore.interchange import open_source
from tests.interchange.helpers import matrix, stored

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_bergson_rows(dtype: str, bergson_index, tmp_path: Path) -> None:
    rows = matrix(9, 6).astype(dtype)
    index = bergson_index(rows)
    source = open_source(index)
    assert (source.format, source.direction, source.step) == ("bergson", "sgd", None)
    assert (stored(index, tmp_path) == rows.astype(np.float32)).all()


def test_bergson_rows_in_bfloat16(bergson_index, tmp_path: Path) -> None:
    brain = torch.from_numpy(matrix(9, 6)).bfloat16()
    index = bergson_index(brain.view(torch.int16).numpy(), base_dtype="bfloat16")
    assert (stored(index, tmp_path) == brain.float().numpy()).all()


def test_bergson_index_of_an_earlier_version(bergson_index) -> None:
    index = bergson_index(matrix(9, 6), dtype={"names": ["a", "b"], "formats": ["(3,)<f4", "(3,)<f4"]})
    about = json.loads((index / "info.json").read_text())
    del about["base_dtype"]
    (index / "info.json").write_text(json.dumps(about))
    assert (open_source(index).gradients[0:9] == matrix(9, 6)).all()


def test_bergson_tells_when_an_optimizer_had_a_hand_in_it(bergson_index) -> None:
    index = bergson_index(matrix())
    (index / "config.yaml").write_text("index_cfg:\n  optimizer_state: ''\n")
    assert open_source(index).direction == "sgd"
    (index / "config.yaml").write_text("index_cfg:\n  optimizer_state: run/optimizer.pt\n")
    source = open_source(index)
    assert source.direction is None
    assert "optimizer's state" in source.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_grads": 10}, "cut off, or the run is not finished"),
        ({"num_grads": 10**15}, "cut off"),
        ({"num_grads": -9}, "does not describe an index"),
        ({"num_grads": "9"}, "does not describe an index"),
        ({"grad_sizes": {}}, "does not describe an index"),
        ({"grad_sizes": [6]}, "does not describe an index"),
        ({"grad_sizes": {"a": 2**62, "b": 2**62}}, "cut off"),
        ({"base_dtype": "object"}, "no type of real numbers"),
        ({"base_dtype": "V8"}, "no type of real numbers"),
        ({"base_dtype": "nonsense"}, "no type of real numbers"),
        ({"base_dtype": 3}, "does not say what type"),
        ({"attribute_tokens": True}, "a row for each token"),
    ],
)
def test_bergson_descriptions_that_cannot_be(change: dict[str, Any], message: str, bergson_index) -> None:
    with pytest.raises(DataError, match=message):
        open_source(bergson_index(matrix(9, 6), **change))


def test_bergson_links_that_lead_out_are_refused(bergson_index, tmp_path: Path) -> None:
    index = bergson_index(matrix(9, 6))
    (index / "gradients.bin").rename(tmp_path / "elsewhere.bin")
    (index / "gradients.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(DataError, match="a link that leads out"):
        open_source(index)


def test_trak_rows_of_train_and_target(tmp_path: Path) -> None:
    model = tmp_path / "trak_results" / "0"
    model.mkdir(parents=True)
    train, target = matrix(9, 6).astype(np.float16), matrix(3, 6, seed=1)
    train[7:] = 0  # not featurised yet
    for name, rows in (("grads", train), ("gsm_grads", target), ("features", target)):
        with (model / f"{name}.mmap").open("wb") as file:
            np.save(file, rows)
    (tmp_path / "trak_results" / "metadata.json").write_text('{"JL dimension": 6}')
    (tmp_path / "trak_results" / "id_0.json").write_text('{"0": {"is_featurized": 1}}')
    assert (stored(tmp_path / "trak_results", tmp_path) == train.astype(np.float32)).all()
    dataset = gradstore.open(tmp_path / "s.zarr").dataset("x")
    assert dataset.valid.tolist() == [True] * 7 + [False] * 2
    assert (open_source(model, key="gsm_grads").gradients[0:3] == target).all()
    assert (open_source(model / "gsm_grads.mmap").gradients[0:3] == target).all()
    with pytest.raises(DataError, match="name one of features, grads, gsm_grads with --key"):
        open_source(model, key="bbh_grads")
    (tmp_path / "trak_results" / "1").mkdir()
    with pytest.raises(DataError, match="holds models 0, 1; name one"):
        open_source(tmp_path / "trak_results")


def test_logix_rows_of_all_files_with_their_ids(logix_log, tmp_path: Path) -> None:
    rows = matrix(9, 8)
    logix_log(0, 10, ["e", "f"], rows[4:6])
    logix_log(0, 2, list("abcd"), rows[:4])
    folder = logix_log(1, 0, ["g", "a", "h", "i"], np.stack([rows[6], rows[0], rows[7], rows[8]]))
    source = open_source(folder)
    assert source.columns["ids"] == list("abcdefghi")
    assert source.notes == ("1 rows were logged more than once and are taken once",)
    assert (source.gradients[0:9] == rows).all()
    assert (source.gradients[3:8] == rows[3:8]).all()
    assert (stored(folder, tmp_path) == rows).all()
    assert gradstore.open(tmp_path / "s.zarr").dataset("x").ids.tolist() == list("abcdefghi")


def test_logix_logs_that_cannot_be_rows_are_refused(logix_log, tmp_path: Path) -> None:
    folder = logix_log(0, 0, ["a", "b"], matrix(2, 8), kind="forward")
    with pytest.raises(DataError, match="holds more than gradients"):
        open_source(folder)
    logix_log(0, 0, ["a", "b"], matrix(2, 8))
    about = folder / "log_rank_0_chunk_0_metadata.json"
    entries = json.loads(about.read_text())
    for name, value, message in (
        ("offset", 8, "row 1 is not like the first one"),
        ("block_size", 4, "row 1 is not like the first one"),
        ("dtype", "float16", "row 1 is not like the first one"),
    ):
        about.write_text(json.dumps([entries[0], entries[1] | {name: value}]))
        with pytest.raises(DataError, match=message):
            open_source(folder)
    for value in ([], {}, [1], [{}], "x"):
        about.write_text(json.dumps(value))
        with pytest.raises(DataError, match="does not describe a log of LogIX"):
            open_source(folder)
    about.write_text(json.dumps(entries[:1]))
    with pytest.raises(DataError, match="cut off"):
        open_source(folder)


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """The first eighth, quarter or half of the codes takes the highest bits."""
    fields = 8 // bits
    parts = codes.reshape(fields, -1).astype(np.uint8)
    out = np.zeros(parts.shape[1], np.uint8)
    for number, part in enumerate(parts):
        out |= part << ((fields - 1 - number) * bits)
    return out


def quantized(rows: np.ndarray, bits: int) -> tuple[np.ndarray, dict[str, Any], np.ndarray]:
    """Packed codes, their description, and the rows that they stand for."""
    shape, largest = torch.Size(rows.shape), float(np.abs(rows).max())
    about = {"nbits": bits, "shape": shape, "packing": f"{bits}bit_u8", "absmeasure": "max"}
    if bits == 1:
        signs = (rows > 0).astype(np.uint8)
        return (
            pack(signs.ravel(), 1),
            about | {"scale_factor": largest, "offset": 0},
            largest * (2.0 * signs - 1),
        )
    scale = (2 ** (bits - 1) - 1) / largest
    codes = np.rint(rows * scale)
    offset = torch.tensor(np.abs(codes).max(), dtype=torch.float16)
    packed = pack((codes + float(offset)).ravel(), bits)
    return packed, about | {"scale_factor": torch.tensor(scale), "offset": offset}, codes / scale


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_qless_codes_are_unpacked(bits: int, tmp_path: Path) -> None:
    rows = matrix(10, 24)
    packed, about, expected = quantized(rows, bits)
    folder = tmp_path / "cot-ckpt31-adam" / "dim24"
    folder.mkdir(parents=True)
    torch.save((torch.from_numpy(packed), about), folder / f"all_quantized_{bits}bits_absmax.pt")
    source = open_source(folder.parent)
    assert (source.format, source.step, source.direction) == ("qless", 31, "adam")
    assert "norms of the gradients are lost" in source.notes[0]
    for start, stop in ((0, 10), (3, 7), (9, 10), (4, 4)):
        np.testing.assert_allclose(source.gradients[start:stop], expected[start:stop], rtol=1e-6)
    np.testing.assert_allclose(stored(folder, tmp_path), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nbits": 3}, "QLESS does not write that"),
        ({"packing": "2bit_u8"}, "QLESS does not write that"),
        ({"offset": 99}, "QLESS does not write that"),
        ({"scale_factor": float("nan")}, "QLESS does not write that"),
        ({"scale_factor": 0.0}, "QLESS does not write that"),
        ({"shape": torch.Size((10**9, 10**9))}, "codes of 4 bits"),
        ({"shape": (10, -24)}, "codes of 4 bits|not a matrix"),
        ({"shape": "ab"}, "holds no packed rows of QLESS"),
        ({"offset": None}, "holds no packed rows of QLESS"),
    ],
)
def test_qless_descriptions_that_cannot_be(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    packed, about, _ = quantized(matrix(10, 24), 4)
    path = tmp_path / "all_quantized_4bits_absmax.pt"
    torch.save((torch.from_numpy(packed), about | change), path)
    with pytest.raises(DataError, match=message):
        open_source(path)


def test_qless_of_several_widths_wants_a_name(tmp_path: Path) -> None:
    for bits in (4, 8):
        torch.save(torch.zeros(2, 2), tmp_path / f"all_quantized_{bits}bits_absmax.pt")
    with pytest.raises(DataError, match="name one"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="holds no packed rows"):
        open_source(tmp_path / "all_quantized_4bits_absmax.pt")
