"""How good a market's stored prices are: what is there, what is not and why, and whether one may plan on it.

What belongs here: one report over a range of sessions, and the judgements that stop a plan or only warn. What does
not: how it is shown (`assets/quality_page.py`, the command line), and what makes a bar bad (`market_data`).

A plan re-reads these judgements from stored facts (`flow.trust`): a blocking check guards only its own run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import quarantined
from scizor_dagster.flow.second_prices import Comparison, compare_session
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.absences import Absence, absences, ranges_of, tracked_symbols
from scizor_dagster.market_data.reading import last_closes, too_many_missing
from scizor_dagster.market_data.statistics import impossible_bars, outliers, restatements
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    import pandas as pd

SESSIONS_SHOWN = 60
MOST_COLUMNS = 130
MIN_COMPARED = 3
"""Fewer closes than these say nothing about a whole source."""
NOT_DUE = (Absence.RETIRED, Absence.DELISTED, Absence.NOT_LISTED_YET, Absence.NO_PERMISSION)
"""Reasons for which no bar is expected: they do not count against the coverage."""
LOOK = "Look at them, and have the source mend what is wrong."


@dataclass(frozen=True)
class Judgement:
    """A sentence about the data that holds or does not.

    Attributes:
        blocking: Whether no plan is made while it does not hold.
        detail: What was found.
        remedy: What to do where it does not hold.
    """

    name: str
    holds: bool
    blocking: bool
    detail: str
    remedy: str = LOOK


@dataclass(frozen=True)
class QualityReport:
    """A market's prices over the sessions from `sessions[0]` to `sessions[-1]`, the last closed one.

    Attributes:
        tracked: Symbols, retired ones included.
        missing: Rows of `market_data.absences` over the sessions.
        stale: Symbols that are due and whose newest bar is older than the last session: symbol, newest, sessions.
        quarantine: Bars that were not believed, by reason.
        compared: Number of closes of the last session that a second source has as well.
        differing: Those of them that differ: symbol, session, close, second_close, difference.
        outliers: Largest moves for their instrument: symbol, session, move, usual.
        restated: Bars whose source has changed its mind in the range; `restatement_rate` is of all bars.
    """

    market: str
    source: str
    sessions: tuple[date, ...]
    tracked: tuple[str, ...]
    bars: int
    missing: pd.DataFrame
    stale: pd.DataFrame
    quarantine: pd.DataFrame
    compared: int
    differing: pd.DataFrame
    outliers: pd.DataFrame
    restated: int
    judgements: tuple[Judgement, ...]

    @property
    def by_reason(self) -> dict[str, int]:
        """Missing bars by the reason why."""
        counts = self.missing["reason"].value_counts()
        return {str(reason): int(counts[reason]) for reason in Absence if reason in counts}

    @property
    def expected(self) -> int:
        """Bars that should be there: every symbol's, in every session in which it was listed and tracked."""
        away = int(self.missing["reason"].isin(NOT_DUE).sum()) if len(self.missing) else 0
        return len(self.tracked) * len(self.sessions) - away

    @property
    def coverage(self) -> float:
        """Share of the expected bars that are there."""
        return self.bars / self.expected if self.expected else 0.0

    @property
    def restatement_rate(self) -> float:
        return self.restated / self.bars if self.bars else 0.0

    @property
    def blocked_by(self) -> tuple[Judgement, ...]:
        return stopping(self.judgements)


def stopping(judgements: Iterable[Judgement]) -> tuple[Judgement, ...]:
    """Those for which no plan is made."""
    return tuple(item for item in judgements if item.blocking and not item.holds)


def quality_report(desk: Desk, market: str, first: date | None = None, last: date | None = None) -> QualityReport:
    """Look at the sessions from `first` to `last`: by default the newest `SESSIONS_SHOWN` that have closed.

    Raises:
        InputError: there is none.
    """
    calendar = desk.calendar(market)
    shown = closed_sessions(desk, market, first, last)
    through = shown[-1]
    with desk.lake.pinned() as lake:
        missing = absences(lake, market, shown)
        tracked = tracked_symbols(lake, market)
        newest = last_closes(lake, market, through)
        beside = compare_session(desk, lake, market, through)
        odd = outliers(lake, market, shown[0], through)
        restated = restatements(lake, market, shown[0], through)
        refused = quarantined(lake, market, shown[0], through)
        judged = session_judgements(desk, lake, market, through)
    return QualityReport(
        market=market,
        source=", ".join(sorted(set(newest["source"]))) or "none",
        sessions=shown,
        tracked=tracked,
        bars=len(tracked) * len(shown) - len(missing),
        missing=missing,
        stale=_stale(missing, newest, calendar, through),
        quarantine=refused,
        compared=len(beside.both),
        differing=beside.differing,
        outliers=odd,
        restated=restated,
        judgements=(
            *judged,
            Judgement("no_outliers", odd.empty, False, f"{len(odd)} move(s) far beyond what is usual"),
            Judgement("no_restatements", restated == 0, False, f"{restated} bar(s) were restated by their source"),
        ),
    )


def closed_sessions(desk: Desk, market: str, first: date | None, last: date | None) -> tuple[date, ...]:
    """Closed sessions of the market from `first` to `last`; without `first` the newest `SESSIONS_SHOWN` of them.

    Raises:
        InputError: there is none.
    """
    calendar, begins = desk.calendar(market), desk.market(market).first_session
    closed = calendar.last_settled(desk.clock())
    through = min(last or closed, closed)
    begin = max(first or max(through, begins) - timedelta(days=2 * SESSIONS_SHOWN), begins)
    found = calendar.sessions(begin, through)
    if not found:
        raise InputError(
            f"There is no closed session from {begin} to {through}.",
            remedy=f"Use dates from {begins} to {closed}.",
            where=f"market {market}",
        )
    return tuple(found if first is not None else found[-SESSIONS_SHOWN:])


def missing_ranges(
    desk: Desk, market: str, symbols: Sequence[str] = (), first: date | None = None, last: date | None = None
) -> pd.DataFrame:
    """What is missing of `symbols` (none: all) from `first` to `last`, as `absences.ranges_of` gives it.

    Raises:
        InputError: a symbol is not tracked.
    """
    tracked = tracked_symbols(desk.lake, market)
    unknown = sorted(set(symbols) - set(tracked))
    if unknown:
        raise InputError(
            f"{names(unknown)} is not tracked in market '{market}'.",
            remedy="Use a symbol of its universe; a new one is tracked from its first collection on.",
            where="--symbol",
        )
    closed = desk.calendar(market).last_settled(desk.clock())
    begin = desk.market(market).first_session
    sessions = desk.calendar(market).sessions(max(first or begin, begin), min(last or closed, closed))
    missing = absences(desk.lake, market, sessions)
    return ranges_of(missing[missing["symbol"].isin(symbols)] if symbols else missing, sessions)


def judged_session(desk: Desk, market: str, session: date) -> tuple[Judgement, ...]:
    """`session_judgements` of the lake as it is now."""
    with desk.lake.pinned() as lake:
        return session_judgements(desk, lake, market, session)


def session_judgements(desk: Desk, lake: Lake, market: str, session: date) -> tuple[Judgement, ...]:
    """Everything that must hold of a session before one plans on its prices."""
    several = desk.market(market).compare_with is not None
    return (
        *judged_bars(lake, market, session),
        judged_schema(lake, market, session),
        *(judged_second_source(market, compare_session(desk, lake, market, session)) if several else ()),
        judged_calendar(desk, market),
    )


def judged_bars(lake: Lake, market: str, session: date) -> tuple[Judgement, Judgement, Judgement]:
    """Whether the session's bars are there: any at all, most, and each one or a reason why not."""
    missing = absences(lake, market, [session])
    due = len(tracked_symbols(lake, market)) - int(missing["reason"].isin(NOT_DUE).sum())
    absent = missing[~missing["reason"].isin(NOT_DUE)]
    unexplained = absent.loc[absent["reason"] == Absence.NOT_COLLECTED, "symbol"].tolist()
    there = due - len(absent)
    found = f"{there} of {due} symbols have a price of {session}"
    collect = f"Collect it: scizor collect daily --market {market} --date {session}."
    counts = absent["reason"].value_counts().sort_index()
    why = "".join(f", {count} {reason}" for reason, count in counts.items())
    reasons = f"{len(absent)} of {due} bars of {session} are missing, each with its reason{why}"
    return (
        Judgement("the_session_is_there", there > 0, True, found, collect),
        Judgement("most_symbols_have_a_bar", due > 0 and not too_many_missing(len(absent), due), True, found, collect),
        Judgement(
            "every_symbol_has_a_bar_or_a_reason",
            not unexplained,
            True,
            f"{found}, and for {names(unexplained)} there is no reason why not" if unexplained else reasons,
            collect,
        ),
    )


def judged_calendar(desk: Desk, market: str) -> Judgement:
    """Whether the sessions of the year ahead are known."""
    calendar = desk.calendar(market)
    return Judgement(
        "the_calendar_covers_the_next_year",
        calendar.covers_next_year(desk.clock()),
        True,
        f"{calendar.code} is known to {calendar.last}",
        "Update exchange_calendars; a year ahead is needed to plan.",
    )


def judged_schema(lake: Lake, market: str, session: date) -> Judgement:
    """Whether the session's stored bars are what the table promises, whoever wrote them."""
    wrong = impossible_bars(lake, market, session)
    return Judgement(
        "bars_are_possible",
        not wrong,
        True,
        f"{len(wrong)} stored bar(s) of {session} cannot be" + (f" ({names(wrong)})" if wrong else ""),
        f"Collect the session again: scizor collect daily --market {market} --date {session}.",
    )


def judged_second_source(market: str, beside: Comparison) -> tuple[Judgement, Judgement]:
    """Whether a second source was there to compare with, and whether most closes agree; single ones may differ.

    A source that does not answer stops no plan, and is no agreement either.
    """
    compared, differing = len(beside.both), len(beside.differing)
    apart = f" ({names(beside.differing['symbol'].tolist())})" if differing else ""
    return (
        Judgement(
            "the_second_source_has_been_compared",
            beside.most_compared,
            False,
            beside.found,
            f"Ask it again: scizor collect daily --market {market} --date {beside.session}.",
        ),
        Judgement(
            "two_sources_agree",
            compared < MIN_COMPARED or not too_many_missing(differing, compared),
            True,
            f"{differing} of {compared} closes differ from a second source beyond quality.max_source_difference{apart}",
            "Find out which of the two is wrong; nothing is planned on prices that a second source mostly contradicts.",
        ),
    )


def _stale(missing: pd.DataFrame, newest: pd.DataFrame, calendar: TradingCalendar, through: date) -> pd.DataFrame:
    import pandas as pd

    rows = missing[missing["session"] == through.isoformat()] if len(missing) else missing
    due = rows[~rows["reason"].isin(NOT_DUE)]
    last = dict(zip(newest["symbol"], newest["session"], strict=True))
    found = [
        (symbol, last.get(symbol), calendar.age_in_sessions(last[symbol], through) if symbol in last else None, reason)
        for symbol, reason in zip(due["symbol"], due["reason"], strict=True)
    ]
    frame = pd.DataFrame(found, columns=["symbol", "newest", "sessions", "reason"], dtype=object)
    return frame.sort_values(["sessions", "symbol"], ascending=[False, True], na_position="first", ignore_index=True)


def names(symbols: Sequence[str], most: int = 10) -> str:
    """The first of `symbols`, and how many more there are."""
    rest = f" and {len(symbols) - most} more" if len(symbols) > most else ""
    return ", ".join(symbols[:most]) + rest


def worst_symbols(report: QualityReport, most: int = 20) -> pd.DataFrame:
    """The symbols that lack most of the bars that are due: symbol, missing, share, reasons."""
    due = report.missing[~report.missing["reason"].isin(NOT_DUE)]
    found = due.groupby("symbol").agg(
        missing=("session", "size"), reasons=("reason", lambda column: ", ".join(sorted(set(column))))
    )
    found.insert(1, "share", found["missing"] / len(report.sessions))
    found = found.reset_index().sort_values(["missing", "symbol"], ascending=[False, True], ignore_index=True)
    return found.head(most)


def coverage_map(report: QualityReport, most_columns: int = MOST_COLUMNS) -> pd.DataFrame:
    """Share of the bars that are there, by symbol and session, or by month where there are many sessions.

    Between 0 and 1; NaN where no bar is due. The index is the symbols, the columns are texts.
    """
    import numpy as np
    import pandas as pd

    days = [str(session) for session in report.sessions]
    symbols, columns = pd.Index(report.tracked, name="symbol"), pd.Index(days)
    shares = np.ones((len(symbols), len(columns)))
    lacking = report.missing
    rows = symbols.get_indexer(pd.Index(lacking["symbol"]))
    shares[rows, columns.get_indexer(pd.Index(lacking["session"].dt.strftime("%Y-%m-%d")))] = np.where(
        lacking["reason"].isin(NOT_DUE), np.nan, 0.0
    )
    grid = pd.DataFrame(shares, index=symbols, columns=columns)
    if len(days) <= most_columns:
        return grid
    return grid.T.groupby([day[:7] for day in days]).mean().T
