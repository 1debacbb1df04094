"""The README.md of a store, as the Hugging Face Hub and other places that hold data show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gradstore.sharing.front_matter import front_matter
from gradstore.sharing.markdown import code
from gradstore.store.layout import bytes_text
from gradstore.store.licence import NOT_STATED

__all__ = ["card_text"]

_MOST = 20

_INTRODUCTION = """\
# Gradient store

This is a [Zarr 3](https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html) store of per-example gradients of a
language model, made by gradstore to choose training data with. Each row is the projected gradient of one example, or
its embedding, at a checkpoint of the model. It holds data only: no code, no pickled objects. The size and SHA-256 of
every object are in a `manifest.json`; `gradstore store verify` checks them."""

_OVERLAY = """\
This is an overlay: it shows another store's data as its own, and holds only what is described here. To give it to
others, `gradstore store push` it: what arrives is complete."""

_PRIVACY = """\
## Before you pass it on

Gradients can tell the text that they were made from: with the model at hand, training examples have been
recovered from gradients (Zhu, Liu and Han, *Deep Leakage from Gradients*, NeurIPS 2019). Projection and short codes
make this harder and are no protection. Treat the store as confidential as its rows are, and mind their licences."""


def card_text(store: Mapping[str, Any]) -> str:
    """The card of a store as `gradstore.sharing.card` describes it.

    Whatever comes from inside the store stands in code spans, in which Markdown reads nothing.
    """
    checkpoints = [each for each in store["checkpoints"] if "damaged" not in each]
    parts = [
        front_matter(checkpoints),
        _INTRODUCTION,
        *([_OVERLAY] if store["overlay"] else []),
        *(part for each in store["checkpoints"] for part in _checkpoint(each)),
        *_artefacts(store),
        _usage(checkpoints),
        f"{_PRIVACY}\n\n{_embedded(checkpoints)}",
    ]
    return "\n\n".join(parts) + "\n"


def _checkpoint(found: Mapping[str, Any]) -> list[str]:
    title = f"## Checkpoint {code(found['name'])}"
    if "damaged" in found:
        return [f"{title}\n\nCannot be read: run `gradstore store verify`."]
    identity = found["identity"]
    projection = identity["projection"]
    lora = identity["lora"] if isinstance(identity["lora"], dict) else {}
    shape = ", ".join(f"{name} {lora[name]}" for name in ("r", "lora_alpha") if name in lora)
    facts = {
        "Base model": _base(identity),
        "Step": _count(identity["step"]),
        "Adapter": _adapter(found, shape),
        "Chat template": _digest(identity["template_digest"]),
        "Tokenizer": _digest(identity["tokenizer_digest"]),
        "Projection": f"{code(projection['kind'])} to {_count(projection['dim'])} numbers,"
        f" seed {_count(projection['seed'])}",
    }
    return [
        "\n".join([title, "", *(f"- {name}: {value}" for name, value in facts.items())]),
        *(_dataset(each) for each in found["datasets"]),
    ]


def _base(identity: Mapping[str, Any]) -> str:
    name = code(identity["base"]) if identity["base"] else "not told"
    revision = f", revision {code(identity['base_revision'])}" if "base_revision" in identity else ""
    return f"{name}{revision}, weights {_digest(identity['base_digest'])}"


def _adapter(found: Mapping[str, Any], shape: str) -> str:
    text = _digest(found["identity"]["adapter_digest"])
    if shape:
        text += f" ({code(shape)})"
    return f"{text}, in this store" if found["adapter"] else text


def _count(value: object) -> str:
    return f"{value:,}" if type(value) is int else code(value)


def _digest(value: object) -> str:
    return f"digest {code(value)}" if value else "none"


def _dataset(found: Mapping[str, Any]) -> str:
    title = f"### Data set {code(found['name'])}"
    if "damaged" in found:
        return f"{title}\n\nCannot be read: run `gradstore store verify`."
    rows, valid, truncated = (_count(found[name]) for name in ("rows", "valid", "truncated"))
    facts = {
        "Rows": f"{rows}, of which {valid} valid and {truncated} truncated"
        + ("; a target set" if found["target"] else ""),
        "Sources": _sources(found["sources"]),
        "Licence": _licence(found["licences"]),
        "Text of the rows": "embedded" if found["embedded"] else "not in this store",
        "Made with": _listed(
            code(f"{name} {version}") for name, version in sorted(found["versions"].items())
        ),
    }
    table = [
        "| direction | numbers a row | encoding | order of cosines kept | size |",
        "|---|---|---|---|---|",
    ]
    table += [_direction(name, each) for name, each in found["directions"].items()]
    return "\n".join(
        [title, "", *(f"- {name}: {value}" for name, value in facts.items() if value), "", *table]
    )


def _sources(found: Iterable[tuple[str, int]] | None) -> str:
    if found is None:
        return "more than are counted"
    return _listed(f"{code(name or 'unnamed')} {count:,}" for name, count in found)


def _direction(name: str, found: Mapping[str, Any]) -> str:
    kept = found["fidelity"]
    fidelity = code(kept.get("spearman")) if isinstance(kept, dict) else ""
    cells = (code(name), f"{found['dim']:,}", code(found["encoding"]), fidelity, bytes_text(found["bytes"]))
    return f"| {' | '.join(cells)} |"


def _licence(found: Mapping[str, str]) -> str:
    whole = code(found[""]) if "" in found else NOT_STATED
    sources = _listed(f"{code(source)} {code(name)}" for source, name in sorted(found.items()) if source)
    return f"{whole}; of sources: {sources}" if sources else whole


def _listed(texts: Iterable[str]) -> str:
    known = list(texts)
    more = f" and {len(known) - _MOST:,} more" if len(known) > _MOST else ""
    return ", ".join(known[:_MOST]) + more


def _artefacts(store: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- {title}: {_listed(map(code, store[kind]))}"
        for title, kind in (("Graphs", "graphs"), ("Selections", "selections"))
        if store[kind]
    ]
    return ["\n".join(["## Graphs and selections", "", *lines])] if lines else []


def _usage(checkpoints: list[Mapping[str, Any]]) -> str:
    carried = next((each["name"] for each in checkpoints if each["adapter"]), None)
    checkpoint = f"store:{carried}" if carried else "FOLDER"
    return f"""\
## Use it

`STORE` is where this store lies: a folder or a URL.

```python
import gradstore

store = gradstore.open("STORE")
print(store)
```

To choose rows for a target of your own, lay a store of your own on it; this one is only read:

```sh
gradstore store new mine.zarr --on STORE
gradstore extract mine.zarr --checkpoint {checkpoint} --data target.jsonl --name mine --target
gradstore select mine.zarr --selector less --target mine --fraction 0.05 -o chosen.jsonl
```"""


def _embedded(checkpoints: list[Mapping[str, Any]]) -> str:
    names = dict.fromkeys(
        each["name"] for checkpoint in checkpoints for each in checkpoint["datasets"] if each.get("embedded")
    )
    if names:
        return f"The original text of these data sets is embedded: {_listed(map(code, names))}."
    return "The original text of the rows is not embedded; ids, sources and subtasks are."
