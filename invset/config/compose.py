"""Composing a command's configuration: Hydra's, with the options of each component filled in.

A YAML file says which class a component is (`_target_`) and what differs from it; all other options
come from the class (`invset.config.schema`). What a person gives at the top level and what is the
sampler's, such as ``mu0=5``, goes to ``sampler.mu0``, or is refused where the sampler has no such
option.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from invset.config import schema
from invset.config.alike import Alike
from invset.config.names import kept, named
from invset.config.option_files import OptionFiles
from invset.config.parts import fill_in, options_of
from invset.config.words import meant
from invset.errors import InvsetError, did_you_mean, first_lines
from invset.files.own_options import PROVIDER

#: Options of samplers that may be typed without ``sampler.``; null is the sampler's own.
SHORT = ("K", "n", "goal", "mu0", "alpha", "inner_steps", "constraint")

#: Where ``hydra.verbose=`` lets libraries log: invset tells what it does itself.
_LOGGING = {
    "version": 1,
    "formatters": {"plain": {"format": "%(name)s: %(message)s"}},
    "handlers": {"terminal": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "INFO", "handlers": ["terminal"]},
    "disable_existing_loggers": False,
}


def config_dir() -> Path:
    """configs/ lies inside an installed package, and beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def own_dir() -> Path | None:
    """The folder of ``--config-dir`` of the command that runs, or None."""
    hydra = GlobalHydra.instance()
    if not hydra.is_initialized():
        return None
    paths = hydra.config_loader().get_search_path().get_path()
    own = [one.path for one in paths if one.provider == PROVIDER]
    return Path(own[0].removeprefix("file://")) if own else None


def compose(
    config: str,
    overrides: Sequence[str] = (),
    with_hydra: bool = False,
    more: Path | None = None,
) -> DictConfig:
    """The configuration of a command, as its words would make it.

    Args:
        config: name of a file of ``configs/``, for example "run".
        overrides: words such as ``sampler=full``.
        with_hydra: keep Hydra's own part.
        more: another folder of options.
    """
    cfg = loader(more=more).load_configuration(config, list(overrides), RunMode.RUN)
    if not with_hydra:
        with open_dict(cfg):
            del cfg["hydra"]
    return cfg


def loader(folder: str | None = None, more: str | Path | None = None) -> Loader:
    """A loader of ``configs/``.

    Args:
        folder: in place of it, that of ``--config-path``.
        more: another folder of options, that of ``--config-dir``.

    Raises:
        InvsetError: no such folder.
    """
    for one in (folder, more):
        if one is not None and not Path(one).is_dir():
            raise InvsetError(f"there is no folder of options {one}; --config-dir takes one")
    version.setbase("1.3")
    setup_globals()
    path = create_config_search_path(str(Path(folder or config_dir()).resolve()))
    if more is not None:
        folder = f"file://{Path(more).resolve()}"
        path.prepend(PROVIDER, folder, SearchPathQuery(provider="schema"))
    return Loader(path)


class Loader(ConfigLoaderImpl):
    """Hydra's, for a run, for each job of a sweep, and for help alike."""

    _targets: dict[str, str]

    def __init__(self, path: ConfigSearchPath) -> None:
        super().__init__(path)
        self.repository = OptionFiles(path)
        #: called with each job of a sweep that is composed
        self.on_job: Callable[[DictConfig], None] | None = None
        self._swept: DictConfig | None = None

    def __getstate__(self) -> dict[str, Any]:
        """In the process of a job there is one to compose."""
        return {key: one for key, one in vars(self).items() if key != "_jobs"} | {"_swept": None}

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Compose a job of a sweep."""
        compose = super().load_sweep_config
        if self._swept is not master_config:
            self._swept = master_config
            self._jobs = Alike(lambda words: compose(master_config, list(words)))
        cfg = self._jobs(sweep_overrides)
        OmegaConf.copy_cache(from_config=master_config, to_config=cfg)
        if self.on_job is not None:
            self.on_job(cfg)
        return cfg

    def load_configuration(self, *words: Any, **options: Any) -> DictConfig:
        """Compose a configuration.

        Raises:
            InvsetError: Hydra or OmegaConf can't read what was typed, and does not say so itself.
        """
        try:
            return super().load_configuration(*words, **options)
        except (InvsetError, HydraException):
            raise
        except RecursionError as error:
            raise InvsetError("lists and dictionaries are nested too deeply there") from error
        except Exception as error:  # whatever a parser raises, it is of what was typed
            raise InvsetError(f"can't read these words: {first_lines(error)}") from error

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        parsed, repository = super()._parse_overrides_and_create_caching_repo(
            config_name, overrides
        )
        self._targets = {}
        for one in parsed:
            named(one)
            group = one.get_key_element().lstrip("+~")
            if self.repository.group_exists(group) and not one.is_delete() and one.value() is None:
                raise InvsetError(f"{group}=null names no option; type invset list {group}s")
            path, _, key = group.rpartition(".")
            if key == "_target_" and not one.is_sweep_override():
                self._targets[path] = str(one.value())
        return parsed, repository

    def _load_configuration_impl(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        meaning = meant(config_name, overrides)
        overrides = [kept(word) for word in meaning]
        cfg = super()._load_configuration_impl(
            config_name, overrides, run_mode, from_shell, validate_sweep_overrides
        )
        if cfg.hydra.verbose:
            with open_dict(cfg.hydra):
                cfg.hydra.job_logging = cfg.hydra.hydra_logging = _LOGGING
        if run_mode is RunMode.RUN:  # a sweeper reads them once more
            typed = dict(zip(overrides, meaning, strict=True))
            given = cfg.hydra.overrides.task
            cfg.hydra.overrides.task = [typed[str(one)] for one in given._iter_ex(False)]
        if run_mode is RunMode.RUN and "sampler" in cfg:
            _hand_down(cfg, self._targets.get("sampler"))
        if run_mode is RunMode.RUN and "judge" in cfg:
            self._name_judge(cfg)
        return cfg

    def _name_judge(self, cfg: DictConfig) -> None:
        """Put what ``configs/network`` says of a judge in place of its name, so that a run that is
        resumed finds it.
        """
        name = cfg.judge
        if name is None or name == "auto" or isinstance(name, DictConfig):
            return
        known = self.repository.get_group_options("network")
        if name not in known:
            raise InvsetError(
                f"judge={name} is no network.{did_you_mean(name, known)} There are auto, null,"
                f" {', '.join(known)}"
            )
        judge = self.load_configuration("list", [f"network={name}"], RunMode.RUN).network
        missing = sorted(OmegaConf.missing_keys(judge))
        if missing:
            words = " ".join(f"judge.{path.removeprefix('network.')}=…" for path in missing)
            raise InvsetError(
                f"judge={name} needs more options: type +network@judge={name} {words}"
            )
        cfg.judge = judge

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        cfg = super()._compose_config_from_defaults_list(defaults, repo)
        fill_in(cfg, self._targets)
        return cfg

    @staticmethod
    def validate_sweep_overrides_legal(
        overrides: list[Override], run_mode: RunMode, from_shell: bool
    ) -> None:
        for one in overrides:
            if run_mode is RunMode.RUN and one.is_sweep_override():
                key, _, values = str(one.input_line).partition("=")
                raise InvsetError(
                    f"{key} got several values: a list is typed '{key}=[{values}]', and a sweep"
                    " over them needs -m"
                )
        ConfigLoaderImpl.validate_sweep_overrides_legal(overrides, run_mode, from_shell)


def _hand_down(cfg: DictConfig, typed: str | None) -> None:
    """Move what was given at the top level to the sampler; null is the sampler's own.

    Args:
        cfg: the configuration.
        typed: the sampler's class, where it was typed itself.
    """
    sampler = cfg.sampler
    follows = cfg.get("K") == "auto"  # the device, which only torch knows: `build.follow_device`
    for key in SHORT:
        value = cfg.get(key)
        if value is None:
            continue
        options = options_of(sampler)
        if options is not None and key not in options:
            raise InvsetError(_refusal(cfg, typed, key, value))
        if follows and key == "K":
            continue
        with open_dict(sampler):  # a class that can't be read says itself what it has
            sampler[key] = value
    if cfg.get("n") and (follows or cfg.get("K") is None) and sampler.get("K", 0) > sampler.n >= 1:
        sampler.K = sampler.n  # n=5 alone should do
    for key in SHORT:
        if key in cfg and not (follows and key == "K"):
            cfg[key] = None


def _refusal(cfg: DictConfig, typed: str | None, key: str, value: Any) -> str:
    name = typed or cfg.hydra.runtime.choices.get("sampler") or cfg.sampler._target_
    have = [option for option, options in samplers().items() if key in (options or ())]
    return (
        f"sampler {name} has no {key}; leave {key}={value} out, or type sampler= and one that has"
        f" it: {', '.join(have)}"
    )


@cache
def samplers() -> dict[str, dict[str, schema.Option] | None]:
    """Options of every sampler of ``configs/sampler``, by its name."""
    found = {}
    for path in sorted((config_dir() / "sampler").glob("*.yaml")):
        found[path.stem] = schema.read(_class_of(path))
    return found


def _class_of(path: Path) -> str:
    """The class that an option file names, or that of the file it begins with."""
    raw = OmegaConf.load(path)
    for key in ("sampler._target_", "_target_"):
        if (target := OmegaConf.select(raw, key)) is not None:
            return str(target)
    return _class_of(path.with_name(f"{OmegaConf.select(raw, 'defaults')[0]}.yaml"))
