"""What appears at its place is whole, and for whom other files are."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradstore.errors import StoreWriteError, UsageError
from gradstore.storage.complete import fresh_file, fresh_folder, new_file


@pytest.fixture
def mask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_a_file_takes_the_place_of_an_earlier_one_at_the_end(tmp_path: Path, mask: None) -> None:
    place = tmp_path / "a.txt"
    place.write_bytes(b"earlier")
    with new_file(place) as file:
        file.write(b"later")
        assert place.read_bytes() == b"earlier"
    assert place.read_bytes() == b"later"
    assert stat.S_IMODE(place.stat().st_mode) == 0o640


@pytest.mark.parametrize("writer", [new_file, fresh_file, fresh_folder])
def test_nothing_is_left_of_what_failed(writer, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writer(tmp_path / "a"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreWriteError, match=r"a\.txt cannot be written: full"),
        new_file(tmp_path / "a.txt"),
    ):
        raise OSError("full")


def test_a_fresh_folder_appears_at_the_end_with_the_rights_of_any_other(tmp_path: Path, mask: None) -> None:
    place = tmp_path / "new" / "folder"
    with fresh_folder(place) as folder:
        (folder / "a").write_text("x")
        assert not place.exists()
    assert [path.name for path in place.parent.iterdir()] == ["folder"]
    assert stat.S_IMODE(place.stat().st_mode) == 0o750


def test_a_fresh_file_is_never_in_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    for writer in (fresh_file, fresh_folder):
        with pytest.raises(UsageError, match="exists and is not overwritten"), writer(tmp_path / "a"):
            pass

    def overtaken() -> None:
        with fresh_file(tmp_path / "b") as partial:
            partial.write_text("late")
            (tmp_path / "b").write_text("early")

    with pytest.raises(UsageError, match="exists"):
        overtaken()
    assert (tmp_path / "b").read_text() == "early"
