"""Names stay what was typed: on the command line, in sweeps, in files, when they are saved."""

import importlib
import inspect
import re
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from invset.config.compose import compose, config_dir
from invset.config.names import is_name, kept, named
from invset.config.quoting import quoted
from invset.errors import InvsetError

OWN = ("network=custom", "network.module._target_=net.build")

#: Texts that Hydra or YAML reads as a number, a truth, a time, or not at all.
TEXTS = (
    *("1.10", "1.20", "1_0", "1e3", "0x10", "010", ".5", "1.", "+3", "nan", "inf", "-.inf"),
    *("true", "False", "on", "off", "yes", "n", "2026-11-28", "12:30", "0b1", "1.10.2"),
    *("Größe", "日本", "a (1)", "a(1)", "~x", "=", "a=b", "it's", 'say "so"', 'it\'s "so"'),
    *("#a", "a&b;c", "\ufeffa", "\x1b[31m", "a\\b", "$5", "$x$"),
)


def read(word: str) -> Any:
    """What Hydra and we make of a word."""
    (one,) = OverridesParser.create().parse_overrides([kept(word)])
    named(one)
    return one.value()


@pytest.mark.parametrize("text", TEXTS)
def test_a_name_is_what_was_typed(text):
    for name in ("layer", "neuron", "encoder", "network.output", "+network.aliases.a", "out"):
        assert read(f"{name}={text}") == text
    assert read(f"network.aliases={{{inner(text)}: a, 3: {inner(text)}}}") == {text: "a", "3": text}
    assert read(f"network.labels=[a,{inner(text)}]") == ["a", text]
    one = {"layer": text, "neuron": text, "z1": 1.1}
    assert read(f"neurons=[{{layer: {inner(text)}, neuron: {inner(text)}, z1: 1.10}}]") == [one]
    for word in (f"layer={text}", f"network.aliases={{{text}: a}}", f"neurons=[{{layer: {text}}}]"):
        assert kept(kept(word)) == kept(word)


def inner(text: str) -> str:
    """A text within a list or a dictionary, where these marks divide."""
    return quoted(text) if set(text) & set(":=") else text


@pytest.mark.parametrize("text", TEXTS)
def test_names_in_a_sweep(text):
    words = [kept(word) for word in (f"layer={text}", f"neuron={inner(text)},{quoted(text)}")]
    jobs = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(words), None)[0]
    assert [[read(word) for word in job] for job in jobs] == [[text, text]] * 2


def test_names_are_the_same_when_they_are_saved():
    """A run that is resumed reads its configuration again."""
    labels = ",".join(map(quoted, TEXTS))
    given = [
        f"network.labels=[{labels}]",
        "layer=1.10",
        "neuron=1_0",
        "network.aliases={on: 1e3, 'a:b': 'c'}",
    ]
    cfg = compose("run", [*OWN, *given])
    assert OmegaConf.create(OmegaConf.to_yaml(cfg)) == cfg
    assert (cfg.network.labels, cfg.layer, cfg.neuron) == (list(TEXTS), "1.10", "1_0")
    assert cfg.network.aliases == {"on": "1e3", "a:b": "c"}


def test_keys_in_a_sweep():
    words = [kept(word) for word in (*OWN, "+network.aliases={1.10: 2.10, ä: b}", "n=1,2")]
    jobs = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(words), None)[0]
    for job in jobs:
        assert read(job[2]) == {"1.10": "2.10", "ä": "b"}


def test_numbers_and_what_is_the_users_own_stay():
    given = ("+network.module.x=1.10", "+network.module.y={1: true}", "z1=1.0", "neuron=3")
    cfg = compose("run", [*OWN, *given, "layer=null"])
    assert (cfg.network.module.x, cfg.z1, cfg.neuron, cfg.layer) == (1.1, 1.0, 3, None)
    assert cfg.network.module.y == {1: True}
    assert compose("run", [*OWN, "layer=3"]).layer == "3"
    assert compose("compare", ["+fractions={1.10: [0.1, 0.2]}"]).fractions["1.10"] == [0.1, 0.2]


def test_words_are_told_as_typed():
    cfg = compose("run", [*OWN, "layer=1.10"], with_hydra=True)
    assert "layer=1.10" in cfg.hydra.overrides.task


def test_a_group_and_a_folder_are_names(tmp_path):
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "1.10.yaml").write_text("defaults: [mini]\n", encoding="utf-8")
    cfg = compose("run", ["network=1.10", "generator=mini", "hydra.run.dir=1.10"], True, tmp_path)
    assert (cfg.network.name, cfg.hydra.run.dir) == ("mini", "1.10")


def test_names_in_files(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults: [override /network: custom]\n"
        "layer: 1.10\nneuron: 0x10\nencoder: on\nz1: 1.10\n"
        "network: {aliases: {1.10: 2.10}, labels: [1_0, no], module: {_target_: a.b, x: 1.10}}\n",
        encoding="utf-8-sig",
    )
    cfg = compose("run", ["experiment=own"], more=tmp_path)
    assert (cfg.layer, cfg.neuron, cfg.encoder, cfg.z1) == ("1.10", "0x10", "on", 1.1)
    assert cfg.network.aliases == {"1.10": "2.10"}
    assert (cfg.network.labels, cfg.network.module.x) == (["1_0", "no"], 1.1)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"a: [", b"3", b"a: 1\na: 2", b"defaults: 3", b"a: !x 1"],
)
def test_a_file_that_holds_no_options_is_named(tmp_path, content):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_bytes(content)
    with pytest.raises(InvsetError, match=r"own\.yaml can't be read as options in YAML: ."):
        compose("run", ["experiment=own"], more=tmp_path)


#: Texts of a closed set of words that are no names, or that no YAML can mistake.
CLOSED = {"device", "order", "fc6", "picture", "range"}


def test_every_text_is_a_name():
    files = (path.read_text(encoding="utf-8") for path in config_dir().rglob("*.yaml"))
    targets = set(re.findall(r"_target_: (invset\.nets[\w.]+)", "".join(files)))
    texts = set()
    for target in targets:
        module, _, name = target.rpartition(".")
        function = getattr(importlib.import_module(module), name)
        for one in inspect.signature(function).parameters.values():
            kind = str(one.annotation)
            if re.search("str|Path", kind) and not re.search("float|int", kind):
                texts.add(one.name)
    assert {"weights", "output", "labels"} <= texts
    assert {text for text in texts if not is_name(("network", text))} <= CLOSED


def test_no_name_is_a_number_elsewhere():
    """What is a number by the configurations is none of the names."""

    def numbers(node: DictConfig, path: tuple[str, ...] = ()):
        for key in node:
            value = node._get_node(key)
            if isinstance(value, DictConfig):
                yield from numbers(value, (*path, str(key)))
            elif isinstance(value._value(), (int, float)):
                yield (*path, str(key))

    for command in config_dir().glob("*.yaml"):
        cfg = compose(command.stem)
        assert [path for path in numbers(cfg) if is_name(path)] == []
