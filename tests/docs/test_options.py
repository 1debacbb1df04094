"""No page, help text, message or example names a command or an option that does not exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from gradstore_cli.main import cli

ROOT = Path(__file__).parents[2]
PROSE = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *(path for path in ROOT.glob("examples/**/*") if path.suffix in (".md", ".sh", ".sbatch")),
]
CODE = [*ROOT.glob("gradstore/**/*.py"), *ROOT.glob("cli/**/*.py"), *ROOT.glob("examples/**/*.py")]

# Options of other programs that pages and messages name.
FOREIGN = {
    "helm": ("--repo", "--create-namespace", "--generate-name"),
    "kubectl": ("--from-literal",),
    "dask worker": ("--nthreads", "--memory-limit", "--lifetime", "--lifetime-stagger"),
    "torchrun": ("--nproc-per-node", "--no-python"),
    "accelerate launch": ("--no_python",),
    "sbatch, srun": (
        "--array",
        "--signal",
        "--ntasks-per-node",
        "--gpus-per-task",
        "--ntasks",
        "--parsable",
        "--dependency",
    ),
    "aws": ("--profile", "--format"),
    "bergson": ("--projection_dim", "--projection_target", "--attribute_tokens"),
    "deepspeed": ("--inject_missing_state", "--input_folder", "--output_folder"),
    "nvidia-smi": ("--query-gpu", "--format"),
    "pip": ("--force-reinstall",),
    "uv": ("--resolution",),
}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*|(?<![\w-])-[a-z](?![\w-])")
CALL = re.compile(r"(?<![\w./-])gradstore ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?([^\n`|;&)]*)")


def _tree(command: click.Command, name: str = "") -> dict[str, click.Command]:
    found = {name: getattr(command, "default", None) or command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for leaf in command.list_commands(context):
            child = command.get_command(context, leaf)
            assert child is not None
            found |= _tree(child, f"{name} {leaf}".strip())
    return found


COMMANDS = _tree(cli)
GROUPS = {name.partition(" ")[0] for name in COMMANDS if " " in name}


def options_of(command: click.Command) -> set[str]:
    parameters = command.get_params(click.Context(command))
    return {text for each in parameters for text in (*each.opts, *each.secondary_opts)}


EVERY = {text for command in COMMANDS.values() for text in options_of(command)}
OTHERS = {option for options in FOREIGN.values() for option in options}
SCRIPTS = {  # those of benchmarks and examples
    option
    for path in (*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("examples/**/*.py"))
    for option in re.findall(r"add_argument\(\s*[\"'](--[a-z-]+)", path.read_text(encoding="utf-8"))
}


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Texts in a Python file; what an f-string fills in is ``X``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value


def texts() -> Iterator[tuple[str, str]]:
    """Where, and what is said there."""
    for path in PROSE:
        text = path.read_text(encoding="utf-8")
        yield (
            str(path.relative_to(ROOT)),
            re.sub(r"^#SBATCH [^\n]*|^```text\n.*?^```", "", text, flags=re.M | re.S),
        )
    for path in CODE:
        for line, text in strings(path):
            yield f"{path.relative_to(ROOT)}:{line}", text
    for name, command in COMMANDS.items():
        yield f"gradstore {name} --help", command.get_help(click.Context(command))


def complaints(text: str) -> Iterator[str]:
    """What `text` names and does not exist."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for found in CALL.finditer(joined):
        first, second, rest = found.groups()
        quoted = found.start() == 0 or joined[found.start() - 1] in "`\n" or " --" in rest
        if first not in COMMANDS:
            if quoted and second is None:
                yield f"no command `gradstore {first}`"
            continue
        leaf = f"{first} {second}"
        known = COMMANDS.get(leaf) if first in GROUPS else COMMANDS[first]
        if (
            known is None
            and first in GROUPS
            and getattr(cli.get_command(click.Context(cli), first), "default", None)
        ):
            known = COMMANDS[first]  # what the group does without the name of a leaf
        if known is None:
            if second is not None and quoted:
                yield f"no command `gradstore {leaf}`"
            continue
        words = re.split(r"\s#|\s\s+[A-Z]", rest)[0]
        for option in OPTION.findall(words):
            if option not in options_of(known):
                yield f"`gradstore {first} {second or ''}` has no {option}: {found[0].strip()}"
    for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]*", joined):
        if option not in EVERY | OTHERS | SCRIPTS:
            yield f"no command has {option}"


def test_whatever_is_named_exists() -> None:
    wrong = [f"{where}: {complaint}" for where, text in texts() for complaint in complaints(text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "run `gradstore exract X`",
        "`gradstore store vrify X`",
        "gradstore select grads.zarr --fractoin 0.1",
        "gradstore graph grads.zarr \\\n    --tokens 7",
        "gradstore graph show grads.zarr p3 -k 5",
        "give another `--nmae`",
    ],
)
def test_a_name_that_does_not_exist_is_found(text: str) -> None:
    assert list(complaints(text))


@pytest.mark.parametrize("option", sorted(OTHERS))
def test_options_of_other_programs_are_still_named(option: str) -> None:
    assert any(option in text for _, text in texts())
