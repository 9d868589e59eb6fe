"""Limits, losses and locks of a portfolio, from the configuration and from what is stored.

What belongs here: reading lake and ledger for the risk package, and writing the states and locks that follow.
What does not: deciding anything about a single order (`risk.pre_trade`), or what a limit means (`risk`).
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa

from scizor_dagster.analytics.performance import read_performance
from scizor_dagster.config import UNLIMITED
from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.money import book_before, starting_cash
from scizor_dagster.ledger.rows import activities_of, fills_of
from scizor_dagster.ledger.tables import adoptions
from scizor_dagster.market_data.reading import average_volumes, last_closes
from scizor_dagster.planning.rules import exact
from scizor_dagster.risk.facts import FactsOf, MarketFacts
from scizor_dagster.risk.limits import PreTradeLimits, limits_from
from scizor_dagster.risk.locks import store_locks
from scizor_dagster.risk.losses import loss_figures, stop_after_losses
from scizor_dagster.risk.protections import Movement, due_locks, exits_of

VOLUME_SESSIONS = 20
"""Sessions that an average daily volume is taken over."""
_LOCK_HORIZON = timedelta(days=800)


def limits_in_force(desk: Desk, portfolio: str) -> PreTradeLimits:
    """The portfolio's limits, with the universe files of `allowed` read.

    Raises:
        ConfigError: `allowed` names a file that is no universe of the market, or a symbol that is in none.
    """
    settings = desk.portfolio(portfolio)
    allowed = settings.risk.limits.allowed
    if allowed == UNLIMITED:
        return limits_from(settings.risk)
    symbols: set[str] = set()
    universe = desk.universe(settings.market)
    for name in allowed:
        path = desk.config.folder / name
        inside = {
            entry.instrument.symbol for entry in universe if entry.path == path or entry.instrument.symbol == name
        }
        if not inside:
            kind = "file" if Path(name).suffix == ".csv" else "symbol"
            raise ConfigError(
                f"The {kind} '{name}' is not in the universe of market '{settings.market}'.",
                remedy=f"Name one of its symbols or of its files: {', '.join(desk.market(settings.market).universes)}.",
                where=f"{desk.config.source}: risk.limits.allowed",
            )
        symbols |= inside
    return limits_from(settings.risk, symbols)


def facts_of(desk: Desk, portfolio: str) -> FactsOf:
    """What is known of the portfolio before a session; read once per session."""

    @lru_cache(maxsize=4)
    def read(session: date) -> MarketFacts:
        settings = desk.portfolio(portfolio)
        calendar = desk.calendar(settings.market)
        priced_on = calendar.previous_session(session)
        with desk.lake.pinned() as lake:
            closes = last_closes(lake, settings.market, priced_on)
            volumes = average_volumes(lake, settings.market, priced_on, VOLUME_SESSIONS)
        valuation = book_before(desk, portfolio, session, closes).valuation
        rows = closes.to_dict("records")
        ages = {day: calendar.age_in_sessions(day, priced_on) for day in set(closes["session"])}
        measured = read_performance(desk.lake, portfolio, priced_on)
        earlier = measured[measured["session"] < priced_on]
        before = starting_cash(desk, portfolio) if earlier.empty else exact(float(earlier["equity"].iloc[-1]))
        return MarketFacts(
            equity=valuation.equity,
            equity_before=before,
            prices={row["symbol"]: exact(float(row["close"])) for row in rows},
            price_ages={row["symbol"]: ages[row["session"]] for row in rows},
            daily_volumes=volumes,
            sectors={entry.instrument.symbol: entry.sector for entry in desk.universe(settings.market) if entry.sector},
        )

    return read


def guard_session(desk: Desk, portfolio: str, session: date) -> None:
    """Look at what was measured and closed before `session`, and write the states and locks that follow.

    The same findings write nothing a second time; what a person has resumed or lifted stays so.
    """
    settings = desk.portfolio(portfolio)
    measured = read_performance(desk.lake, portfolio, desk.calendar(settings.market).previous_session(session))
    begin = starting_cash(desk, portfolio)
    days = list(measured["session"])
    wealth = [begin * (1 + exact(float(value))) for value in measured["cumulative_return"]]
    figures = loss_figures(list(zip(days, wealth, strict=True)), begin)
    limits = limits_in_force(desk, portfolio)
    protections = settings.risk.protections
    due = []
    if protections:
        movements = _movements(desk, portfolio)
        first = min([session, *days, *(move.session for move in movements)])
        sessions = desk.calendar(settings.market).sessions(first, session + _LOCK_HORIZON)
        due = due_locks(protections, exits_of(movements), dict(zip(days, wealth, strict=True)), sessions, session)
    if figures is None and not due:
        return
    with desk.ledger.transaction() as connection:
        stop_after_losses(connection, settings.account, portfolio, figures, limits, now=desk.clock())
        store_locks(connection, settings.account, portfolio, due, now=desk.clock())


def _movements(desk: Desk, portfolio: str) -> list[Movement]:
    """Splits, then fills, then adoptions of each session: the order in which holdings count them."""
    account = desk.portfolio(portfolio).account
    adopted = sa.select(adoptions).where(adoptions.c.account == account, adoptions.c.portfolio == portfolio)
    with desk.ledger.read() as connection:
        found = [
            (row.session, 0, Movement(row.session, row.symbol, factor=row.qty_factor))
            for row in activities_of(connection, account)
            if row.kind in ("split", "delisting") and row.symbol is not None and row.qty_factor is not None
        ]
        found += [
            (fill.session, 1, Movement(fill.session, fill.symbol, fill.signed_qty, fill.cash))
            for fill in fills_of(connection, account, portfolio=portfolio)
        ]
        found += [
            (row.session, 2, Movement(row.session, row.symbol, row.qty, -row.qty * row.price))
            for row in connection.execute(adopted)
        ]
    return [move for _, _, move in sorted(found, key=lambda item: item[:2])]
