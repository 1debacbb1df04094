"""Push to the Hub: what is committed, in which order, and what is not sent again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradstore.errors import (
    UsageError,
)
from gradstore.inspection import verify
from gradstore.progress import silent
from gradstore.sharing import write_card
from gradstore.sharing.hub import HubPlace, hub_warnings, largest_folders, push_to_hub
from gradstore.sharing.shipment import shipment
from gradstore.store import open_store
from tests.files import contents


class FakeHub:
    """A repository in a folder; counts what each commit brings."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commits: list[list[str]] = []
        self.fail_after: int | None = None

    def create_repo(self, repo_id: str, **options: Any) -> None:
        assert (repo_id, options["private"], options["repo_type"]) == ("team/grads", True, "dataset")

    def list_repo_tree(self, *_: object, **__: object) -> list[SimpleNamespace]:
        found = []
        for name, data in contents(self.root).items():
            lfs = SimpleNamespace(sha256=hashlib.sha256(data).hexdigest()) if len(data) > 200 else None
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324
            found.append(SimpleNamespace(path=name, size=len(data), blob_id=blob, lfs=lfs))
        return found

    def create_commit(self, _: str, operations: list[Any], **__: object) -> None:
        if len(self.commits) == self.fail_after:
            raise OSError("the line went dead")
        names = []
        for each in operations:
            place = self.root / each.path_in_repo
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(each.path_or_fileobj)
            names.append(each.path_in_repo)
        self.commits.append(names)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    pytest.importorskip("huggingface_hub")
    (tmp_path / "hub").mkdir()
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr("gradstore.sharing.hub.open_store", lambda _: open_store(fake.root / "in"))
    return fake


def to_hub(source: Path, hub: FakeHub) -> int:
    goods = shipment(
        open_store(source), checkpoints=None, datasets=None, directions=None, artefacts=True, log=print
    )
    return push_to_hub(goods, "hf://datasets/team/grads/in", silent, hub)  # type: ignore[arg-type]


def test_the_hub_gets_objects_first_and_everything_readable_in_one_commit(full: Path, hub: FakeHub) -> None:
    write_card(open_store(full))
    assert to_hub(full, hub) > 0
    assert contents(hub.root / "in") == contents(full)
    *objects, visible, card = hub.commits
    assert max(map(len, objects)) <= 100
    assert not any(Path(name).name == "manifest.json" for names in objects for name in names)
    assert sum(name.endswith("manifest.json") for name in visible) == 7
    assert card == ["in/README.md", "in/index.json"]


def test_what_the_hub_has_is_not_sent_again(full: Path, hub: FakeHub) -> None:
    hub.fail_after = 2
    with pytest.raises(
        OSError, match=r"cannot write to hf://.*the line went dead; what has arrived is not sent again"
    ):
        to_hub(full, hub)
    assert not (hub.root / "in/zarr.json").exists()
    sent = [name for names in hub.commits for name in names]
    hub.commits, hub.fail_after = [], None
    to_hub(full, hub)
    assert not set(sent) & {name for names in hub.commits for name in names}
    assert verify(hub.root / "in") == []


def test_places_on_the_hub_are_named_as_usual() -> None:
    assert HubPlace.parse("hf://datasets/team/grads") == HubPlace("team/grads", None, "")
    assert HubPlace.parse("hf://datasets/team/grads@v2/a/b/") == HubPlace("team/grads", "v2", "a/b")
    for wrong in ("hf://team/grads", "hf://datasets/grads", "hf://datasets//x"):
        with pytest.raises(UsageError, match="is no place to push to"):
            HubPlace.parse(wrong)


def test_a_store_that_the_hub_would_not_take_well_is_warned_of(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goods = shipment(
        open_store(store), checkpoints=None, datasets=None, directions=None, artefacts=True, log=print
    )
    sealed = list(goods.sealed())
    assert hub_warnings(sealed, largest_folders(sealed)) == []
    monkeypatch.setattr("gradstore.sharing.hub._MOST_ENTRIES", 10)
    monkeypatch.setattr("gradstore.sharing.hub._MOST_FILES", 50)
    monkeypatch.setattr("gradstore.sharing.hub._LARGEST_FILE", 100)
    told = hub_warnings(sealed, largest_folders(sealed))
    assert [text.split(",")[0] for text in told] == [
        "checkpoints/step-1/pool/columns has 11 entries", "58 files", "a file has 387 B"
    ]  # fmt: skip
