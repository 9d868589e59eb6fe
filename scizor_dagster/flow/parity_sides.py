"""Both sides of a comparison: a portfolio's recorded sessions, and the backtest of the same ones.

What belongs here: reading the recorded side out of ledger and lake, and what the backtest is made from. What does not:
the run (`backtest.venue`), and the comparison (`backtest.parity`, `parity`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.backtest.histories import few, lake_history
from scizor_dagster.backtest.model import History, Schedule
from scizor_dagster.backtest.parity import Deal, Key, Told, ToldDay, ToldOrder, told_of
from scizor_dagster.backtest.venue import VenueChoices, VenueRun, run_at_venue
from scizor_dagster.backtest.venue_market import LOOK_BACK, Facts, VenueMarket
from scizor_dagster.brokers.capabilities import account_capabilities
from scizor_dagster.brokers.paper import exchange_rules
from scizor_dagster.config import PaperAccount
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.money import book_before, book_through
from scizor_dagster.ledger.holdings import share_of
from scizor_dagster.ledger.rows import activities_of, batches_of, fills_for_orders, intents_of
from scizor_dagster.market_data.reading import instruments, last_closes
from scizor_dagster.paper_exchange.data import SessionBar
from scizor_dagster.paper_exchange.matching import step_prices
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.frames import read_inputs
from scizor_dagster.planning.kernel_model import CODE
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.rules import rules_from
from scizor_dagster.signals.targets import TargetStatus

ZERO = Decimal(0)
_NAN = float("nan")
AUCTION = 0.02
"""Share of a session's hours at either end within which a fill is compared with the open, or the close."""


@dataclass(frozen=True)
class BothSides:
    """The recorded run and the backtest of the same sessions; `notes` are sentences for a person."""

    recorded: Told
    backtest: Told
    notes: tuple[str, ...] = ()


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
    sessions = calendar.sessions(begins, last)
    history = _history(desk, settings.market, sessions, next(iter(planned)))
    row = bisect_left(history.sessions, next(iter(planned)))
    market = VenueMarket(history, 0)
    recorded = _recorded(desk, portfolio, history, row, market)
    known = Known(history, _archives(desk, planned) if as_planned else {})
    run = _backtest(desk, portfolio, history, row, [*planned], recorded.days[0], known)
    closes = [market.closes(at) for at in range(row, len(history.sessions))]
    notes = (*history.notes, *known.notes, *_rules_since(desk, portfolio, known))
    return BothSides(recorded, told_of(run, closes, recorded.days[0]), notes)


def _admitted(desk: Desk, portfolio: str, first: date, last: date) -> dict[date, str]:
    """Sessions with an admitted plan, each with its id."""
    with desk.ledger.read() as connection:
        rows = batches_of(connection, desk.portfolio(portfolio).account, portfolio, first=first, last=last)
    return {row.session: row.plan_id for row in rows}


def _archives(desk: Desk, planned: Mapping[date, str]) -> dict[date, PlanArchive]:
    found = {day: read_inputs(desk.lake, plan_id) for day, plan_id in planned.items()}
    return {day: archive for day, archive in found.items() if archive is not None}


def _rules_since(desk: Desk, portfolio: str, known: Known) -> Iterator[str]:
    now = rules_from(desk.portfolio(portfolio))
    other = [str(day) for day, archive in known.archives.items() if archive.rules != now]
    if other:
        yield f"The rules of the configuration are others than those of the plans of {few(other)}."


def _history(desk: Desk, market: str, sessions: Sequence[date], since: date) -> History:
    priced_on = desk.calendar(market).previous_session(since)
    with desk.lake.pinned() as lake:
        known = {item.symbol: item for item in instruments(lake, market, priced_on)}
        return lake_history(lake, market, sessions, known, desk.market(market).currency)


def _backtest(
    desk: Desk, portfolio: str, history: History, row: int, planned: Sequence[date], before: ToldDay, known: Known
) -> VenueRun:
    settings = desk.portfolio(portfolio)
    account = desk.account(settings.account)
    schedule, aside = _schedule(desk, portfolio, history, planned)

    def knows(at: int, facts: Facts) -> Facts:
        for column in aside.get(at, ()):
            facts.kept[column] = facts.kept[column] or CODE[Reason.FROZEN]
        return known.of_plan(at, facts)

    choices = VenueChoices(
        capital=before.cash,
        venue=exchange_rules(account) if isinstance(account, PaperAccount) else Rules(),
        max_age=desk.market(settings.market).max_price_age_sessions,
        first=row,
        begins=before.holdings,
        knows=knows,
    )
    return run_at_venue(history, schedule, rules_from(settings), account_capabilities(account), choices)


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
        kept = {**dict.fromkeys((*inputs.stale_symbols, *inputs.frozen_symbols), Reason.FROZEN)}
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
    aside: dict[int, list[int]] = {}
    with desk.lake.read() as cursor:
        found = cursor.execute(
            "SELECT session, symbol, target_weight, status FROM target_weights "
            "WHERE portfolio = ? AND session BETWEEN ? AND ?",
            [portfolio, planned[0], planned[-1]],
        ).fetchall()
    for day, symbol, weight, status in found:
        if day in order and symbol in columns:
            weights[order[day], columns[symbol]] = float(weight)
            if status != TargetStatus.OK:
                aside.setdefault(rows[day], []).append(columns[symbol])
    return Schedule(np.array([rows[day] for day in planned], dtype=np.int64), weights), aside


def _recorded(desk: Desk, portfolio: str, history: History, row: int, market: VenueMarket) -> Told:
    settings = desk.portfolio(portfolio)
    days = history.sessions[row:]
    with desk.ledger.read() as connection:
        batches = batches_of(connection, settings.account, portfolio, first=days[0], last=days[-1])
        intents = [intent for batch in batches for intent in intents_of(connection, batch.batch_id)]
        fills = fills_for_orders(connection, settings.account, [intent.client_order_id for intent in intents])
    reasons = _reasons(desk, portfolio, days)
    bars = {day: market.bars(row + at) or {} for at, day in enumerate(days)}
    orders = [
        ToldOrder(
            key=Key(intent.session, intent.symbol, intent.side, intent.leg, intent.slice),
            phase=intent.phase,
            reason=reasons.get(intent.client_order_id, ""),
            reference=intent.price_used,
            planned=intent.planned_qty,
            final=intent.final_qty,
            state=intent.state.value,
            deals=tuple(
                Deal(fill.qty, fill.price, fill.fee, _mid(desk, settings.market, fill, bars[intent.session]))
                for fill in fills.get(intent.client_order_id, ())
            ),
            note=intent.reason,
        )
        for intent in intents
    ]
    return Told(tuple(orders), _days(desk, portfolio, history, row))


def _reasons(desk: Desk, portfolio: str, days: Sequence[date]) -> dict[str, str]:
    with desk.lake.read() as cursor:
        rows = cursor.execute(
            "SELECT client_order_id, reason FROM planned_orders WHERE portfolio = ? AND session BETWEEN ? AND ?",
            [portfolio, days[0], days[-1]],
        ).fetchall()
    return dict(rows)


def _days(desk: Desk, portfolio: str, history: History, row: int) -> tuple[ToldDay, ...]:
    """The portfolio at the closes, by the ledger's books; the day before the first one comes first."""
    settings = desk.portfolio(portfolio)
    first, days = history.sessions[row], history.sessions[row:]
    with desk.ledger.read() as connection:
        income: dict[date, Decimal] = {}
        for item in activities_of(connection, settings.account, first=first, last=days[-1]):
            # Other money is the account's, and no portfolio's.
            if item.symbol is not None and item.amount:
                share = share_of(connection, settings.account, portfolio, item.symbol, item.session)
                income[item.session] = income.get(item.session, ZERO) + item.amount * share
    closes = last_closes(desk.lake, settings.market, history.sessions[row - 1])
    book = book_before(desk, portfolio, first, closes)
    prices = {symbol: close.price for symbol, close in closes_of(closes).items()}
    told = [ToldDay(history.sessions[row - 1], book.cash, book.valuation.equity, book.holdings, prices)]
    for day in days:
        closes = last_closes(desk.lake, settings.market, day)
        book = book_through(desk, portfolio, day, closes)
        prices = {symbol: close.price for symbol, close in closes_of(closes).items()}
        paid = income.get(day, ZERO)
        told.append(ToldDay(day, book.cash, book.valuation.equity, book.holdings, prices, paid))
    return tuple(told)


def _mid(desk: Desk, market: str, fill: Any, bars: Mapping[str, SessionBar]) -> Decimal | None:
    """The market's price around a fill: open and close at their times, else the bar's typical price."""
    bar = bars.get(fill.symbol)
    if bar is None:
        return None
    calendar = desk.calendar(market)
    opens, closes = calendar.open_at(fill.session), calendar.close_at(fill.session)
    at: datetime = fill.executed_at
    share = (at - opens) / (closes - opens)
    return step_prices(bar, 1 if share <= AUCTION else 3 if share >= 1 - AUCTION else 2).price
