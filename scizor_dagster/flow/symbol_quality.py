"""How good the stored prices of one symbol are.

What belongs here: one report over a range of sessions. What does not: the whole market's, and the judgements that stop
a plan (`flow.quality`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.quality import NOT_DUE, closed_sessions
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.absences import absences, ranges_of
from scizor_dagster.market_data.statistics import outliers
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SymbolQuality:
    """A symbol's prices over the sessions from `first` to `last`.

    Attributes:
        expected: Sessions in which it was listed and tracked; `bars` of them are there.
        newest: Session of the newest stored bar of all; None where there is none.
        behind: Closed sessions since then.
        missing: Rows of `absences.ranges_of`.
        quarantined: Bars that are not believed: session, open, high, low, close, volume, reason, detail, source.
        revised: Bars of the range that were replaced, or set aside.
        outliers: Moves far beyond what is usual: session, move, usual.
    """

    first: date
    last: date
    sessions: int
    bars: int
    expected: int
    newest: date | None
    behind: int | None
    missing: pd.DataFrame
    quarantined: pd.DataFrame
    revised: int
    outliers: pd.DataFrame

    @property
    def coverage(self) -> float:
        """Share of the expected bars that are there."""
        return self.bars / self.expected if self.expected else 0.0


def symbol_quality(
    desk: Desk, market: str, symbol: str, first: date | None = None, last: date | None = None
) -> SymbolQuality:
    """Look at `symbol` from `first` to `last`: by default in the newest 60 sessions that have closed.

    Raises:
        InputError: there is no closed session in the range.
    """
    calendar = desk.calendar(market)
    sessions = closed_sessions(desk, market, first, last)
    with desk.lake.pinned() as lake:
        lacking = absences(lake, market, sessions)
        mine = lacking[lacking["symbol"] == symbol]
        newest = _newest(lake, market, symbol)
        odd = outliers(lake, market, sessions[0], sessions[-1])
        refused = _quarantined(lake, market, symbol, sessions)
        revised = _revised(lake, market, symbol, sessions)
    through = calendar.last_settled(desk.clock())
    return SymbolQuality(
        first=sessions[0],
        last=sessions[-1],
        sessions=len(sessions),
        bars=len(sessions) - len(mine),
        expected=len(sessions) - int(mine["reason"].isin(NOT_DUE).sum()),
        newest=newest,
        behind=_behind(calendar, newest, through),
        missing=ranges_of(mine, sessions),
        quarantined=refused,
        revised=revised,
        outliers=odd.loc[odd["symbol"] == symbol, ["session", "move", "usual"]],
    )


def _behind(calendar: TradingCalendar, newest: date | None, through: date) -> int | None:
    return calendar.age_in_sessions(newest, through) if newest is not None and newest <= through else None


def _newest(lake: Lake, market: str, symbol: str) -> date | None:
    with lake.read() as cursor:
        row = cursor.execute(
            "SELECT max(session) FROM bars WHERE market = ? AND symbol = ?", [market, symbol]
        ).fetchone()
    return row[0] if row else None


def _quarantined(lake: Lake, market: str, symbol: str, sessions: Sequence[date]) -> pd.DataFrame:
    with lake.read() as cursor:
        return cursor.execute(
            "SELECT session, open, high, low, close, volume, reason, detail, source "
            f"FROM {whole('quarantined_bars')} WHERE market = ? AND symbol = ? AND session BETWEEN ? AND ? "
            "ORDER BY session, reason",
            [market, symbol, sessions[0], sessions[-1]],
        ).df()


def _revised(lake: Lake, market: str, symbol: str, sessions: Sequence[date]) -> int:
    with lake.read() as cursor:
        row = cursor.execute(
            "SELECT count(*) FROM bar_revisions WHERE market = ? AND symbol = ? AND session BETWEEN ? AND ?",
            [market, symbol, sessions[0], sessions[-1]],
        ).fetchone()
    return int(row[0]) if row else 0
