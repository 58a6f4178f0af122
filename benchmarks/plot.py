"""Draws a run: `plot.py RESULTS.json TARGET.svg`. Runs in an environment with matplotlib and nothing else.

Above: each figure as a share of its aim, which is the line at 1. Below: reindex beside its peers, a small
chart for each row, on scales of their own.
"""

import json
import math
import sys
import textwrap
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OURS, PEER, MISSED, AIM = "#1b6ca8", "#b8b8b8", "#c8452f", "#333333"
COLUMNS = 4
ROW_INCHES, CHART_INCHES = 0.3, 1.75


def main(results: Path, target: Path) -> None:
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "reindex", "font.family": "sans-serif"}
    about = json.loads(results.read_text())
    aimed = [row for row in about["rows"] if row["limit"] and row["figure"] is not None]
    beside = [row for row in about["rows"] if _compared(row)]
    charts = math.ceil(len(beside) / COLUMNS)
    heights = [0.9 + ROW_INCHES * len(aimed) if aimed else 0.1, max(0.1, CHART_INCHES * charts)]
    figure = plt.figure(figsize=(11, sum(heights) + 0.7), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=heights)
    _against_aims(above, aimed)
    _beside_peers(below, beside, charts)
    figure.suptitle(
        f"make bench, {about['at'][:10]}: {about['processor']}, {about['cores']} cores,"
        f" load average {about['load_average_before']}",
        fontsize=11,
    )
    figure.savefig(target, metadata={"Date": None})


def _compared(row: dict) -> bool:
    numbers = [cell["figure"] for cell in row["peers"].values()]
    return row["figure"] is not None and any(number is not None for number in numbers)


def _against_aims(figure: Figure, rows: list[dict]) -> None:
    if not rows:
        return
    axes = figure.subplots()
    axes.set_title("share of the aim (the line; shorter is better)", fontsize=9, loc="left")
    names = [_short(row["name"]) for row in rows]
    shares = [row["figure"] / row["limit"] for row in rows]
    colours = [OURS if share <= 1 else MISSED for share in shares]
    axes.barh(range(len(rows)), shares, color=colours, height=0.65)
    for position, (row, share) in enumerate(zip(rows, shares, strict=True)):
        said = f" {_number(row['figure'])}{row['unit']} of {_number(row['limit'])}{row['unit']}"
        axes.text(max(share, 0), position, said, va="center", fontsize=7.5)
    axes.axvline(1, color=AIM, linewidth=1)
    axes.set_yticks(range(len(rows)), names, fontsize=7.5)
    axes.set_xlim(min(0, *shares, 0), max(1.35, *shares, 1.35) * 1.05)
    axes.invert_yaxis()
    _bare(axes)


def _beside_peers(figure: Figure, rows: list[dict], charts: int) -> None:
    if not rows:
        return
    grid = figure.subplots(charts, COLUMNS, squeeze=False).flatten()
    for axes, row in zip(grid, rows, strict=False):
        _one_row(axes, row)
    for axes in grid[len(rows) :]:
        axes.set_visible(False)


def _one_row(axes: Axes, row: dict) -> None:
    names = ["reindex", *row["peers"]]
    figures = [row["figure"], *(cell["figure"] for cell in row["peers"].values())]
    axes.barh(
        names, [figure or 0 for figure in figures], color=[OURS] + [PEER] * (len(names) - 1), height=0.7
    )
    top = max(figure or 0 for figure in figures) or 1
    for position, figure in enumerate(figures):
        said = "not measured" if figure is None else f"{_number(figure)}{row['unit']}"
        axes.text(figure or 0, position, f" {said}", va="center", fontsize=7)
    axes.set_xlim(0, top * 1.4)
    axes.set_title("\n".join(textwrap.wrap(row["name"], 34)), fontsize=7.5, loc="left")
    axes.tick_params(axis="y", labelsize=7, length=0)
    axes.invert_yaxis()
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


def _short(name: str) -> str:
    return textwrap.shorten(name.replace("`", "").replace("$", ""), 84, placeholder=" ...")


def _number(value: float) -> str:
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.4f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
