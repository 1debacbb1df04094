"""click's shell completion, with words split as people see them and no space after ``name=``.

bash splits words at ``:`` and ``=`` too, so that click gets ``store``, ``:`` and ``check`` of ``store:check``, and the
pieces of a URL. The function for bash passes the line as it is typed. What goes wrong meanwhile is not shown.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

__all__ = ["SHELLS", "prepare", "script"]

VARIABLE = "_GRADSTORE_COMPLETE"

_BASH = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o plusdirs ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
        if [[ $value == *= ]]; then compopt -o nospace; fi
    done < <(%(complete_var)s_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a response names open described
    local kind value help
    (( $+commands[%(prog_name)s] )) || return 1
    response=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    for kind value help in "${response[@]}"; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                if [[ $help != _ ]]; then described+=("$value:$help")
                elif [[ $value == *= ]]; then open+=("$value")
                else names+=("$value"); fi ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#names )) && compadd -U -V unsorted -a names
    (( $#open )) && compadd -U -S '' -V unsorted -a open
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef %(complete_func)s %(prog_name)s
fi
"""


class _Whole(ShellComplete):
    """Answers with whole words: ``--target=gsm8k``, where click leaves the option out."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """What can be typed in the place of `incomplete`."""
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if equals and option.startswith("-"):
            for item in found:
                item.value = f"{option}={item.value}"
        return found


class Bash(_Whole, BashComplete):
    """Takes the line up to the cursor, and offers what follows the last character at which bash splits words."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Words that are typed, and the beginning of the one that is not."""
        line = os.environ[f"{VARIABLE}_LINE"]
        words = split_arg_string(line)[1:]
        begun = bool(words) and not line[-1:].isspace()
        return (words[:-1], words[-1]) if begun else (words, "")

    def format_completion(self, item: CompletionItem[str]) -> str:
        """``kind,value``, without what bash takes for words of their own."""
        _, incomplete = self.get_completion_args()
        kept = max(incomplete.rfind(each) for each in ":=") + 1
        return f"{item.type},{item.value[kept:] if item.type == 'plain' else item.value}"


class Zsh(_Whole, ZshComplete):
    """Leaves the cursor behind ``name=``."""

    source_template = _ZSH


class Fish(_Whole, FishComplete):
    """As click has it."""


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def prepare() -> None:
    """Let these classes answer a shell that asks what can be typed, and let nothing else be heard."""
    for name, answers in SHELLS.items():
        add_completion_class(answers, name)
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 (to the end of the process)


def script(cli: click.Command, shell: str) -> str:
    """What a shell reads to complete the words of `cli`."""
    return SHELLS[shell](cli, {}, "gradstore", VARIABLE).source()
