"""Small pictures of what a person would rather look at: an equity curve, a set of weights.

What belongs here: frames to PNG bytes, off screen. What does not: where the picture is shown.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_BARS = 40
MOST_DATES = 6
_SIZE = (6.4, 3.0)
_DPI = 90
# Fixed: working margins out from the drawn texts draws every picture twice.
_MARGINS = {"left": 0.16, "right": 0.97, "top": 0.92, "bottom": 0.2}
_SMALL = 8
_LINE, _SHADE = "#2456a6", "#b23a48"


def equity_plot(curve: pd.DataFrame) -> bytes:
    """Equity and drawdown over the sessions of a curve (columns session, equity, drawdown), as PNG."""
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
    upper.set_ylabel("equity", fontsize=_SMALL)
    upper.yaxis.set_major_formatter("{x:,.0f}")
    lower.fill_between(sessions, curve["drawdown"].astype(float) * 100, 0, color=_SHADE, alpha=0.5, linewidth=0)
    lower.set_ylabel("drawdown %", fontsize=_SMALL)
    for axis in (upper, lower):
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=_SMALL)
    labelled = sessions[:: -(-len(sessions) // MOST_DATES)]
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


def _figure() -> Figure:
    # The object interface needs neither pyplot nor a display, and shares no state between threads.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI)
    figure.subplots_adjust(**_MARGINS)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
