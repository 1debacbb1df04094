"""Help is complete, quick, and its examples are real."""

from __future__ import annotations

import resource
import shlex

import click
import pytest
from click.testing import CliRunner
from gradstore_cli import options
from gradstore_cli.main import COMMANDS, RESUMABLE, cli

HELP = "import sys; sys.argv = ['gradstore', '--help']; from gradstore_cli.main import main\n"


def every_command() -> dict[str, click.Command]:
    context = click.Context(cli)
    commands: dict[str, click.Command] = {"": cli}
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        commands[name] = getattr(command, "default", command)  # what it does without the name of a leaf
        if isinstance(command, click.Group):
            commands |= {
                f"{name} {leaf}": command.get_command(context, leaf)
                for leaf in command.list_commands(context)
            }
    return commands


def examples(command: click.Command) -> list[str]:
    text = (command.help or "").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip().startswith("gradstore ")]


@pytest.fixture(params=every_command().items(), ids=lambda item: item[0] or "gradstore")
def named(request: pytest.FixtureRequest) -> tuple[str, click.Command]:
    return request.param


def test_every_command_has_help_that_fits_a_line_and_an_example(named: tuple[str, click.Command]) -> None:
    name, command = named
    result = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: gradstore {name}".rstrip())
    assert not name or not command.get_short_help_str(66).endswith("...")
    assert examples(command)


def test_commands_that_promise_to_continue_print_the_line_that_does(named: tuple[str, click.Command]) -> None:
    name, command = named
    promised = "same command line continues" in " ".join((command.help or "").split())
    assert promised == (name.split() in RESUMABLE)


def test_every_example_in_help_parses(
    named: tuple[str, click.Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in every_command().values():
        if not isinstance(command, click.Group):
            monkeypatch.setattr(command, "callback", lambda *_args, **_options: None)
    for example in examples(named[1]):
        program, *arguments = shlex.split(example)
        assert program == "gradstore"
        assert CliRunner().invoke(cli, arguments).exit_code == 0, example


def test_every_option_has_help(named: tuple[str, click.Command]) -> None:
    for option in named[1].params:
        if isinstance(option, click.Option):
            assert option.help, option.opts


def test_every_command_takes_json_and_debug(named: tuple[str, click.Command]) -> None:
    if not isinstance(named[1], click.Group):
        names = [text for option in named[1].params for text in option.opts]
        assert {"--json", "--debug"} <= set(names)


def test_whatever_opens_a_store_takes_storage_options(named: tuple[str, click.Command]) -> None:
    places = {"store", "source", "out", "path"} & {
        option.name for option in named[1].params if isinstance(option, click.Argument)
    }
    if places and not named[0].startswith("completion"):
        assert "--storage-option" in [text for option in named[1].params for text in option.opts], places


def test_sections_name_options_that_exist(named: tuple[str, click.Command]) -> None:
    names = {text for option in named[1].get_params(click.Context(named[1])) for text in option.opts}
    sections = getattr(named[1], "sections", {})
    assert {option for options in sections.values() for option in options.split()} <= names


def test_help_keeps_to_100_columns(named: tuple[str, click.Command]) -> None:
    result = CliRunner().invoke(cli, [*named[0].split(), "--help"], terminal_width=100)
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_help_lists_every_command(run) -> None:
    text = run("--help").stdout
    for name in COMMANDS:
        assert f"\n  {name} " in text


def test_help_imports_nothing_heavy(process) -> None:
    result = process(
        HELP
        + "try: main()\nfinally: print(sorted({'numpy', 'zarr', 'torch', 'tqdm', 'hnswlib'} & set(sys.modules)))"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


def test_help_answers_in_a_third_of_a_second(process) -> None:
    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def seconds() -> float:
        before = spent()
        assert process(HELP + "main()").returncode == 0
        return spent() - before

    # Processor time, and the least of three: what else the machine does must not decide.
    assert min(seconds() for _ in range(3)) < 0.3


def test_no_arguments_show_help(run) -> None:
    assert "Commands:" in run().output
    assert "Commands:" in run("store").output


def test_version(run) -> None:
    import gradstore

    assert run("--version").stdout == f"gradstore {gradstore.__version__}\n"


def test_choices_are_those_of_the_library() -> None:
    from gradstore import data, interchange, records
    from gradstore.store.arrays import COMPRESSIONS
    from gradstore.store.encodings import ENCODINGS

    assert options.DIRECTIONS == records.DIRECTIONS
    assert options.PROJECTIONS == records.PROJECTIONS
    assert options.FORMATS == data.FORMATS
    assert options.IMPORTS == interchange.IMPORTS
    assert options.EXPORTS == interchange.EXPORTS
    assert set(options.ENCODINGS) == set(ENCODINGS)
    assert options.COMPRESSIONS == COMPRESSIONS
