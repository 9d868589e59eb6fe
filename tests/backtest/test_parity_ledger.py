"""250 sessions of a portfolio through planner, ledger protocol and paper broker, and the backtest of the same ones.

Neither Dagster nor a lake is in it, so that it is long: what the lake would say of each session is kept here, by the
day, apart from what the backtest makes of its arrays.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from statistics import median

import numpy as np
import pytest

from scizor_dagster.backtest.model import Action, ActionKind, History, Schedule
from scizor_dagster.backtest.parity import Deal, Key, Told, ToldDay, ToldOrder, compare, told_of
from scizor_dagster.backtest.venue import VenueChoices, run_at_venue
from scizor_dagster.backtest.venue_market import VenueMarket
from scizor_dagster.brokers import paper
from scizor_dagster.config import PaperAccount, PaperExchangeRules
from scizor_dagster.execution.executor import execute, follow
from scizor_dagster.instruments import Instrument
from scizor_dagster.ledger.holdings import cash_flow, owned
from scizor_dagster.ledger.rows import fills_for_orders, intents_of_session
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar
from scizor_dagster.planning import compiled
from scizor_dagster.planning.inputs import PlanInputs, ReferencePrice, Target
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.sessions import TradingCalendar
from tests.execution.scenario import settings
from tests.paper_exchange.market import FakeData, fresh_ledger

CALENDAR = TradingCalendar("XNYS")
SESSIONS = tuple(CALENDAR.sessions(date(2022, 1, 3), date(2023, 6, 30)))
COUNT = 250 if os.environ.get("SCIZOR_TORTURE") else 40
SEED = int(os.environ.get("SCIZOR_SEED", "3"))
SYMBOLS = ("ALFA", "BRVO", "CHRL", "DLTA", "ECHO", "FXTR", "GOLF", "HOTL")
DEPOSIT = Decimal(100_000)
RULES = PlanningRules(
    allow_short=True, band_relative=Decimal("0.06"), band_absolute=Decimal("0.003"), max_participation=Decimal("0.15"),
    min_cash_buffer_pct=Decimal("0.001"), max_notional_per_order=Decimal(9_000), quantity_precision=4,
)  # fmt: skip
pytestmark = pytest.mark.timeout(1_800)


def D(value):
    return Decimal(repr(float(value)))


class Market:
    """Bars, actions and weights by chance; and what is known at each close, by the day."""

    def __init__(self, seed, count):
        chance = random.Random(f"parity {seed}")
        self.days = SESSIONS[: count + 1]
        self.instruments = {name: Instrument(name, "XNYS", "USD") for name in SYMBOLS}
        self.data, self.weights, self.rows = FakeData(prices={}), {}, {name: {} for name in SYMBOLS}
        self.actions = self._actions(chance, count)
        self.ended = {action.column: action.row for action in self.actions if action.kind is ActionKind.DELISTING}
        close = {name: chance.uniform(20, 160) for name in SYMBOLS}
        volume = {name: 2_500.0 if name == "FXTR" else 400_000.0 for name in SYMBOLS}
        parts = {name: chance.choice((-2, 3, 5)) for name in SYMBOLS}
        for row, day in enumerate(self.days):
            for action in self.actions:
                if (action.row, action.kind) == (row, ActionKind.SPLIT):
                    close[SYMBOLS[action.column]] /= action.value
            for column, name in enumerate(SYMBOLS):
                opened = close[name] * (1 + chance.gauss(0, 0.006))
                close[name] = opened * (1 + chance.gauss(0, 0.014))
                prices = [round(price, 2) for price in (opened, max(opened, close[name]) * 1.003,
                          min(opened, close[name]) * 0.997, close[name])]  # fmt: skip
                if row >= self.ended.get(column, count + 2) or (row > 1 and chance.random() < 0.03):
                    continue
                bar = SessionBar(*map(D, prices), D(int(volume[name] * chance.uniform(0.6, 1.4))))
                self.rows[name][row] = bar
                self.data.sessions.setdefault(day, {})[name] = bar
            for name in chance.sample(SYMBOLS, 3):
                parts[name] = chance.choice((-6, -3, 0, 2, 5, 8))
            gone = {SYMBOLS[column] for column, at in self.ended.items() if row > at}
            kept = {name: abs(part) if row % 4 == 3 else part for name, part in parts.items() if name not in gone}
            gross = sum(map(abs, kept.values())) or 1
            self.weights[row] = {name: D(round(part / gross, 5)) for name, part in kept.items()}
        self.data.events.extend(self._session_action(action) for action in self.actions)

    def _actions(self, chance, count):
        """In each fifty sessions two splits and two dividends; one delisting in all."""
        found = [Action(ActionKind.DELISTING, int(count * 0.8), SYMBOLS.index("HOTL"), float("nan"))]
        for first in range(5, count, 25):
            found.append(Action(ActionKind.SPLIT, first, chance.randrange(5), chance.choice((2.0, 3.0, 0.5))))
            found.append(Action(ActionKind.DIVIDEND, first + 4, chance.randrange(5), round(chance.uniform(0.1, 1), 2)))
        return tuple(sorted((one for one in found if one.row <= count), key=lambda one: one.row))

    def _session_action(self, action):
        symbol, day = SYMBOLS[action.column], self.days[action.row]
        if action.kind is ActionKind.SPLIT:
            return SessionAction(symbol, day, "split", ratio=D(action.value))
        if action.kind is ActionKind.DIVIDEND:
            return SessionAction(symbol, day, "dividend", amount=D(action.value))
        return SessionAction(symbol, day, "delisting", amount=self._close(symbol, action.row - 1)[1])

    def splits(self, symbol, after, to):
        """Ratios with an ex session after `after`, up to `to`."""
        of = [one for one in self.actions if one.kind is ActionKind.SPLIT and SYMBOLS[one.column] == symbol]
        return [one.value for one in of if after < one.row <= to]

    def _close(self, symbol, through):
        """Row and price of the last close, in the units of `through`."""
        row = max((row for row in self.rows[symbol] if row <= through), default=None)
        if row is None:
            return None, None
        price = float(self.rows[symbol][row].close)
        for ratio in self.splits(symbol, row, through):
            price /= ratio
        return row, D(price)

    def closes(self, through):
        found = {name: self._close(name, through) for name in SYMBOLS}
        return {name: (row, price) for name, (row, price) in found.items() if row is not None}

    def facts(self, row):
        """What a plan for the session knows beside closes."""
        known = self.closes(row - 1)
        previous, volumes = {}, {}
        for name, (last, _) in known.items():
            past = sorted((at for at in self.rows[name] if at <= last), reverse=True)
            if len(past) > 1:
                price = float(self.rows[name][past[1]].close) / float(np.prod(self.splits(name, past[1], last) or [1]))
                previous[name] = D(price).quantize(Decimal("0.000001"))
            if len(past) >= 5:
                shares = [float(self.rows[name][at].volume) * float(np.prod(self.splits(name, at, last) or [1]))
                          for at in past[:20]]  # fmt: skip
                volumes[name] = Decimal(int(median(shares)))
        kinds = [one for one in self.actions if one.kind is not ActionKind.DIVIDEND]
        acting = {SYMBOLS[one.column]: "action" for one in kinds if known[SYMBOLS[one.column]][0] < one.row <= row}
        stale = frozenset(name for name, (last, _) in known.items() if row - 1 - last > 1)
        return {"previous_prices": previous, "adv": volumes, "action_symbols": acting, "stale_symbols": stale}

    def history(self):
        columns = {}
        for field in ("open", "high", "low", "close", "volume"):
            values = np.full((len(self.days), len(SYMBOLS)), np.nan)
            for column, name in enumerate(SYMBOLS):
                for row, bar in self.rows[name].items():
                    values[row, column] = float(getattr(bar, field))
            columns[field] = values
        return History(
            sessions=self.days, instruments=tuple(self.instruments.values()), currency="USD", adjustment="raw",
            actions=self.actions, **columns,
        )  # fmt: skip


def traded(market, ledger, account):
    """Every session planned, executed and followed; the run as the ledger tells it."""
    now = [datetime(2022, 1, 3, 13, 0, tzinfo=UTC)]
    broker = paper.PaperBroker(ledger, "paper", account, CALENDAR, market.data, market.instruments, lambda: now[0])
    own = settings(
        starting_cash=DEPOSIT, expected_broker="paper", expected_account_id="paper",
        increments=dict.fromkeys(SYMBOLS, Decimal("0.0001")),
    )  # fmt: skip
    parts = {"ledger": ledger, "broker": broker, "account": "paper", "portfolio": "main", "holder": "t",
             "clock": lambda: now[0], "settings": own}  # fmt: skip
    orders, days = [], [_day(market, ledger, 0)]
    for row, day in list(enumerate(market.days))[1:]:
        now[0] = datetime(day.year, day.month, day.day, 13, 0, tzinfo=UTC)
        follow(market.days[row - 1], **parts)
        plan = make_plan(_inputs(market, ledger, row), RULES, broker.capabilities)
        execute(plan, **parts)
        follow(day, **parts)
        orders += _orders(ledger, day, {order.client_order_id: order.reason.value for order in plan.orders})
        days.append(_day(market, ledger, row))
    return Told(tuple(orders), tuple(days))


def _inputs(market, ledger, row):
    before = _day(market, ledger, row - 1)
    known = market.closes(row - 1)
    return PlanInputs(
        portfolio="main", account="paper", session=market.days[row], batch=1, currency="USD", equity=before.equity,
        targets=tuple(Target((n,), n, f"{n}.XNYS", weight) for n, weight in market.weights[row].items()),
        holdings=before.holdings, cash=before.cash, instruments=market.instruments,
        prices={name: ReferencePrice(price, market.days[last], "") for name, (last, price) in known.items()},
        priced_on=market.days[row - 1], adjustment="raw", **market.facts(row),
    )  # fmt: skip


def _day(market, ledger, row):
    day = market.days[row]
    with ledger.read() as connection:
        holdings = owned(connection, "paper", "main", through=day)
        cash = DEPOSIT + cash_flow(connection, "paper", "main", through=day)
    closes = {name: price for name, (_, price) in market.closes(row).items()}
    value = sum((qty * closes[name] for name, qty in holdings.items()), Decimal(0))
    return ToldDay(day, cash, cash + value, holdings, closes)


def _orders(ledger, day, reasons):
    with ledger.read() as connection:
        intents = intents_of_session(connection, "paper", day)
        fills = fills_for_orders(connection, "paper", [intent.client_order_id for intent in intents])
    return [
        ToldOrder(
            Key(day, row.symbol, row.side, row.leg, row.slice), row.phase, reasons[row.client_order_id], row.price_used,
            row.planned_qty, row.final_qty, row.state.value,
            tuple(Deal(fill.qty, fill.price, fill.fee) for fill in fills.get(row.client_order_id, ())),
        )
        for row in intents
    ]  # fmt: skip


def test_the_backtest_gives_every_order_of_the_ledger(tmp_path, monkeypatch, record_property):
    monkeypatch.setenv(compiled.SWITCH, "python")
    monkeypatch.setattr(compiled, "_loaded", {})
    market = Market(SEED, COUNT)
    exchange = PaperExchangeRules(half_spread_bps=2.5, impact_bps=20.0, max_participation=0.05)
    account = PaperAccount(broker="paper", initial_cash=float(DEPOSIT), exchange=exchange)
    ledger = fresh_ledger(tmp_path)
    recorded = traded(market, ledger, account)
    ledger.close()
    rows = np.arange(1, len(market.days))
    weights = np.array([[float(market.weights[row].get(name, 0)) for name in SYMBOLS] for row in rows])
    choices = VenueChoices(DEPOSIT, venue=paper.exchange_rules(account), first=1)
    history = market.history()
    capabilities = paper.paper_capabilities(account)
    run = run_at_venue(history, Schedule(rows, weights), RULES, capabilities, choices)
    closes = [VenueMarket(history, 1).closes(row) for row in rows.tolist()]
    found = compare(recorded, told_of(run, closes, recorded.days[0]))
    record_property("parity", found.sentence)
    print(found.sentence)  # noqa: T201
    assert [item.sentence for item in found.differences] == []
    assert (found.sessions, found.differing_orders) == (COUNT, 0)
    ends, reasons = (Counter(getattr(order, name) for order in recorded.orders) for name in ("state", "reason"))
    assert min(ends[word] for word in ("filled", "expired")) > 0
    assert min(reasons[word] for word in ("rebalance", "open", "liquidate", "cross_zero")) > 0
    assert any(order.key.slice > 1 for order in recorded.orders)
    assert any(len(order.deals) > 1 for order in recorded.orders)
    assert any(order.final is not None and order.final < order.planned for order in recorded.orders)
