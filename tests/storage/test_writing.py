"""Where no store can be made, nobody is told to run the same command again."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradstore.errors import StoreWriteError
from gradstore.store import create_store, new_store


@pytest.mark.parametrize("create", [create_store, new_store])
def test_a_file_in_the_way_is_named(create: object, tmp_path: Path) -> None:
    file = tmp_path / "FILE"
    file.touch()
    with pytest.raises(StoreWriteError) as told:
        create(file / "below" / "x.zarr")  # type: ignore[operator]
    assert str(told.value) == f"{file} is a file, not a folder: choose another path"


@pytest.mark.parametrize(
    "kind", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")]
)
def test_a_folder_that_cannot_be_made_is_no_reason_to_try_again(
    kind: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise kind

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(StoreWriteError) as told:
        create_store(tmp_path / "x.zarr")
    assert str(told.value) == f"cannot make {tmp_path / 'x.zarr'}: {kind.strerror}; choose another path"
