"""What a destination has of a shipment already, and whether the rest may come to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gradstore.errors import IncompatibleError, IncompleteError, StoreNotFoundError, UsageError
from gradstore.progress import Log
from gradstore.sharing.shipment import ArtefactPart, CheckpointPart, DatasetPart, SealedFolder, Shipment
from gradstore.storage import Folder, Location
from gradstore.store.folder import DatasetFolder
from gradstore.store.layout import ADAPTER, CHECKPOINTS, COMING, METADATA
from gradstore.store.manifest import is_sealed, read_manifest
from gradstore.store.store import Store, open_store

__all__ = ["arriving", "coming", "existing_store"]


def existing_store(location: Location) -> Store | None:
    """The store at the destination; None if there is none yet."""
    try:
        return open_store(location)
    except StoreNotFoundError:
        return None


def coming(goods: Shipment, target: Store | None, log: Log) -> Shipment:
    """A shipment without graphs and selections whose rows neither come with it nor are there."""
    present = _present(goods.datasets)
    return replace(
        goods, artefacts=[each for each in goods.artefacts if _has_rows(each, present, target, log)]
    )


def arriving(goods: Shipment, target: Store | None, log: Log) -> Shipment:
    """What the target lacks of a shipment; reads only.

    Raises
    ------
    IncompatibleError
        If the target has something else under one of the names; the message shows both.
    IncompleteError
        If something of that name is being made in the target.
    UsageError
        If something would have to go into a store on which the target lies.
    """
    if target is not None:
        for checkpoint in goods.checkpoints:
            _check_checkpoint(checkpoint, target)
    datasets = [_lacking(dataset, target) if target else dataset for dataset in goods.datasets]
    checkpoints = [_without_adapter(each, target, log) if target else each for each in goods.checkpoints]
    artefacts = [each for each in goods.artefacts if target is None or _is_missing(each, target)]
    return Shipment(checkpoints, [each for each in datasets if each is not None], artefacts)


def _check_checkpoint(part: CheckpointPart, target: Store) -> None:
    if part.name not in target.checkpoints:
        return
    differences = target.identity(part.name).differences(part.identity)
    if differences:
        raise IncompatibleError(
            f"checkpoint {part.name!r} of {target.location} is another one ({'; '.join(differences)}): rows that "
            "cannot be compared are kept in two stores"
        )


def _without_adapter(part: CheckpointPart, target: Store, log: Log) -> CheckpointPart:
    """The part without an adapter if the target has one."""
    there = read_manifest(target.at(f"{CHECKPOINTS}/{part.name}/{ADAPTER}"))
    if part.adapter is None or there is None:
        return part
    if there.digest != part.adapter.manifest.digest:
        log(f"{part.name}: {target.location} carries other adapter files, which are kept")
    return replace(part, adapter=None)


def _lacking(part: DatasetPart, target: Store) -> DatasetPart | None:
    """The directions that the target lacks; None if it has all."""
    what = f"data set {part.name!r} of {part.checkpoint!r}"
    folder = target.at(part.columns.place)
    stored = DatasetFolder.read(folder)
    there = read_manifest(folder)
    if stored is not None:
        differences = stored.settings.differences(part.state.settings, "here")
        for name in set(stored.vectors) & set(part.directions):
            found = stored.vectors[name].differences(part.state.vectors[name], "here")
            differences += [f"{name}: {each}" for each in found]
        if differences:
            raise _other(what, target, differences)
    if there is not None and there.digest != part.columns.manifest.digest:
        raise _other(what, target, [f"digest is {there.digest} there, {part.columns.manifest.digest} here"])
    if there is None:
        _check_not_begun(folder, what, target)
    missing: dict[str, SealedFolder] = {}
    for name, sealed in part.directions.items():
        place = folder.at(name)
        manifest = read_manifest(place)
        if manifest is None:
            _check_not_begun(place, f"direction {name!r} of {what}", target)
            missing[name] = sealed
        elif manifest.digest != sealed.manifest.digest:
            digests = f"digest is {manifest.digest} there, {sealed.manifest.digest} here"
            raise _other(f"direction {name!r} of {what}", target, [digests])
    if missing and there is not None and target.base is not None and target.base.holds(folder):
        raise UsageError(
            f"{what} is in {target.base.folder}, on which {target.location} lies and which is not written: "
            "choose another destination"
        )
    if not missing and there is not None:
        return None
    return replace(part, directions=missing, with_columns=there is None)


def _check_not_begun(folder: Folder, what: str, target: Store) -> None:
    if folder.size(METADATA) is not None and folder.get(COMING) is None:
        raise IncompleteError(
            f"{what} of {target.location} is not finished: finish it there, or remove it with `gradstore store rm`"
        )


def _other(what: str, target: Store, differences: Iterable[str]) -> IncompatibleError:
    return IncompatibleError(
        f"{what} of {target.location} is another one ({'; '.join(differences)}): choose another destination, or "
        "remove it there with `gradstore store rm`"
    )


def _present(datasets: Iterable[DatasetPart]) -> Mapping[str, set[str]]:
    """Digests of the directions that come, by ``CHECKPOINT/DATASET``."""
    return {
        f"{part.checkpoint}/{part.name}": {each.manifest.digest for each in part.directions.values()}
        for part in datasets
    }


def _has_rows(part: ArtefactPart, present: Mapping[str, set[str]], target: Store | None, log: Log) -> bool:
    gone = [
        key
        for key, digest in part.digests.items()
        if digest not in present.get(key, ()) and not (target and _holds(target, key, digest))
    ]
    if gone or not part.digests:
        told = ", ".join(gone) or "unknown"
        log(f"left out: {part.sealed.place} was made from rows that do not come with it ({told})")
        return False
    return True


def _is_missing(part: ArtefactPart, target: Store) -> bool:
    place = part.sealed.place
    there = read_manifest(target.at(place))
    if there is not None and there.digest != part.sealed.manifest.digest:
        digests = f"digest is {there.digest} there, {part.sealed.manifest.digest} here"
        raise IncompatibleError(
            f"{place} of {target.location} is another one ({digests}): remove it there with `gradstore store rm`, or "
            "leave graphs and selections out with `--no-artefacts`"
        )
    return there is None


def _holds(target: Store, key: str, digest: str) -> bool:
    checkpoint, _, name = key.partition("/")
    if checkpoint not in target.checkpoints or name not in target.datasets(checkpoint):
        return False
    if not is_sealed(target.at(f"{CHECKPOINTS}/{key}")):
        return False
    dataset = target.dataset(name, checkpoint)
    return digest in {dataset.digest_of(each) for each in dataset.directions}
