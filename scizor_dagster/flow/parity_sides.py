"""Both sides of a comparison: a portfolio's recorded sessions, and the backtest of the same ones.

What belongs here: what the backtest is made from. What does not: the recorded side (`parity_recorded`), the runs
(`backtest.venue`, `backtest.engine`), and the comparison (`backtest.parity`, `parity`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from scizor_dagster.backtest.engine import run_backtest
from scizor_dagster.backtest.histories import few, lake_history
from scizor_dagster.backtest.model import Choices, Costs, FillAt, Fills, History, Schedule
from scizor_dagster.backtest.parity import Told, told_of
from scizor_dagster.backtest.parity_result import by_instrument, told_of_result
from scizor_dagster.backtest.venue import VenueChoices, VenueRun, run_at_venue
from scizor_dagster.backtest.venue_market import LOOK_BACK, Facts, VenueMarket
from scizor_dagster.brokers.capabilities import account_capabilities
from scizor_dagster.brokers.paper import exchange_rules
from scizor_dagster.config import Account, PaperAccount
from scizor_dagster.errors import InputError, PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.parity_recorded import recorded_run
from scizor_dagster.ledger.manual_orders import manual_orders_of
from scizor_dagster.ledger.rows import batches_of
from scizor_dagster.market_data.reading import instruments
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.frames import read_inputs
from scizor_dagster.planning.kernel_model import CODE
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.rules import rules_from
from scizor_dagster.signals.targets import TargetStatus

ZERO = Decimal(0)
_NAN = float("nan")


@dataclass(frozen=True)
class BothSides:
    """The recorded run and the backtest of the same sessions; `notes` are sentences for a person."""

    recorded: Told
    backtest: Told
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Sessions:
    """What both sides are of: prices, the row of the first session that is compared, and what was recorded."""

    history: History
    row: int
    market: VenueMarket
    planned: Mapping[date, str]
    recorded: Told

    @property
    def closes(self) -> list[dict[str, Decimal]]:
        return [self.market.closes(at) for at in range(self.row, len(self.history.sessions))]


def both_sides(desk: Desk, portfolio: str, first: date, last: date, *, as_planned: bool = True) -> BothSides:
    """What the ledger holds of the sessions from `first` to `last`, and the backtest of them.

    The backtest begins with what the portfolio owned before the first of them that has an admitted plan, and plans in
    those that have one, with the stored targets on the lake's bars.

    Args:
        desk: Read only.
        portfolio: On an account of its own: orders of others on it are not part of the backtest.
        first: First session.
        last: Last session; its prices are collected.
        as_planned: Plan on the prices and facts that each recorded plan was made from, where they are kept beside it:
            a price that was restated since is then no difference, and a note names it. Otherwise on the lake's of now.

    Raises:
        InputError: nothing was admitted in these sessions.
        PriceUnavailable: the lake has no prices of them.
    """
    of = _sessions(desk, portfolio, first, last)
    known = Known(of.history, _archives(desk, of.planned) if as_planned else {})
    run = _backtest(desk, portfolio, of, known)
    notes = (*of.history.notes, *known.notes, *_rules_since(desk, portfolio, known), *_by_hand(desk, portfolio, of))
    return BothSides(of.recorded, told_of(run, of.closes, of.recorded.days[0]), notes)


def modelled_sides(desk: Desk, portfolio: str, first: date, last: date, at: FillAt) -> BothSides:
    """The same with a backtest that fills all of a session's orders at one price of it, at the account's spread.

    Orders of one instrument and side are one on both sides: a model knows no legs and no slices.

    Raises:
        InputError: nothing was admitted in these sessions, or the portfolio held something before them.
        PriceUnavailable: the lake has no prices of them.
    """
    of = _sessions(desk, portfolio, first, last)
    before = of.recorded.days[0]
    if before.holdings:
        raise InputError(
            f"On {before.session} portfolio '{portfolio}' holds {few(sorted(before.holdings))}; a backtest with a "
            "model of fills begins with cash alone.",
            remedy="Begin with the portfolio's first session, or leave --fills out.",
            where="--from",
        )
    settings = desk.portfolio(portfolio)
    account = desk.account(settings.account)
    venue = _venue(account)
    costs = Costs(half_spread_bps=float(venue.half_spread_bps), impact_bps=float(venue.impact_bps))
    choices = Choices(
        capital=float(before.cash),
        fills=Fills(at),
        costs=costs,
        max_price_age=desk.market(settings.market).max_price_age_sessions,
    )
    schedule, _ = _schedule(desk, portfolio, of.history, [*of.planned])
    result = run_backtest(of.history, schedule, rules_from(settings), account_capabilities(account), choices)
    told = told_of_result(result, of.row, of.closes, before)
    return BothSides(by_instrument(of.recorded), told, result.notes)


def _sessions(desk: Desk, portfolio: str, first: date, last: date) -> _Sessions:
    settings = desk.portfolio(portfolio)
    planned = _admitted(desk, portfolio, first, last)
    if not planned:
        raise InputError(
            f"Portfolio '{portfolio}' has no admitted plan from {first} to {last}.",
            remedy="Name sessions that it has traded: scizor run trades one.",
            where=f"portfolio {portfolio}",
        )
    calendar = desk.calendar(settings.market)
    begins = max(calendar.first, desk.market(settings.market).first_session, first - LOOK_BACK - timedelta(days=14))
    history = _history(desk, settings.market, calendar.sessions(begins, last), next(iter(planned)))
    row = bisect_left(history.sessions, next(iter(planned)))
    market = VenueMarket(history, 0)
    if market.bars(len(history.sessions) - 1) is None:
        raise PriceUnavailable(
            f"The lake has no prices of {last}, so that nothing of it can be compared.",
            remedy=f"End with an earlier session, or collect it: scizor collect daily --date {last}.",
            where=f"market {settings.market}",
        )
    return _Sessions(history, row, market, planned, recorded_run(desk, portfolio, history, row, market))


def _admitted(desk: Desk, portfolio: str, first: date, last: date) -> dict[date, str]:
    """Sessions with an admitted plan, each with the id of its first one."""
    with desk.ledger.read() as connection:
        rows = batches_of(connection, desk.portfolio(portfolio).account, portfolio, first=first, last=last)
    rebalances = [row for row in rows if not row.by_hand]
    return {row.session: row.plan_id for row in sorted(rebalances, key=lambda row: (row.session, -row.batch))}


def _archives(desk: Desk, planned: Mapping[date, str]) -> dict[date, PlanArchive]:
    found = {day: read_inputs(desk.lake, plan_id) for day, plan_id in planned.items()}
    return {day: archive for day, archive in found.items() if archive is not None}


def _rules_since(desk: Desk, portfolio: str, known: Known) -> Iterator[str]:
    now = rules_from(desk.portfolio(portfolio))
    other = [str(day) for day, archive in known.archives.items() if archive.rules != now]
    if other:
        yield f"The rules of the configuration are others than those of the plans of {few(other)}."


def _by_hand(desk: Desk, portfolio: str, of: _Sessions) -> Iterator[str]:
    """That there were manual orders, which no backtest has."""
    days = of.history.sessions[of.row :]
    with desk.ledger.read() as connection:
        found = manual_orders_of(connection, desk.portfolio(portfolio).account, portfolio, first=days[0], last=days[-1])
    if found:
        placed = few(sorted({str(row.session) for row in found}))
        yield f"{len(found)} order(s) were placed by hand in {placed}; the backtest has none of them."


def _history(desk: Desk, market: str, sessions: Sequence[date], since: date) -> History:
    priced_on = desk.calendar(market).previous_session(since)
    with desk.lake.pinned() as lake:
        known = {item.symbol: item for item in instruments(lake, market, priced_on)}
        return lake_history(lake, market, sessions, known, desk.market(market).currency)


def _backtest(desk: Desk, portfolio: str, of: _Sessions, known: Known) -> VenueRun:
    settings, before = desk.portfolio(portfolio), of.recorded.days[0]
    account = desk.account(settings.account)
    schedule, aside = _schedule(desk, portfolio, of.history, [*of.planned])

    def knows(at: int, facts: Facts) -> Facts:
        for column in aside.get(at, ()):
            facts.kept[column] = facts.kept[column] or CODE[Reason.FROZEN]
        return known.of_plan(at, facts)

    choices = VenueChoices(
        capital=before.cash,
        venue=_venue(account),
        max_age=desk.market(settings.market).max_price_age_sessions,
        first=of.row,
        begins=before.holdings,
        knows=knows,
    )
    return run_at_venue(of.history, schedule, rules_from(settings), account_capabilities(account), choices)


def _venue(account: Account) -> Rules:
    """The embedded exchange as the account has it, or as it is by default."""
    return exchange_rules(account) if isinstance(account, PaperAccount) else Rules()


@dataclass
class Known:
    """What recorded plans have known, by session; and sentences on what the lake says otherwise now."""

    history: History
    archives: Mapping[date, PlanArchive]
    notes: list[str] = field(default_factory=list)

    def of_plan(self, row: int, facts: Facts) -> Facts:
        """The facts of a session with those that its plan was made from in their place."""
        session = self.history.sessions[row]
        archive = self.archives.get(session)
        if archive is None:
            return facts
        inputs = archive.inputs
        kept = dict.fromkeys(inputs.stale_symbols, Reason.STALE_PRICE)
        kept |= dict.fromkeys(inputs.frozen_symbols, Reason.FROZEN)
        kept |= dict.fromkeys(inputs.quarantined_symbols, Reason.QUARANTINED)
        kept |= dict.fromkeys(inputs.action_symbols, Reason.CORPORATE_ACTION)
        for column, item in enumerate(self.history.instruments):
            price = inputs.prices.get(item.symbol)
            if price is None:
                continue
            now = float(facts.prices[column])
            if float(price.price) != now:
                was = f"{item.symbol}: the plan of {session} was made from a price of {price.price:f}"
                self.notes.append(f"{was}, and the lake now says {'none' if now != now else now}.")
            facts.prices[column] = float(price.price)
            facts.previous[column] = float(inputs.previous_prices.get(item.symbol, _NAN))
            facts.volumes[column] = float(inputs.adv.get(item.symbol, _NAN))
            if item.symbol in kept:
                facts.kept[column] = CODE[kept[item.symbol]]
        return facts


def _schedule(
    desk: Desk, portfolio: str, history: History, planned: Sequence[date]
) -> tuple[Schedule, Mapping[int, list[int]]]:
    """Stored targets of the sessions, and by row the columns whose target cannot be traded: what is held is kept."""
    import numpy as np

    rows = {day: bisect_left(history.sessions, day) for day in planned}
    columns = {item.symbol: at for at, item in enumerate(history.instruments)}
    order = {day: at for at, day in enumerate(planned)}
    weights = np.zeros((len(planned), len(columns)))
    traded, aside = np.zeros(weights.shape, dtype=np.bool_), np.zeros(weights.shape, dtype=np.bool_)
    with desk.lake.read() as cursor:
        found = cursor.execute(
            "SELECT session, symbol, target_weight, status, coalesce(candidates, '') FROM target_weights "
            "WHERE portfolio = ? AND session BETWEEN ? AND ?",
            [portfolio, planned[0], planned[-1]],
        ).fetchall()
    for day, symbol, weight, status, candidates in found:
        if day not in order:
            continue
        if symbol in columns:
            weights[order[day], columns[symbol]] = float(weight)
        marks = traded if status == TargetStatus.OK else aside
        for name in {symbol, *(candidates.split(",") if marks is aside else ())} & columns.keys():
            marks[order[day], columns[name]] = True
    aside &= ~traded
    left = {rows[day]: np.flatnonzero(aside[at]).tolist() for day, at in order.items()}
    return Schedule(np.array([rows[day] for day in planned], dtype=np.int64), weights, kept=aside), left
