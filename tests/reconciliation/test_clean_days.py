"""A year in which nothing goes wrong raises nothing: both passes of every day agree, and every day is closed.

Two portfolios trade at the embedded exchange through splits, dividends, halts and delistings; brackets, shorts and
fractions among them. `make torture` goes through all 250 days, the suite through the first ones of the same history,
and through 250 days of a model that needs no stores.
"""

import os
import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.brokers.protocol import BrokerActivity, BrokerPosition, OrderStatus, Side
from scizor_dagster.ledger.breaks import open_breaks
from scizor_dagster.ledger.days import day_of
from scizor_dagster.ledger.rows import ActivityRow, batches_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.planning.model import PlannedOrder
from scizor_dagster.reconciliation.gather import read_broker, read_ledger
from scizor_dagster.reconciliation.looking import position_differences
from scizor_dagster.reconciliation.model import Measures, Pass, When
from scizor_dagster.reconciliation.reconcile import reconcile
from scizor_dagster.reconciliation.records import record_report
from tests.ledgers import sqlite_ledger
from tests.reconciliation.test_a_thousand_sessions import ACCOUNT, CALENDAR, DEPOSIT, FIRST, LAST, NAMES, Years
from tests.reconciliation.world import (
    AT,
    MONEY,
    World,
    batch,
    broker_fill,
    intent,
    ledger_fill,
    order,
    plan_of,
    planned,
)

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
DAYS = 250 if TORTURE else 25
SEED = os.environ.get("SCIZOR_SEED", "7")
SYMBOLS = tuple(f"S{number}" for number in range(8))
ENDS: tuple[tuple[IntentState, OrderStatus | None], ...] = (
    (IntentState.FILLED, OrderStatus.FILLED),
    (IntentState.CANCELED, OrderStatus.CANCELED),
    (IntentState.EXPIRED, OrderStatus.EXPIRED),
    (IntentState.REJECTED, OrderStatus.REJECTED),
    (IntentState.BLOCKED, None),
)
FILLING = (IntentState.FILLED, IntentState.CANCELED, IntentState.EXPIRED)


class CleanYears(Years):
    """Sessions without faults, each reconciled twice."""

    def compare(self, day: Any, plans: Any) -> None:
        view = read_broker(self.broker(), day)
        closes = {symbol: Close(price, day) for symbol, price in self.market.closes.items()}
        first_at = None
        for which in Pass:
            self.now += timedelta(hours=8)
            for name in NAMES:
                parts = {"account": ACCOUNT, "portfolio": name, "session": day}
                with self.ledger.transaction() as connection:
                    sides = read_ledger(connection, view, **parts, deposit=DEPOSIT), view
                    admitted = [plans[name]] if batches_of(connection, ACCOUNT, name, day) else []
                    when = When(which=which, first_at=first_at)
                    report = reconcile(admitted, *sides, **parts, closes=closes, when=when, measures=Measures())
                    assert report.break_rows == (), report.summary
                    recorded = record_report(connection, report, now=self.now)
                self.counts["orders filled"] += report.filled_count
                self.counts[f"{which} passes"] += 1
                assert (recorded.opened, recorded.cleared) == ((), ())
            first_at = self.now
        with self.ledger.read() as connection:
            assert open_breaks(connection, ACCOUNT) == []
            assert position_differences(connection, ACCOUNT, view.positions, closes, Measures()) == []
            days = [day_of(connection, ACCOUNT, name, day) for name in NAMES]
        self.counts["days closed"] += sum(row is not None and row.closed_at is not None for row in days)


@pytest.mark.timeout(3_600)
def test_clean_days_raise_nothing_and_are_all_closed(tmp_path: Path, record_property: Any) -> None:
    years = CleanYears(sqlite_ledger(tmp_path), SEED)
    for day in CALENDAR.sessions(FIRST, LAST)[:DAYS]:
        years.quiet_session(day)
    years.ledger.close()
    for name, count in sorted(years.counts.items()):
        record_property(name, count)
    assert years.counts["days closed"] == DAYS * len(NAMES)
    assert years.counts["orders filled"] > DAYS


class ModelDays:
    """The same without stores: a session in which each side says the same, drawn from a seed."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(f"clean days {seed}")
        self.owned: dict[str, Decimal] = {}
        self.cash = Decimal(100_000)
        self.orders = 0

    def world(self, day: date, which: Pass) -> World:
        """Orders that filled, filled in part, ended unfilled, were refused or stopped; splits and payments."""
        world = World(batches=[batch(session=day)], intents=[], fills=[], orders=[], broker_fills=[], which=which)
        lines = [self._order(world, f"{symbol}-{day}", symbol, day) for symbol in SYMBOLS if self.chance.random() < 0.8]
        world.plan = replace(plan_of(), orders=tuple(lines))
        for number, symbol in enumerate(sorted(self.owned)):
            if self.chance.random() < 0.1:
                self._paid(world, f"{day}-{number}", symbol, day)
        world.owned = {symbol: qty for symbol, qty in self.owned.items() if qty}
        world.positions = [BrokerPosition(symbol, qty, Decimal(100)) for symbol, qty in world.owned.items()]
        world.cash, world.account = self.cash, replace(MONEY, cash=self.cash)
        world.closes = {symbol: Close(Decimal(100), day) for symbol in SYMBOLS}
        return world

    def _order(self, world: World, name: str, symbol: str, day: date) -> PlannedOrder:
        self.orders += 1
        side, qty = self.chance.choice([*Side]), Decimal(self.chance.randint(1, 5000)) / 100
        price, share = Decimal(self.chance.randint(500, 20_000)) / 100, self.chance.choice([0, 0, 1, 2, 2, 2])
        state, status = ENDS[self.chance.randrange(len(ENDS))] if share < 2 else ENDS[0]
        filled = (qty * share / 2).quantize(Decimal("0.0001")) if state in FILLING else Decimal(0)
        state, status = (state, status) if share == 2 or state is not IntentState.FILLED else ENDS[1]
        common: dict[str, Any] = {"client_order_id": name, "symbol": symbol, "side": side}
        at_broker = state not in (IntentState.BLOCKED, IntentState.REJECTED)
        number = f"O-{name}" if at_broker else None
        sizes = {"planned_qty": qty, "final_qty": qty, "filled_qty": filled, "broker_order_id": number}
        world.intents.append(intent(**common, **sizes, state=state, session=day))
        if status is not None:
            world.orders.append(order(**common, broker_order_id=f"O-{name}", qty=qty, filled_qty=filled, status=status))
        if filled:
            said = {**common, "fill_id": f"F-{name}", "qty": filled, "price": price, "session": day}
            world.fills.append(ledger_fill(**said))
            world.broker_fills.append(broker_fill(**said))
            self.cash += world.fills[-1].cash
            self.owned[symbol] = self.owned.get(symbol, Decimal(0)) + filled * side.sign
        return planned(**common, qty=qty)

    def _paid(self, world: World, name: str, symbol: str, day: date) -> None:
        kind = self.chance.choice(["dividend", "fee", "interest", "split"])
        amount, factor = Decimal(self.chance.randint(-500, 500)) / 100, None
        if kind == "split":
            amount, factor = Decimal(0), Decimal(2)
            self.owned[symbol] *= factor
        self.cash += amount
        world.broker_activities.append(BrokerActivity(name, kind, day, symbol, amount, factor))
        world.activities.append(ActivityRow("paper", name, kind, day, symbol, amount, factor, "", AT))


def test_two_hundred_and_fifty_modelled_days_raise_nothing_in_either_pass(record_property: Any) -> None:
    days = ModelDays(SEED)
    for number, day in enumerate(CALENDAR.sessions(FIRST, LAST)[:250]):
        world = days.world(day, Pass.FIRST)
        for which in Pass:
            report = replace(world, which=which).report()
            assert report.break_rows == (), f"SCIZOR_SEED={SEED}, day {number + 1}: {report.summary}"
    record_property("days", number + 1)
    record_property("orders", days.orders)
    assert days.orders > 1_000
