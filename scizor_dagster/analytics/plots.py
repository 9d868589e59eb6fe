"""Small pictures of what a person would rather look at: an equity curve, a set of weights, prices, what is missing.

What belongs here: frames to PNG bytes, off screen. What does not: where the picture is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_BARS = 40
MOST_DATES = 6
MOST_NAMES = 45
_SIZE = (6.4, 3.0)
_DPI = 90
# Fixed: working margins out from the drawn texts draws every picture twice.
_MARGINS = {"left": 0.16, "right": 0.97, "top": 0.92, "bottom": 0.2}
_SMALL = 8
_ROOM = 0.2
_LINE, _SHADE, _BESIDE = "#2456a6", "#b23a48", "#8a8a8a"


def equity_plot(curve: pd.DataFrame, currency: str = "") -> bytes:
    """Equity in `currency` and drawdown over the sessions of a curve (columns session, equity, drawdown), as PNG.

    With a column benchmark, that is drawn beside the equity.
    """
    figure = _figure()
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    sessions = list(curve["session"])
    upper.plot(
        sessions,
        curve["equity"].astype(float),
        color=_LINE,
        linewidth=1.4,
        marker="." if len(curve) < 40 else "",
    )
    if "benchmark" in curve:
        upper.plot(sessions, curve["benchmark"].astype(float), color=_BESIDE, linewidth=1.0, label="benchmark")
        upper.legend(fontsize=7, frameon=False)
    upper.set_ylabel(", ".join(filter(None, ("equity", currency))), fontsize=_SMALL)
    upper.yaxis.set_major_formatter("{x:,.0f}")
    lower.fill_between(sessions, curve["drawdown"].astype(float) * 100, 0, color=_SHADE, alpha=0.5, linewidth=0)
    lower.set_ylabel("drawdown %", fontsize=_SMALL)
    for axis in (upper, lower):
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=_SMALL)
    # A curve that has not fallen has a depth of nothing, which is no scale.
    lower.set_ylim(curve["drawdown"].astype(float).fillna(0.0).min() * 108 or -1.0, 0)
    labelled = spread_days(sessions, MOST_DATES - 1, _ROOM)
    lower.set_xticks(labelled, [str(session) for session in labelled])
    upper.tick_params(labelbottom=False)
    figure.align_ylabels()
    return _png(figure)


def weights_plot(weights: pd.DataFrame) -> bytes:
    """Bars of the columns symbol and target_weight, the largest 40 by size, as PNG."""
    figure = _figure()
    axis = figure.subplots()
    values = weights.groupby("symbol")["target_weight"].sum().astype(float)
    shown = values.reindex(values.abs().sort_values(ascending=False, kind="stable").index)[:MOST_BARS]
    axis.bar(range(len(shown)), shown.to_numpy() * 100, color=_LINE)
    axis.set_xticks(range(len(shown)), [str(symbol) for symbol in shown.index], rotation=90, fontsize=7)
    axis.set_ylabel("weight %", fontsize=_SMALL)
    axis.tick_params(axis="y", labelsize=_SMALL)
    if len(values) > len(shown):
        axis.set_title(f"the largest {len(shown)} of {len(values)}", fontsize=9)
    axis.grid(axis="y", alpha=0.3)
    return _png(figure)


def coverage_plot(shares: pd.DataFrame) -> bytes:
    """A heat map of shares from 0 to 1 (NaN: none is due), a row for each symbol and a column for each time, as PNG."""
    from matplotlib.colors import LinearSegmentedColormap

    height = min(_SIZE[1] * 3, max(_SIZE[1] * 0.6, 0.6 + 0.09 * len(shares)))
    figure = _figure((_SIZE[0] * 1.4, height))
    axis = figure.subplots()
    shades = LinearSegmentedColormap.from_list("coverage", [_SHADE, "#f2c14e", "#3a8f5c"])
    colours = shades.with_extremes(bad="#d9d9d9")
    axis.imshow(shares.to_numpy(dtype=float), aspect="auto", cmap=colours, vmin=0.0, vmax=1.0, interpolation="nearest")
    for positions, labels, name in (
        (range(0, len(shares.columns), max(1, -(-len(shares.columns) // MOST_DATES))), shares.columns, "x"),
        (range(0, len(shares), max(1, -(-len(shares) // MOST_NAMES))), shares.index, "y"),
    ):
        ticks = list(positions)
        (axis.set_xticks if name == "x" else axis.set_yticks)(ticks, [str(labels[tick]) for tick in ticks])
    axis.tick_params(labelsize=7)
    return _png(figure)


def heat_plot(values: pd.DataFrame, name: str) -> bytes:
    """A map of numbers (NaN: not known) by the values of its columns and rows, with a scale called `name`, as PNG."""
    figure = _figure((_SIZE[0], _SIZE[1] * 1.5))
    axis = figure.subplots()
    image = axis.imshow(values.to_numpy(dtype=float), aspect="auto", cmap="viridis", interpolation="nearest")
    axis.set_facecolor("#d9d9d9")
    figure.colorbar(image, ax=axis, label=name)
    for labels, ticks_of, name_of in (
        (values.columns, axis.set_xticks, axis.set_xlabel),
        (values.index, axis.set_yticks, axis.set_ylabel),
    ):
        ticks = list(range(0, len(labels), max(1, -(-len(labels) // (2 * MOST_DATES)))))
        ticks_of(ticks, [str(labels[tick]) for tick in ticks])
        name_of(str(labels.name), fontsize=_SMALL)
    axis.tick_params(labelsize=7)
    return _png(figure)


def price_plot(prices: pd.DataFrame, title: str) -> bytes:
    """A line of the columns session and price; `event` marks what happened on a session (empty: nothing), as PNG."""
    figure = _figure()
    axis = figure.subplots()
    axis.plot(list(prices["session"]), prices["price"].astype(float), color=_LINE, linewidth=1.2)
    for session, event in zip(prices["session"], prices["event"], strict=True):
        if event:
            is_split = "split" in event
            axis.axvline(session, color=_SHADE if is_split else _LINE, alpha=0.6 if is_split else 0.25, linewidth=0.8)
    axis.set_title(title, fontsize=9)
    axis.tick_params(labelsize=_SMALL)
    axis.grid(alpha=0.3)
    sessions = list(prices["session"])
    labelled = sessions[:: -(-len(sessions) // MOST_DATES)]
    axis.set_xticks(labelled, [str(session) for session in labelled])
    return _png(figure)


def spread_days(days: Sequence[date], most: int, room: float) -> list[Any]:
    """A few of the days, as far from each other in time as can be, the first and the last among them.

    `room` is the share of the width that a label needs, so that none lies on another.
    """
    first, last = days[0], days[-1]
    if first == last:
        return [first]
    kept = [first]
    for step in range(1, most - 1):
        at = first + (last - first) * step / (most - 1)
        nearest = min(days, key=lambda day: (abs(day - at), day))
        if min(nearest - kept[-1], last - nearest) >= (last - first) * room:
            kept.append(nearest)
    return [*kept, last]


def _figure(size: tuple[float, float] = _SIZE) -> Figure:
    # The object interface needs neither pyplot nor a display, and shares no state between threads.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=_DPI)
    figure.subplots_adjust(**_MARGINS)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
