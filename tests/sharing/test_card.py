"""The card: what it says, that it depends on what is sealed and nothing else, and that nobody can write in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.errors import IncompatibleError, UsageError
from gradstore.graph import build_graph
from gradstore.inspection import verify
from gradstore.interchange import import_arrays
from gradstore.records import ProjectionSpec
from gradstore.sharing import merge, write_card
from gradstore.sharing.listing import index_document
from gradstore.sharing.markdown import code, plain, quoted
from gradstore.store import Dataset, new_store, open_store
from gradstore.store.licence import licence_members, licences, parse_licences

HOSTILE = (
    "x`]\n---\nlicense: mit\n# <script>alert(1)</script> | ![](http://a.example/b.png) @all \u202e\x1b[31m"
)


def card(path: Path) -> str:
    write_card(open_store(path))
    return (path / "README.md").read_text()


def head(text: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_it_tells_what_a_user_must_know(store: Path) -> None:
    text = card(store)
    for fact in (
        "Base model: `tiny`, weights digest `bbbb",
        "`sjlt` to 16 numbers, seed 0",
        "Rows: 10, of which 9 valid and 3 truncated",
        "`source-0` 4, `source-1` 3, `source-2` 3",
        "Licence: not stated",
        "| `adam` | 16 | `int8` | `1.0` | 1.3 KiB |",
        "gradstore store new mine.zarr --on STORE",
        "Deep Leakage from Gradients",
        "The original text of these data sets is embedded: `pool`.",
    ):
        assert fact in text
    assert head(text) == {
        "pretty_name": "Gradients of tiny",
        "license": ["unknown"],
        "tags": ["gradstore", "gradients", "data-selection", "influence", "zarr"],
        "size_categories": ["n<1K"],
        "viewer": False,
    }


def test_the_base_models_revision_is_told_and_compared_with_nothing(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    path = tmp_path / "s"
    make.write(path, identity=make.identity(base_revision="c" * 40, dim=16))
    make.write(path, name="more", identity=make.identity(dim=16))  # by somebody who did not know it
    assert f"Base model: `tiny`, revision `{'c' * 40}`, weights digest `bbbb" in card(path)
    assert "step-1: tiny at cccccccccccc, step 0, projection" in str(open_store(path))
    assert open_store(path).info()["checkpoints"][0]["identity"]["base_revision"] == "c" * 40


def test_no_column_is_read_for_it_but_of_an_earlier_store(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "sources", property(lambda _: pytest.fail("the column was read")))
        assert "Sources: `source-0` 4, `source-1` 3, `source-2` 3" in card(store)
    golden = Path(__file__).parents[1] / "golden/format-1.zarr"
    assert "Sources: `plain` 6, `häkel` 5" in card(Path(shutil.copytree(golden, tmp_path / "golden")))


def test_many_sources_are_not_listed(tmp_path: Path) -> None:
    names = [f"page {row}" for row in range(1100)]
    import_arrays(tmp_path / "s", name="pool", gradients=np.ones((1100, 2)), sources=names)
    assert "- Sources: more than are counted" in card(tmp_path / "s")
    assert verify(tmp_path / "s") == []


def test_rows_that_are_not_embedded_are_told(tmp_path: Path) -> None:
    import_arrays(tmp_path / "s", name="pool", gradients=np.eye(3), license="MIT")
    text = card(tmp_path / "s")
    assert "Text of the rows: not in this store" in text
    assert "The original text of the rows is not embedded" in text
    assert head(text)["license"] == ["mit"]


def test_it_depends_on_nothing_but_what_is_sealed(store: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    """Neither on where the store is, nor on who wrote it, nor on what is not finished."""
    first = card(store)
    assert not write_card(open_store(store))
    other = Path(shutil.copytree(store, tmp_path / "elsewhere"))
    make.write_some(other, [1], name="unfinished")
    assert not write_card(open_store(other))
    merge(tmp_path / "merged", [store])
    assert (tmp_path / "merged/README.md").read_text() == first
    assert (tmp_path / "merged/index.json").read_bytes() == (store / "index.json").read_bytes()
    assert str(tmp_path) not in first


def test_the_index_lists_groups_and_manifests_of_what_is_sealed(store: Path, make: SimpleNamespace) -> None:
    make.write_some(store, [1], name="unfinished")
    write_card(open_store(store))
    pool = "checkpoints/step-1/pool"
    assert json.loads((store / "index.json").read_bytes()) == {
        "format": 1,
        "paths": sorted(
            [
                "zarr.json",
                "checkpoints/zarr.json",
                "checkpoints/step-1/zarr.json",
                *(
                    f"{pool}/{name}{each}"
                    for name in ("", "adam/", "sgd/")
                    for each in ("zarr.json", "manifest.json")
                ),
            ]
        ),
    }


def test_an_index_of_what_is_not_there_is_a_problem(store: Path, make: SimpleNamespace) -> None:
    write_card(open_store(store))
    assert verify(store) == []
    make.write(store, name="goal")
    write_card(open_store(store))
    shutil.rmtree(store / "checkpoints/step-1/goal")
    (problem,) = verify(store)
    assert problem.where == "index.json"
    write_card(open_store(store))
    assert verify(store) == []


def test_commands_that_change_a_store_refresh_it(store: Path) -> None:
    build_graph(store)
    assert "- Graphs: `default`" in (store / "README.md").read_text()
    import_arrays(store, name="more", gradients=np.eye(4))
    assert "### Data set `more`" in (store / "README.md").read_text()
    assert (store / "index.json").read_bytes() == index_document(open_store(store).folder)


def test_that_of_an_overlay_is_of_what_is_its_own(store: Path, tmp_path: Path) -> None:
    new_store(tmp_path / "mine", on=store)
    text = card(tmp_path / "mine")
    assert "This is an overlay" in text
    assert "`pool`" not in text
    assert str(store) not in text


def test_nothing_in_a_store_can_write_markup_or_front_matter(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write(
        tmp_path / "s",
        identity=make.identity(base=HOSTILE, lora={"r": HOSTILE}, projection=ProjectionSpec(HOSTILE, 16, 0)),
        attributes={
            "target": False,
            "provenance": {
                "license": HOSTILE, "source_licenses": {HOSTILE: HOSTILE}, "versions": {HOSTILE: HOSTILE, "x": [1]}
            },
        },
    )  # fmt: skip
    text = card(tmp_path / "s")
    assert set(head(text)) == {"pretty_name", "license", "tags", "size_categories", "viewer"}
    assert head(text)["license"] == ["other"]
    body = text.split("---\n", 2)[2]
    in_code = body.split("`")[1::2]
    assert sum("<script>" in span for span in in_code) == body.count("<script>") > 0
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert sum(line.startswith("# ") for line in body.splitlines()) == 1


def test_values_of_strange_types_do_not_stop_it(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write(
        tmp_path / "s",
        attributes={"provenance": ["what"], "target": 3},
        identity=make.identity(lora={"r": [1]}),
    )
    assert "Licence: not stated" in card(tmp_path / "s")


@given(st.text())
def test_any_text_is_one_code_span_of_one_line(text: str) -> None:
    span = code(text)
    assert span[0] == span[-1] == "`"
    assert span.count("`") == 2
    assert "|" not in span
    assert len(span.splitlines()) == 1


@given(st.text())
def test_any_text_is_one_yaml_string(text: str) -> None:
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(f"name: {quoted(text)}") == {"name": plain(text)}


def test_licences_come_for_all_rows_or_for_those_of_a_source() -> None:
    given_ = parse_licences(["MIT", "dolly=CC-BY-SA-3.0", "a=b=Apache-2.0"])
    assert given_ == {"": "MIT", "dolly": "CC-BY-SA-3.0", "a=b": "Apache-2.0"}
    assert licences({"provenance": licence_members(given_)}) == given_
    assert parse_licences([]) is None
    assert licence_members(None) == {}
    for wrong in (["=MIT"], ["dolly="], [" "], ["MIT", "GPL"]):
        with pytest.raises(UsageError, match="--license"):
            parse_licences(wrong)


def test_a_licence_that_is_not_the_stored_one_is_refused(tmp_path: Path) -> None:
    given_: dict[str, Any] = {"name": "pool", "gradients": np.eye(3)}
    import_arrays(tmp_path / "s", **given_, license={"": "MIT", "dolly": "CC-BY-SA-3.0"})
    import_arrays(tmp_path / "s", **given_)
    import_arrays(tmp_path / "s", **given_, license="MIT")
    with pytest.raises(IncompatibleError, match=r"license is MIT there, GPL-3\.0 now"):
        import_arrays(tmp_path / "s", **given_, license="GPL-3.0")
    with pytest.raises(IncompatibleError, match="license of flan is not stated there, MIT now"):
        import_arrays(tmp_path / "s", **given_, license={"flan": "MIT"})
    assert open_store(tmp_path / "s").dataset("pool").attributes["provenance"]["license"] == "MIT"
