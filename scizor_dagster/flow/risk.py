"""Losses and locks of a portfolio, from the configuration and from what is stored.

What belongs here: reading lake and ledger for the risk package, and writing the states and locks that follow.
What does not: deciding anything about a single order (`risk.pre_trade`), or what a limit means (`risk`,
`limits`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache

from scizor_dagster.config import MaxDrawdown, Protection
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.limits import limits_in_force
from scizor_dagster.flow.measured import measured_sessions
from scizor_dagster.flow.money import book_before, starting_cash
from scizor_dagster.flow.second_prices import second_prices
from scizor_dagster.flow.wealth import WealthCurve, wealth_before
from scizor_dagster.ledger.batches import account_clock
from scizor_dagster.ledger.rows import open_batches
from scizor_dagster.market_data.reading import last_closes
from scizor_dagster.market_data.trading_facts import average_volumes
from scizor_dagster.planning.rules import exact
from scizor_dagster.risk.facts import FactsOf, MarketFacts
from scizor_dagster.risk.limits import PreTradeLimits
from scizor_dagster.risk.locks import LOSS_UNKNOWN, DueLock, lift_unknown_loss, store_locks
from scizor_dagster.risk.losses import loss_figures, stop_after_losses
from scizor_dagster.risk.protections import due_locks, sessions_back
from scizor_dagster.risk.round_trips import exits_since

_LOCK_HORIZON = timedelta(days=800)


def facts_of(desk: Desk, portfolio: str) -> FactsOf:
    """What is known of the portfolio before a session; read once per session."""

    @lru_cache(maxsize=4)
    def read(session: date) -> MarketFacts:
        settings = desk.portfolio(portfolio)
        calendar = desk.calendar(settings.market)
        priced_on = calendar.previous_session(session)
        with desk.lake.pinned() as lake:
            closes = last_closes(lake, settings.market, priced_on)
            volumes = average_volumes(lake, settings.market, priced_on)
            others = second_prices(desk, lake, settings.market, priced_on)
        valuation = book_before(desk, portfolio, session, closes).valuation
        rows = closes.to_dict("records")
        ages = {day: calendar.age_in_sessions(day, priced_on) for day in set(closes["session"])}
        measured = measured_sessions(desk, portfolio, priced_on)
        earlier = measured[measured["session"] < priced_on]
        # What is planned with; the account's own money is not.
        traded = earlier["equity"] - earlier["account_money"].fillna(0.0)
        before = starting_cash(desk, portfolio) if earlier.empty else exact(float(traded.iloc[-1]))
        return MarketFacts(
            equity=valuation.equity,
            equity_before=before,
            prices={row["symbol"]: exact(float(row["close"])) for row in rows},
            price_ages={row["symbol"]: ages[row["session"]] for row in rows},
            second_prices=others,
            daily_volumes=volumes,
            sectors={entry.instrument.symbol: entry.sector for entry in desk.universe(settings.market) if entry.sector},
        )

    return read


def guard_session(desk: Desk, portfolio: str, session: date, *, admits: bool = False) -> None:
    """Look at what closed before `session`, measured or not, and write the states and locks that follow.

    The same findings write nothing a second time; what a person has resumed or lifted stays so. Where the last
    close cannot be valued, a lock holds the session's opening orders until it can: those that are left to send, or
    that are about to be admitted (`admits`).

    Nothing is written for a session that lies before the last one that the account has traded or the portfolio has
    measured: no order of it can go out any more, and what was due then was due then. A history that is traded again
    in its order is the newest session at each step, and so finds what it would have found at the time.
    """
    settings = desk.portfolio(portfolio)
    with desk.ledger.read() as connection:
        clock = account_clock(connection, settings.account)
        unsent = {(row.portfolio, row.session) for row in open_batches(connection, settings.account)}
    if clock is not None and session < clock:
        return
    wealth = wealth_before(desk, portfolio, session)
    if session < wealth.newest_measured:
        return
    limits = limits_in_force(desk, portfolio)
    figures = loss_figures(wealth.points, wealth.starting, wealth.since)
    due = _due_locks(desk, portfolio, session, wealth)
    blind = bool(wealth.unknown) and _watches_losses(limits, settings.risk.protections)
    if blind and (admits or (portfolio, session) in unsent):
        due.append(_unknown_loss(portfolio, session, wealth.unknown))
    with desk.ledger.transaction() as connection:
        now = desk.clock()
        stop_after_losses(connection, settings.account, portfolio, session, figures, limits, now=now)
        store_locks(connection, settings.account, portfolio, due, now=now)
        if not blind:
            lift_unknown_loss(connection, settings.account, portfolio, session, now=now)


def guard_account(desk: Desk, account: str, through: date) -> None:
    """Guard every portfolio on the account that has orders left to send in a session up to `through`.

    A run sends for all of them, not only for the portfolio that it is of.
    """
    with desk.ledger.read() as connection:
        batches = [row for row in open_batches(connection, account) if row.session <= through]
    configured = desk.config.portfolios
    for name, session in sorted({(row.portfolio, row.session) for row in batches}):
        if name in configured and configured[name].account == account:
            guard_session(desk, name, session)


def _watches_losses(limits: PreTradeLimits, protections: Sequence[Protection]) -> bool:
    return (
        limits.max_day_loss is not None
        or limits.max_drawdown is not None
        or any(isinstance(rule, MaxDrawdown) for rule in protections)
    )


def _unknown_loss(portfolio: str, session: date, why: str) -> DueLock:
    day = session.isoformat()
    reason = (
        f"the loss before {day} cannot be measured: {why}; then run: scizor run --portfolio {portfolio} --date {day}"
    )
    return DueLock(None, LOSS_UNKNOWN, reason, session, session, why, "a loss that is known")


def _due_locks(desk: Desk, portfolio: str, session: date, wealth: WealthCurve) -> list[DueLock]:
    settings = desk.portfolio(portfolio)
    protections = settings.risk.protections
    if not protections:
        return []
    # Twice as many days as sessions, and some for holidays: none is missed, and the past before them is not read.
    since = session - timedelta(days=2 * sessions_back(protections) + 14)
    with desk.ledger.read() as connection:
        exits = exits_since(connection, settings.account, portfolio, since)
    equity = {day: value for day, value in wealth.points if day >= since}
    first = min([session, *equity, *(one.session for one in exits)])
    sessions = desk.calendar(settings.market).sessions(first, session + _LOCK_HORIZON)
    return due_locks(protections, exits, equity, sessions, session)
