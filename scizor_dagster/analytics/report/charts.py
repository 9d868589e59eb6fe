"""Charts of the page: SVG whose colours are the page's own, so that they follow it into the dark.

What belongs here: series to SVG, the same bytes for the same series. What does not: PNG for Dagster's UI (`plots`).

No text of a user is drawn: names stand in the legend beside the picture, where they are escaped.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from datetime import date
from io import StringIO
from typing import TYPE_CHECKING

from scizor_dagster.analytics.plots import spread_days
from scizor_dagster.analytics.report.model import Chart

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# As wide as a phone, so that its texts can be read there; a wider page makes it larger.
_WIDTH, _HEIGHT = 5.0, 3.0
_MOST_DATES = 4
_ROOM = 0.32
"""What a date needs of the width."""
_SMALL = 9
_COLOURS = {"line": "#010203", "beside": "#020304", "shade": "#030405", "ink": "#040506", "grid": "#050607"}
"""Colours that nothing else has, and the name of the page's colour that each of them becomes."""
# The settings of Matplotlib are the process's.
_ONE_AT_A_TIME = threading.Lock()
# A style of Matplotlib's would be one of the whole page; the fonts that it names are not there.
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>|font-family: [^;\"]+; ", re.DOTALL)
_OUTER = re.compile(r'<svg[^>]*viewBox="([^"]*)"[^>]*>(.*)</svg>', re.DOTALL)


def equity_chart(
    sessions: Sequence[date],
    equity: Sequence[float],
    drawdown: Sequence[float],
    benchmark: Sequence[float] | None,
    names: tuple[str, str],
    currency: str,
) -> Chart:
    """Equity above, drawdown below; `names` are those of the portfolio and of its benchmark."""
    figure = _figure(_HEIGHT)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    days = list(sessions)
    upper.plot(days, list(equity), color=_COLOURS["line"], linewidth=1.5, marker="." if len(days) < 30 else "")
    legend = [("line", names[0])]
    if benchmark is not None:
        upper.plot(days, list(benchmark), color=_COLOURS["beside"], linewidth=1.2)
        legend.append(("beside", names[1]))
    upper.yaxis.set_major_formatter("{x:,.0f}")
    upper.set_ylabel(currency)
    lower.fill_between(days, [value * 100 for value in drawdown], 0, color=_COLOURS["shade"], alpha=0.5, linewidth=0)
    lower.yaxis.set_major_formatter("{x:g}")
    lower.set_ylabel("%")
    upper.tick_params(labelbottom=False)
    _dress([upper, lower], days)
    deepest = min((value for value in drawdown if value == value), default=0.0)
    lower.locator_params(axis="y", nbins=3)
    # A curve that has not fallen has a depth of nothing, which is no scale.
    lower.set_ylim(deepest * 108 or -1.0, 0)
    description = (
        f"Equity in {currency} from {days[0]} ({equity[0]:,.2f}) to {days[-1]} ({equity[-1]:,.2f}); below it the "
        f"drawdown, deepest {deepest * 100:.2f} percent."
    )
    legend.append(("shade", "drawdown"))
    return _chart(figure, "equity", "Equity and drawdown", description, tuple(legend))


def rolling_chart(measures: pd.DataFrame, window: int) -> Chart | None:
    """Volatility and Sharpe ratio over the last `window` sessions (`rolling.rolling`); None where none is known."""
    known = measures[[f"volatility_{window}", f"sharpe_{window}"]].dropna()
    if len(known) < 2:
        return None
    figure = _figure(_HEIGHT * 0.8)
    upper, lower = figure.subplots(2, 1, sharex=True)
    days = list(known.index)
    upper.plot(days, known[f"volatility_{window}"] * 100, color=_COLOURS["line"], linewidth=1.4)
    upper.yaxis.set_major_formatter("{x:g}")
    upper.set_ylabel("% a year")
    lower.plot(days, known[f"sharpe_{window}"], color=_COLOURS["beside"], linewidth=1.4)
    lower.set_ylabel("ratio")
    lower.axhline(0, color=_COLOURS["grid"], linewidth=0.8)
    _dress([upper, lower], days)
    upper.tick_params(labelbottom=False)
    newest = known.iloc[-1]
    description = (
        f"Above, the volatility of a year over the last {window} sessions, now {newest.iloc[0] * 100:.1f} percent; "
        f"below, the Sharpe ratio over them, now {newest.iloc[1]:.2f}."
    )
    legend = (("line", "volatility, a year"), ("beside", "Sharpe ratio"))
    return _chart(figure, "rolling", f"The last {window} sessions, day by day", description, legend)


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height))
    figure.subplots_adjust(left=0.22, right=0.97, top=0.96, bottom=0.13, hspace=0.16)
    figure.patch.set_visible(False)
    return figure


def _dress(axes: Sequence[Axes], days: Sequence[date]) -> None:
    ink, grid = _COLOURS["ink"], _COLOURS["grid"]
    for axis in axes:
        axis.patch.set_visible(False)
        axis.grid(color=grid, linewidth=0.5)
        axis.tick_params(labelsize=_SMALL, colors=ink, length=2)
        axis.yaxis.label.set(color=ink, size=_SMALL)
        axis.locator_params(axis="y", nbins=5)
        for side in axis.spines.values():
            side.set_color(grid)
    labelled = spread_days(days, _MOST_DATES, _ROOM)
    axes[-1].set_xticks(labelled, [str(day) for day in labelled])
    # The outer dates end where the picture does.
    labels = axes[-1].get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    axes[0].figure.align_ylabels(axes)


def _chart(figure: Figure, key: str, title: str, description: str, legend: tuple[tuple[str, str], ...]) -> Chart:
    box, inside = _svg(figure, key)
    return Chart(key, title, description, inside, box, legend)


def _svg(figure: Figure, key: str) -> tuple[str, str]:
    """The `viewBox`, and what is within the tag; ids begin with `key`, so that two charts of a page share none."""
    import matplotlib

    buffer = StringIO()
    with _ONE_AT_A_TIME, matplotlib.rc_context({"svg.hashsalt": key, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    found = _OUTER.search(_DROPPED.sub("", buffer.getvalue()))
    assert found is not None
    box, inside = found.groups()
    inside = re.sub(r'\bid="', f'id="{key}-', inside)
    inside = re.sub(r'(href="|url\()#', rf"\1#{key}-", inside)
    for name, colour in _COLOURS.items():
        inside = inside.replace(colour, f"var(--{name})")
    return box, inside.strip()
