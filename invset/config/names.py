"""Names stay what was typed: a layer 1.10 is not 1.1, and a neuron 1_0 is not 10.

Hydra and YAML read numbers, dates and truths where a text looks like one. Which options are names
is said here, and a test holds it to the schema; their text is kept before either reads it.
"""

from __future__ import annotations

import re
from typing import Any

from antlr4 import CommonTokenStream, InputStream
from hydra.core.override_parser.overrides_parser import create_functions
from hydra.core.override_parser.overrides_visitor import HydraErrorListener, HydraOverrideVisitor
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.grammar.gen.OverrideLexer import OverrideLexer
from hydra.grammar.gen.OverrideParser import OverrideParser

from invset.config.quoting import coded, decoded, quoted, with_quotes

#: Last words of options that are names: of layers and neurons, files and folders, columns, options.
NAMES = {
    *("layer", "layers", "neuron", "direction", "bias", "sae", "encoder", "output", "labels"),
    *("aliases", "axes"),
    *("comparator_layers", "keep", "name", "names", "words", "use"),
    *("weights", "amplitudes", "rows", "prior", "init", "images", "reference", "data"),
    *("train", "val", "out", "dir", "subdir"),
    *("columns", "integers", "categories"),
    *("subfolder", "prompt", "decoder", "variant"),  # of generators that others trained
    *("network", "generator", "sampler", "experiment", "judge", "comparator"),
    *("uri", "project"),  # of trackers
}

#: Options whose values, too, are names.
_OF_NAMES = (("aliases",), ("axes",), ("categories",))

#: Below it stand options of a user's own function.
OWN = "module"

#: Options that are a number or a name: a plain whole number stays one.
NUMBERED = ("neuron",)

#: Functions of Hydra's that take numbers.
_OF_NUMBERS = ("int", "float", "bool", "range", "interval", "glob")

_CALL = re.compile(r"\s*\w+\(.*\)\s*", re.DOTALL)

#: What Hydra reads as something else than a text, but for null, which is no name.
_TYPED = (OverrideLexer.INT, OverrideLexer.FLOAT, OverrideLexer.BOOL)


def is_name(path: tuple[str, ...]) -> bool:
    """Whether an option is a name, or a list of names; `path` holds the words between its dots."""
    if OWN in path or not path or path[0] == "figure":  # whose columns are counted
        return False
    group = "/" in path[-1] or path[0] == "defaults"
    return group or path[-1] in NAMES or path[-2:-1] in _OF_NAMES


def kept(word: str) -> str:
    """An override with its names in quotes, so that Hydra and its sweepers leave them as they are;
    keys, which can't be quoted there, are coded until `named` takes them.
    """
    key, equals, value = word.partition("=")
    name = is_name(_words(key.lstrip("+~").split("@")[0]))
    texts = [word]
    if name or not _CALL.fullmatch(value):  # a function that Hydra has not is its to tell
        texts.append(f"{key}{equals}{with_quotes(value)}")
    if name and not value.startswith(("[", "{", "'", '"')):
        texts.append(f"{key}{equals}{quoted(value)}")
    return next((edited for text in texts if (edited := _kept(text)) is not None), word)


def _kept(word: str) -> str | None:
    """None: Hydra can't read it."""
    try:
        seen = _Seen()
        seen.visit(_tree(word))
    except (HydraException, ValueError):
        return None
    for start, stop, text in sorted(seen.edits, reverse=True):
        word = f"{word[:start]}{text}{word[stop:]}"
    return word


def named(one: Override) -> None:
    """Make names of what Hydra has read, in place: of plain whole numbers, which `kept` leaves."""
    if not one.is_sweep_override():
        one._value = _named(one._value, _words(one.key_or_group))


def _named(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, dict) and OWN not in path:
        return {
            key: _named(one, (*path, key))
            for key, one in ((decoded(str(key)), one) for key, one in value.items())
        }
    if isinstance(value, list):
        return [_named(one, path) for one in value]
    plain = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if plain and is_name(path) and path[-1] not in NUMBERED else value


def _words(key: str) -> tuple[str, ...]:
    """A group of options, such as hydra/launcher, is one word."""
    return (key,) if "/" in key else tuple(key.split("."))


def is_plain(text: str) -> bool:
    """Whether a text is a whole number as it is written: nothing of it is lost."""
    return text.lstrip("-").isdecimal() and str(int(text)) == text


def _tree(word: str) -> Any:
    lexer = OverrideLexer(InputStream(word))
    parser = OverrideParser(CommonTokenStream(lexer))
    for one in (lexer, parser):
        one.removeErrorListeners()
        one.addErrorListener(HydraErrorListener())
    return parser.override()


class _Seen(HydraOverrideVisitor):
    """Notes what in an override is a name that Hydra takes for something else.

    Attributes:
        edits: where it starts and ends in the word, and what is to stand there.
    """

    def __init__(self) -> None:
        super().__init__(create_functions())
        self.edits: list[tuple[int, int, str]] = []

    def visitPrimitive(self, ctx: Any) -> Any:  # noqa: N802
        path = _path(ctx)
        token = _typed(ctx, _TYPED)
        name = path is not None and is_name(path)
        if name and token is not None and not is_plain(token.text):
            self.edits.append((ctx.start.start, ctx.stop.stop + 1, f"'{token.text}'"))
        return super().visitPrimitive(ctx)

    def visitDictKey(self, ctx: Any) -> Any:  # noqa: N802
        path = _path(ctx)
        token = _typed(ctx, (*_TYPED, OverrideLexer.NULL))
        known = path is not None and OWN not in path
        if known and token is not None and not is_plain(token.text):
            self.edits.append((ctx.start.start, ctx.stop.stop + 1, coded(token.text)))
        return super().visitDictKey(ctx)


def _typed(ctx: Any, kinds: tuple[int, ...]) -> Any:
    """The token of a text that is nothing but one of these kinds, or None."""
    tokens = [node.symbol for node in ctx.getChildren() if node.symbol.type != OverrideLexer.WS]
    return tokens[0] if len(tokens) == 1 and tokens[0].type in kinds else None


def _path(ctx: Any) -> tuple[str, ...] | None:
    """The option that a part of an override is the value of; None: an argument that is a number."""
    path: tuple[str, ...] = ()
    inner, ctx = ctx, ctx.parentCtx
    while not isinstance(ctx, OverrideParser.OverrideContext):
        pair = isinstance(ctx, OverrideParser.DictKeyValuePairContext)
        if pair and not isinstance(inner, OverrideParser.DictKeyContext):
            path = (decoded(ctx.dictKey().getText().strip()), *path)
        if isinstance(ctx, OverrideParser.FunctionContext) and ctx.ID().getText() in _OF_NUMBERS:
            return None
        inner, ctx = ctx, ctx.parentCtx
    return (*_words(ctx.key().packageOrGroup().getText()), *path)
