"""Collecting one market: what each asset of a market does.

What belongs here: handing the desk's parts to `market_data`. What does not: how bars are judged,
stored or adjusted.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd

from scizor_dagster.errors import InputError, PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.stored import stored_rows
from scizor_dagster.flow.symbols import retire_refused
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.ledger.acceptances import accept_price, accepted_prices
from scizor_dagster.market_data.adjustment import rebuild_prices
from scizor_dagster.market_data.collect import collect_actions
from scizor_dagster.market_data.fallback import FallbackMarket
from scizor_dagster.market_data.history import collect_history
from scizor_dagster.market_data.plausibility import NOTHING_ACCEPTED, REASONS, Accepted
from scizor_dagster.market_data.provider import Adjustment
from scizor_dagster.market_data.reading import quarantined_since
from scizor_dagster.market_data.reports import (
    ActionsReport,
    HistoryReport,
    PricesReport,
    SessionReport,
)
from scizor_dagster.market_data.session_bars import collect_session
from scizor_dagster.market_data.symbol_reading import collected_symbols

ACTIONS_AHEAD = timedelta(days=7)
PROGRESS = logging.getLogger("scizor.progress")


def refresh_actions(desk: Desk, market: str) -> ActionsReport:
    """Store every corporate action from the market's first session to the last closed one, and those ahead."""
    settings = desk.market(market)
    now = desk.clock()
    ahead = desk.calendar(market).last_settled(now) + ACTIONS_AHEAD
    return collect_actions(
        desk.lake,
        market,
        settings,
        desk.provider(market),
        sorted(desk.instruments(market)),
        settings.first_session,
        ahead,
        now,
    )


def fill_history(
    desk: Desk,
    market: str,
    years: tuple[int, int],
    through: date | None,
    *,
    since: date | None = None,
    symbols: Sequence[str] = (),
    force: bool = False,
    again_as: Adjustment | None = None,
) -> HistoryReport:
    """Fill the gaps of a range of years, from `since` up to the last closed session or `through`.

    With `again_as` what is stored on another basis is set aside first, or `symbols` alone where any are named.

    Raises:
        InputError: one of `symbols` is not in the universe, the source does not give `again_as`, or others than
            `symbols` are on another basis.
        PriceUnavailable: no symbol can be collected, or the provider shows the account hardly any bars.
    """
    chosen = _chosen(desk, market, symbols)
    report = collect_history(
        desk.lake,
        market,
        desk.market(market),
        desk.provider(market),
        desk.calendar(market),
        chosen,
        *years,
        desk.clock(),
        _report_progress,
        through,
        _accepted(desk, market),
        since=since,
        force=force,
        again_as=again_as,
        named=chosen if symbols else (),
    )
    retire_refused(desk, market, len(chosen), report.refused)
    return report


def collect_closed_session(
    desk: Desk,
    market: str,
    session: date,
    *,
    first: date | None = None,
    symbols: Sequence[str] = (),
    force: bool = False,
) -> SessionReport:
    """Collect one closed session, or in one go those from `first` to it, and the gaps of the year before.

    Raises:
        SessionNotClosed: it has not closed, or its prices are not final.
        InputError: one of `symbols` is not in the universe.
        PriceUnavailable: no symbol can be collected, or the provider shows the account hardly any bars.
    """
    report = collect_session(
        desk.lake,
        market,
        desk.market(market),
        desk.provider(market),
        desk.calendar(market),
        _chosen(desk, market, symbols),
        session,
        desk.clock(),
        _accepted(desk, market),
        first=first,
        progress=_report_progress,
        force=force,
        part=bool(symbols),
    )
    retire_refused(desk, market, report.asked, report.refused)
    return report


def _chosen(desk: Desk, market: str, symbols: Sequence[str]) -> list[str]:
    """The symbols to collect: those named, or the whole universe; none that is not one certain instrument."""
    known = desk.instruments(market)
    unknown = sorted(set(symbols) - set(known))
    if unknown:
        raise InputError(
            f"{', '.join(unknown)}: not in the universe of market '{market}'.",
            remedy="Spell the symbol as the universe does, or add it there.",
            where=f"market {market}",
        )
    wanted = sorted(set(symbols) or known)
    chosen = collected_symbols(desk.lake, market, wanted)
    if symbols and len(chosen) < len(wanted):
        raise InputError(
            f"{', '.join(sorted(set(wanted) - set(chosen)))}: retired or not verified, so not collected.",
            remedy=f"See why: scizor symbols list --market {market}.",
            where=f"market {market}",
        )
    if not chosen:
        raise PriceUnavailable(
            f"None of the {len(wanted)} symbols can be collected: all are retired, or not verified yet.",
            remedy=f"Verify them: scizor symbols validate --market {market}. Why each is out: "
            f"scizor symbols list --market {market}.",
            where=f"market {market}",
        )
    return chosen


def _accepted(desk: Desk, market: str) -> Accepted:
    if not desk.has_ledger:
        return NOTHING_ACCEPTED
    with desk.ledger.read() as connection:
        return accepted_prices(connection, market)


def accept_quarantined(desk: Desk, market: str, symbol: str, session: date, *, reason: str, actor: str) -> float:
    """Record that a person believes the quarantined bar of `symbol`; its close.

    Raises:
        InputError: no reason is given, there is no such bar, or it is one that cannot be a price.
    """
    where = f"market {market}, {symbol} {session}"
    if not reason.strip():
        raise InputError("No reason is given.", remedy="Say why the price is believed, with --reason.", where=where)
    key: dict[str, str | date] = {"market": market, "symbol": symbol, "session": session}
    found = stored_rows(desk, "quarantined_bars", **key).to_dict("records") if desk.has_lake else []
    if not found:
        raise InputError(
            "There is no quarantined bar.",
            remedy=f"See them: scizor prices quarantined --market {market}.",
            where=where,
        )
    refused = [row for row in found if row["reason"] not in REASONS]
    if refused:
        raise InputError(
            f"The bar cannot be accepted: {refused[0]['reason']} ({refused[0]['detail']}).",
            remedy="Have the source mend it, then collect the session again.",
            where=where,
        )
    close = float(found[0]["close"])
    with desk.ledger.transaction() as connection:
        accept_price(connection, market, symbol, session, close, reason=reason.strip(), actor=actor, now=desk.clock())
    return close


def newest_quarantined(desk: Desk, market: str) -> list[dict[Hashable, Any]]:
    """Instruments whose newest bar is quarantined: symbol, session, reason, detail."""
    through = desk.calendar(market).last_settled(desk.clock())
    return quarantined_since(desk.lake, market, through).to_dict("records")


def refresh_prices(desk: Desk, market: str) -> PricesReport:
    """Compute the adjustment factors anew; the view `prices` follows them."""
    return rebuild_prices(desk.lake, market, desk.clock())


def quarantined(lake: Lake, market: str, first: date, last: date) -> pd.DataFrame:
    """Bars of a range of dates that were not believed, by reason: rows, first, last and symbols."""
    with lake.read() as cursor:
        return cursor.execute(
            "SELECT reason, count(*) AS rows, min(session) AS first, max(session) AS last, "
            f"string_agg(DISTINCT symbol, ', ' ORDER BY symbol)[:200] AS symbols FROM {whole('quarantined_bars')} "
            "WHERE market = ? AND session BETWEEN ? AND ? GROUP BY reason ORDER BY reason",
            [market, first, last],
        ).fetch_df()


def bars_by_source(desk: Desk, market: str, first: date, last: date) -> tuple[pd.DataFrame, str, str]:
    """Stored bars of a range of sessions by source; what sources said that did not answer; what was not taken."""
    with desk.lake.read() as cursor:
        counts = cursor.execute(
            "SELECT source, count(*) AS bars, count(DISTINCT symbol) AS symbols FROM bars "
            "WHERE market = ? AND session BETWEEN ? AND ? GROUP BY source ORDER BY source",
            [market, first, last],
        ).df()
    provider = desk.provider(market)
    if not isinstance(provider, FallbackMarket):
        return counts, "", ""
    outages = "; ".join(f"{name}: {said}" for name, said in provider.outages.items())
    return counts, outages, "; ".join(f"{symbol}: {why}" for symbol, why in provider.unfit.items())


def _report_progress(done: int, total: int, what: str) -> None:
    PROGRESS.info("%s (%d of %d)", what, done, total)


def price_coverage(desk: Desk, market: str) -> pd.DataFrame:
    """Bars, symbols and first and last session by year."""
    with desk.lake.read() as cursor:
        return cursor.execute(
            "SELECT year(session) AS year, count(*) AS bars, count(DISTINCT symbol) AS symbols, "
            "min(session) AS first, max(session) AS last, min(adjustment) AS adjustment, "
            "bool_or(synthetic) AS synthetic FROM bars WHERE market = ? GROUP BY 1 ORDER BY 1",
            [market],
        ).fetch_df()
