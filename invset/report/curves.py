"""Plots of a training run's ``log.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no screen is needed to write a file

from matplotlib import pyplot as plt

from invset.files.reading import read_rows, reading


def plot_log(log: Path, x: str, panels: Mapping[str, Sequence[str]], out: Path, title: str) -> None:
    """Draw columns of `log` over the column `x`, a panel for each label of the y axis.

    Args:
        log: a CSV file with a header.
        x: the column along the x axis; its name, with spaces, is the axis' label.
        panels: label of the y axis (with its unit) -> columns.
        out: PNG or SVG to write.
        title: above the panels.
    """
    hint = "the weights are not touched; delete it to train without what it told"
    header, rows = read_rows(log, "log", hint)
    with reading(log, "a log", hint):
        held = {name: [float(row[i]) for row in rows] for i, name in enumerate(header)}
        shown = {name: held[name] for name in {x}.union(*panels.values())}
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.2 * len(panels), 3.2), layout="constrained", squeeze=False
    )
    for axis, (label, columns) in zip(axes[0], panels.items(), strict=True):
        for column in columns:
            axis.plot(shown[x], shown[column], label=column.replace("_", " "))
        axis.set_xlabel(x.replace("_", " "))
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    figure.savefig(out, dpi=110)
    plt.close(figure)
