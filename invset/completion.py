"""Completion in a shell: ``invset run networ<TAB>``.

eval "$(invset -sc install=bash)"
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise

from invset.errors import InvsetError
from invset.progress import FLAGS

# Bash takes what stands behind = for a word of its own: what stands before it is cut off again
_BASH = r"""_invset_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" found before
    local IFS=$'\n'
    found=($(COMP_LINE="$line" "$1" -sc query=bash))
    before="${line##* }"
    before="${before%"$2"}"
    COMPREPLY=("${found[@]#"$before"}")
}
complete -o nospace -o default -F _invset_complete invset"""

_SCRIPTS = {
    "bash": (_BASH, "complete -r invset; unset -f _invset_complete"),
    "zsh": (
        f"autoload -U +X compinit bashcompinit && compinit && bashcompinit\n{_BASH}",
        "compdef -d invset; unset -f _invset_complete",
    ),
    "fish": (
        "complete -c invset -f -a '(COMP_LINE=(commandline -cp) invset -sc query=fish)'",
        "complete -e -c invset",
    ),
}

#: What a person types, and a shell asks.
_FORM = "type invset -sc install=bash, or uninstall=bash; for zsh or fish in place of bash"


def complete(words: Sequence[str], commands: Mapping[str, str | None]) -> list[str]:
    """The lines that a shell is to read.

    Args:
        words: what was typed beside the flag: one of ``install=``, ``uninstall=``, ``query=``.
        commands: name -> its configuration, or None.

    Raises:
        InvsetError: another word, or another shell.
    """
    task, _, shell = words[-1].partition("=") if words else ("", "", "")
    if task not in ("install", "uninstall", "query") or shell not in _SCRIPTS:
        raise InvsetError(f"there is no completion for {' '.join(words) or 'nothing'}; {_FORM}")
    if task == "query":
        return found(os.environ.get("COMP_LINE", ""), commands)
    return [_SCRIPTS[shell][task == "uninstall"]]


def found(line: str, commands: Mapping[str, str | None]) -> list[str]:
    """What the last word of a line may become.

    Args:
        line: up to the cursor.
        commands: as in `complete`.
    """
    typed = line.split()[1:]
    last = "" if line.endswith(" ") or not typed else typed.pop()
    name = next((name for name in commands if typed[: name.count(" ") + 1] == name.split()), None)
    if name is None:
        begun = [command.split() for command in commands if command.split()[: len(typed)] == typed]
        nexts = dict.fromkeys(f"{one[len(typed)]} " for one in begun if len(one) > len(typed))
        return [word for word in nexts if word.startswith(last)]
    config = commands[name]
    return [] if config is None else _options(config, typed[name.count(" ") + 1 :], last)


def _options(config: str, words: list[str], last: str) -> list[str]:
    from hydra._internal.utils import get_args_parser
    from hydra.errors import HydraException
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    from invset.config.compose import loader

    if last.startswith("-"):
        flags = [flag for one in get_args_parser()._actions for flag in one.option_strings]
        flags += FLAGS
        return [flag for flag in flags if flag.startswith(last)]
    plain = [word for word in words if "=" in word and not word.startswith("-")]
    pairs = dict(pairwise(words))
    more = pairs.get("--config-dir") or pairs.get("-cd")
    try:
        return DefaultCompletionPlugin(loader(more=more))._query(config, " ".join([*plain, last]))
    except (HydraException, InvsetError):  # what was typed before it makes no configuration yet
        return []
