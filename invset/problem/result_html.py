"""A result as a notebook shows it: what was asked, a few figures, the first samples."""

from __future__ import annotations

import base64
import html
import io
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from invset.errors import InvsetError

if TYPE_CHECKING:
    from torch import Tensor

    from invset.problem.result import Result

#: Samples that are shown at most, how many in a row at most, and the width of a row in pixels.
SHOWN = 30
COLUMNS = 10
WIDTH = 720

#: Side in pixels of a sample, which larger ones are shrunk to on a page; and the least longer side
#: and the gap between two of them in one picture.
SIDE = 160
LEAST = 64
GAP = 4

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>invset</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font-family: sans-serif; margin: 2em }}</style></head>
<body>
{body}
</body></html>
"""


def html_of(result: Result) -> str:
    """The result as a part of a page, without scripts and without anything to load."""
    facts = "".join(
        f"<tr><th style='text-align: left; padding-right: 1em'>{html.escape(name)}</th>"
        f"<td style='text-align: left'>{html.escape(text)}</td></tr>"
        for name, text in facts_of(result)
    )
    return f"<div><table>{facts}</table>{_samples(result)}</div>"


def page_of(result: Result) -> str:
    """The same as a whole page."""
    return _PAGE.format(body=html_of(result))


def facts_of(result: Result) -> list[tuple[str, str]]:
    """Names and texts of the figures that are shown."""
    inside = int(result.in_range.sum())
    facts = [
        ("samples", f"{len(result)} of {result.asked}, {inside} in range when measured again"),
        ("end", result.status.sentence),
    ]
    if result.question:
        facts.insert(0, ("question", result.question))
    if len(result):
        low, high = result.activations.aminmax(dim=0)
        pairs = zip(low.tolist(), high.tolist(), strict=True)
        facts.append(("activations", ", ".join(f"{a:.4g} to {b:.4g}" for a, b in pairs)))
    steps = f"{result.steps} gradient steps, {result.meter.code_steps:.0f} code-steps"
    facts.append(("cost", f"{steps}, {result.seconds:.1f} s"))
    return facts


def _samples(result: Result) -> str:
    """The first samples as pictures, a grid's by its rows; nothing where no medium can draw."""
    if result.medium is None or not len(result):
        return ""
    order = _order(result, SHOWN)
    pictures = result.medium.pictures(result.inputs[order])
    columns = _columns(result, max(64, min(SIDE, pictures.shape[-1])))
    cells = [
        _cell(picture, number, result.activations[number].tolist())
        for picture, number in zip(pictures, order, strict=True)
    ]
    rest = len(result) - len(order)
    more = f"<p>and {rest} more</p>" if rest else ""
    style = f"display: grid; grid-template-columns: repeat({columns}, max-content); gap: 4px"
    return f"<div style='overflow-x: auto'><div style='{style}'>{''.join(cells)}</div></div>{more}"


def _order(result: Result, count: int) -> list[int]:
    """Numbers from 0 of the samples that are shown: the first, or of a grid its whole rows."""
    whole = _whole_rows(result)
    return [number for row in whole for number in row] or list(range(min(len(result), count)))


def _columns(result: Result, cell: int) -> int:
    """How many stand in a row, of cells that are `cell` pixels wide."""
    whole = _whole_rows(result)
    return len(whole[0]) if whole else max(1, min(COLUMNS, WIDTH // (cell + GAP)))


def _whole_rows(result: Result) -> list[list[int]]:
    """Numbers of the samples in the rows of a grid, without rows that lack one; none elsewhere."""
    rows = [] if result.cells is None else result.cells[:, :COLUMNS].tolist()
    return [row for row in rows if row and min(row) >= 0]


def _cell(picture: Tensor, number: int, activations: list[float]) -> str:
    """One sample, uint8 RGB with shape (3, H, W), with its activations below."""
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    told = ", ".join(f"{one:.4g}" for one in activations)
    style = f"width: {max(64, image.width)}px; image-rendering: pixelated; display: block"
    source = f"data:image/png;base64,{data}"
    picture_tag = f"<img src='{source}' alt='sample {number + 1}: {told}' style='{style}'>"
    return f"<div style='font-size: 11px; text-align: center'>{picture_tag}{told}</div>"


def picture_of(result: Result, count: int = SHOWN) -> Image.Image:
    """The first samples, their pixels enlarged until they are `LEAST` wide at least, on white.

    Args:
        result: the samples.
        count: how many at most; of a grid all whole rows are shown.

    Raises:
        InvsetError: there are none, or it is not known what they are.
    """
    if result.medium is None or not len(result):
        raise InvsetError(f"{result!r} has nothing that can be drawn")
    order = _order(result, count)
    pictures = result.medium.pictures(result.inputs[order])
    factor = max(1, -(-LEAST // max(pictures.shape[-2:])))
    tall, wide = (factor * side + GAP for side in pictures.shape[-2:])
    columns = _columns(result, wide - GAP)
    rows = -(-len(order) // columns)
    size = (min(columns, len(order)) * wide - GAP, rows * tall - GAP)
    sheet = Image.new("RGB", size, (255, 255, 255))
    for place, one in enumerate(pictures):
        row, column = divmod(place, columns)
        image = Image.fromarray(one.permute(1, 2, 0).contiguous().numpy())
        large = image.resize((wide - GAP, tall - GAP), Image.Resampling.NEAREST)
        sheet.paste(large, (column * wide, row * tall))
    return sheet


def show(result: Result) -> None:
    """Show a result in a notebook's output, elsewhere as a page in the browser.

    Raises:
        InvsetError: there is neither.
    """
    shell = sys.modules.get("IPython")
    inside = shell.get_ipython() if shell is not None else None
    if hasattr(inside, "kernel"):
        from IPython.display import display  # type: ignore[import-not-found]

        display(result)
        return
    page = Path(tempfile.mkdtemp(prefix="invset-")) / "result.html"
    page.write_text(page_of(result), encoding="utf-8")
    if not webbrowser.open_new_tab(page.as_uri()):
        raise InvsetError(
            f"no browser opened; the page is {page}, and result.save(folder) writes the samples"
        )
