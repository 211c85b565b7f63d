"""Pages from templates: one file each, with its style, script and pictures inside, so that nothing
is loaded.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from invset.terminal import plain

#: What figures and sentences call the inputs that samples are read beside.
_REAL = re.compile(r"\b([Rr])eal image(s?)\b")

_WORD = re.compile(r"[a-z]{1,20}")

#: Where templates are looked for.
FOLDERS = (Path(__file__).parent / "templates",)


def _shown(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@lru_cache(maxsize=4)
def _environment(folders: tuple[Path, ...]) -> Environment:
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **context: Any) -> str:
    """Fill a template; every text is escaped, but for `Markup`."""
    environment = _environment(FOLDERS)
    source = {
        name: environment.get_template(file).render()
        for name, file in (("style", "style.css"), ("script", "script.js"))
    }
    return environment.get_template(template).render(
        **context, **{name: Markup(text) for name, text in source.items()}
    )


def templates_in(folder: str) -> list[str]:
    """Names, without suffix, of the templates in a folder of templates, by the alphabet."""
    suffix = ".html.jinja"
    found = _environment(FOLDERS).list_templates(
        filter_func=lambda path: path.startswith(f"{folder}/") and path.endswith(suffix)
    )
    return sorted(path.removeprefix(f"{folder}/").removesuffix(suffix) for path in found)


def activation(value: float) -> str:
    """An activation, to two decimals unless it is tiny."""
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def interval(z1: float, z2: float) -> str:
    """A range."""
    return f"[{z1:g}, {z2:g}]"


def duration(seconds: float) -> str:
    """Seconds, or minutes and hours where that is easier to read."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def of_medium(text: str, noun: object) -> str:
    """A text that speaks of real images, for inputs of another medium: real rows, real sounds.

    Args:
        text: plain or HTML.
        noun: what the medium calls one input; anything but a lower-case word changes nothing.
    """
    if noun == "image" or not isinstance(noun, str) or not _WORD.fullmatch(noun):
        return text
    return _REAL.sub(lambda found: f"{found[1]}eal {noun}{found[2]}", text)
