"""What was mistyped, in one sentence, from what Hydra and OmegaConf raise."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from hydra.errors import (
    ConfigCompositionException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from invset.config.compose import config_dir
from invset.config.foreign import ours
from invset.config.parts import options_of, parts
from invset.config.source import Unreadable, scope_of
from invset.errors import InvsetError, did_you_mean
from invset.own_modules import own_modules_last

#: Most options of a group that a sentence lists.
_MANY = 20

#: What brings Hydra's launchers.
_EXTRAS = {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"}

#: Where the sentence ends in what Hydra and OmegaConf say.
_ENDS = (
    " full_key:",
    " See https://hydra.cc",
    " Config search path",
    ", set env var HYDRA_FULL_ERROR",
)


def one_sentence(error: Exception, command: str) -> str:
    """What was wrong, and what to type instead.

    Args:
        error: of Hydra or OmegaConf.
        command: as it is typed, for example "fit prior".
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        launcher = error.missing_cfg_file.removeprefix("hydra/launcher/")
        if launcher in _EXTRAS:
            return (
                f"hydra/launcher={launcher} needs a package that is not installed; type pip install"
                f" 'invset[{_EXTRAS[launcher]}]'"
            )
        group, _, option = error.missing_cfg_file.partition("/")
        return _no_option(group, option, error.options or ())
    if isinstance(error, OverrideParseException):
        return _no_override(error.override)
    located = re.match(r"Error locating target '([^']+)'", str(error))
    if isinstance(error, InstantiationException) and located:
        return _no_target(located[1], list(_causes(error))[-1])
    called = re.match(r"Error in call to target '([^']+)'", str(error))
    if isinstance(error, InstantiationException) and called:
        return _raised(called[1], list(_causes(error))[-1])
    composing = isinstance(error, ConfigCompositionException)
    for cause in _causes(error):
        if isinstance(cause, MissingMandatoryValue) and cause.full_key:
            return _missing(cause.full_key)
        if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) and composing:
            return _no_key(cause, command)
        if isinstance(cause, ValidationError) and (told := _no_value(cause)):
            return told
    merged = re.match(r"Error merging override ([^=]+)=", str(error))
    if merged:
        return f"{merged[1]} has several options; type each by its name, {merged[1]}.NAME=VALUE"
    text = " ".join(next(filter(None, map(str, _causes(error)))).split())
    for end in _ENDS:
        text = text.split(end)[0]
    return text.rstrip(".") + "."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _raised(target: str, error: BaseException) -> str:
    """What a class or function of ``_target_`` raises, and where."""
    from invset.nets.trace import told  # which imports torch, as what is made here does

    # an option that was typed with + before it
    foreign = isinstance(error, TypeError) and "unexpected keyword argument" in str(error)
    remedy = "leave that option out" if foreign else "mend it there"
    return f"{target} raises {told(error)}; {remedy}, or type another _target_"


def _no_override(word: str) -> str:
    if "=" not in word:
        return f"options are typed key=value, not {word}"
    return (
        f"can't read {word}: are all brackets and quotes closed? A list is typed 'key=[a,b]',"
        " several words 'key=\"a b\"'"
    )


def _no_target(target: str, error: BaseException) -> str:
    """Why the class or function that ``_target_`` names can't be had."""
    module = target.rpartition(".")[0]
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    own = _hidden(target)
    if absent is not None and own is not None:
        top = target.split(".")[0]
        return (
            f"there is no {target}: {top} is {sys.modules[top].__file__}, not {own}; give yours"
            " another name"
        )
    if absent == target:
        return _no_name(target)
    if absent is not None and f"{module}.".startswith(f"{absent}."):
        return _no_file(target)
    from invset.nets.trace import told  # which imports torch

    return f"{target} can't be loaded: {told(error)}"


def _no_name(target: str) -> str:
    module, _, name = target.rpartition(".")
    return f"there is no {name} in {module}; _target_= takes file.Name, as it stands in the file"


def _no_file(target: str) -> str:
    file = target.rpartition(".")[0].replace(".", "/")
    return (
        f"there is no {target}: neither a file {file}.py in this directory nor an installed"
        " package; _target_= takes file.Name"
    )


def _hidden(module: str) -> Path | None:
    """The file in the working folder that is called as a module from elsewhere, which is taken in
    its place; None: there is none.
    """
    name = module.split(".")[0]
    own = next(filter(Path.exists, (Path.cwd() / f"{name}.py", Path.cwd() / name)), None)
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if own is None or loaded is None or own in (Path(loaded), *Path(loaded).parents):
        return None
    return own


def _no_option(group: str, option: str, more: Sequence[str]) -> str:
    """`more` are those of the folder of ``--config-dir`` and of ours, without folders in them."""
    ours = {
        p.relative_to(config_dir() / group).with_suffix("").as_posix()
        for p in (config_dir() / group).rglob("*.yaml")
    }
    known = sorted(ours | set(more))
    if (Path.cwd() / group / f"{option}.yaml").is_file():
        return (
            f"{group} has no option {option}, but {group}/{option}.yaml lies here: type"
            f" --config-dir . before {group}={option}"
        )
    same = [name for name in known if name.endswith(f"/{option}")]  # experiment=fig1
    hint = f" Did you mean {', '.join(same)}?" if same else did_you_mean(option, known)
    names = (
        f"It has {', '.join(known)}" if len(known) <= _MANY else f"All names: invset list {group}s"
    )
    return f"{group} has no option {option}.{hint} {names}"


def _missing(key: str) -> str:
    """With the comment that the option has in its file."""
    name = key.split(".")[-1]
    lines = (
        line
        for path in sorted(config_dir().rglob("*.yaml"))
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    abouts = dict.fromkeys(
        m[1] for line in lines if (m := re.match(rf"\s*{re.escape(name)}: \?\?\?  # (.*)", line))
    )
    about = f" ({next(iter(abouts))})" if len(abouts) == 1 else ""
    return f"{key} is missing; type {key}=…{about}"


def _no_value(error: OmegaConfBaseException) -> str | None:
    """What the option says itself of a value that it can't have."""
    part = error.parent_node
    options = options_of(part) if isinstance(part, DictConfig) else None
    if options is None or error.key not in options:
        return None
    try:
        options[error.key].check(str(error.full_key), error.value)
    except InvsetError as told:
        return str(told)
    return None


def _no_key(error: OmegaConfBaseException, command: str) -> str:
    """Near words are those beside it in what was composed; if there are none, anywhere in it."""
    part = error.parent_node
    key = str(error.full_key)
    if not isinstance(part, DictConfig):
        return f"invset {command} has no option {key}"
    if told := _no_class(part):  # whose options nobody can know
        return told
    before = key.removesuffix(str(error.key))
    beside = [str(one) for one in part if not str(one).startswith("_")]
    hint = did_you_mean(str(error.key), beside, before=before)
    if not hint:
        root = part._get_root()
        hint = did_you_mean(key, _keys(root)) if isinstance(root, DictConfig) else ""
    return f"invset {command} has no option {key}.{hint} All options: invset {command} --help"


def _no_class(part: DictConfig) -> str | None:
    """Why the class of one's own that a part names can't be had; None where it can, or where its
    file alone, which is not run here, can't tell.
    """
    target = part.get("_target_")
    if not isinstance(target, str) or target in ours() or "." not in target:
        return None
    own_modules_last(str(Path.cwd()))
    module, _, name = target.rpartition(".")
    try:
        scope = scope_of(module)
    except Unreadable:
        return _no_file(target) if find_spec(target.split(".")[0]) is None else None
    held = {*scope.classes, *scope.values, *scope.imports, *scope.functions}
    return None if name in held else _no_name(target)


def _keys(node: DictConfig, prefix: str = "") -> list[str]:
    keys = [f"{prefix}{key!s}" for key in node if key != "hydra" and not str(key).startswith("_")]
    for key, part in parts(node):
        if key != "hydra":
            keys += _keys(part, f"{prefix}{key}.")
    return keys
