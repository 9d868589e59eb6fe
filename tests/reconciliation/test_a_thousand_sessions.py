"""One account through a thousand sessions at the embedded exchange, while lines and processes fail at random.

Every session both portfolios are planned by the planner on what the ledger says they hold, executed and followed
under faults and deaths, and looked at once more in calm. Then ledger and exchange agree, to the share and to the
cent, and the reconciliation finds nothing. `SCIZOR_SEED` replays a history; a failure names its seed and session.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.rehearsal import AFTER, BEFORE, DOOR, RehearsalBroker
from scizor_dagster.config import PaperAccount, PaperExchangeRules
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.execution.executor import execute, follow
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import cash_flow, foreign, owned, owned_by_others
from scizor_dagster.ledger.intents import frozen_symbols
from scizor_dagster.ledger.rows import batches_of, open_batches
from scizor_dagster.paper_exchange.faults import FaultKind, FaultScript
from scizor_dagster.planning.inputs import PlanInputs, Target
from scizor_dagster.planning.model import Plan
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.reconciliation.gather import read_broker, read_ledger
from scizor_dagster.reconciliation.model import ReconciliationState, When
from scizor_dagster.reconciliation.reconcile import reconcile
from scizor_dagster.sessions import TradingCalendar
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, MortalLedger
from tests.execution.scenario import settings
from tests.ledgers import sqlite_ledger
from tests.reconciliation.random_market import RandomMarket

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
SESSIONS = 1_000 if TORTURE else 125
"""`make torture` goes through all of them; the suite through the first ones of the same history."""
SEED = os.environ.get("SCIZOR_SEED", "7")
CALENDAR = TradingCalendar("XNYS")
FIRST, LAST = date(2020, 1, 2), date(2023, 12, 29)
NAMES = ("main", "other")
DEPOSIT = Decimal(200_000)
ACCOUNT = "paper"
READS = ("find", "orders", "fills", "activities", "positions", "account")
CALM = 8
"""How often both portfolios are followed at most: runs that do not know the other's rules wait for its own run."""
GOOD = (ReconciliationState.RECONCILED, ReconciliationState.NOTHING_TO_DO, ReconciliationState.NO_PLAN)


class Years:
    """The account, its market and everything that is drawn. Each run is a process of its own, which may die."""

    def __init__(self, url: str, seed: str) -> None:
        self.ledger = MortalLedger.open(url, synchronous="OFF")
        self.chance = random.Random(f"faults {seed}")
        self.market = RandomMarket(f"market {seed}")
        self.now = datetime(2020, 1, 2, 14, 0, tzinfo=UTC)
        self.counts: Counter[str] = Counter()
        self.rules = {
            "main": PlanningRules(min_cash_buffer_pct=Decimal("0.01"), max_notional_per_order=Decimal(30_000)),
            "other": PlanningRules(min_cash_buffer_pct=Decimal("0.02"), allow_short=True, mode_on_buy="bracket"),
        }

    def broker(self) -> PaperBroker:
        account = PaperAccount(broker="paper", initial_cash=float(DEPOSIT), exchange=PaperExchangeRules())
        parts = (CALENDAR, self.market, self.market.instruments, lambda: self.now)
        return PaperBroker(self.ledger, ACCOUNT, account, *parts)

    def session(self, day: date, before: date | None) -> None:
        """One session from its plans to its reconciliation."""
        chance = self.chance
        self.now = datetime(day.year, day.month, day.day, 13, 0, tzinfo=UTC)
        if before is not None:
            for name in NAMES:
                self.calmly(lambda parts: follow(before, **parts), name)
        acting = {row.symbol: f"{row.kind} on {day}" for row in self.market.open(day)}
        plans = {name: self.plan(name, day, acting) for name in NAMES}
        if chance.random() < 0.3:
            self.market.reveal(day)
        for _ in range(chance.randint(2, 4)):
            name = chance.choice(NAMES)
            self.under_faults(lambda parts, plan=plans[name]: execute(plan, **parts), name)
        self.market.reveal(day)
        for _ in range(chance.randint(0, 2)):
            self.under_faults(lambda parts: follow(day, **parts), chance.choice(NAMES))
        for name in NAMES:
            self.calmly(lambda parts, plan=plans[name]: execute(plan, **parts), name)
        for _ in range(CALM):
            for name in NAMES:
                self.calmly(lambda parts: follow(day, **parts), name)
            with self.ledger.read() as connection:
                if not any(row.session == day for row in open_batches(connection, ACCOUNT)):
                    break
        self.compare(day, plans)

    def quiet_session(self, day: date) -> None:
        """One session in which nothing fails: its plans, its orders to their end, its reconciliation."""
        self.now = datetime(day.year, day.month, day.day, 13, 0, tzinfo=UTC)
        acting = {row.symbol: f"{row.kind} on {day}" for row in self.market.open(day)}
        plans = {name: self.plan(name, day, acting) for name in NAMES}
        self.market.reveal(day)
        for name in NAMES:
            self.calmly(lambda parts, plan=plans[name]: execute(plan, **parts), name)
        self.compare(day, plans)

    def plan(self, name: str, day: date, acting: dict[str, str]) -> Plan:
        with self.ledger.read() as connection:
            holdings = owned(connection, ACCOUNT, name, before=day)
            cash = DEPOSIT / 2 + cash_flow(connection, ACCOUNT, name, before=day)
            frozen = frozen_symbols(connection, ACCOUNT)
            siblings = owned_by_others(connection, ACCOUNT, name)
        prices = self.market.prices()
        value = sum((qty * prices[symbol].price for symbol, qty in holdings.items() if symbol in prices), Decimal(0))
        weights = {symbol: self.chance.randint(0, 100) for symbol in sorted(prices) if self.chance.random() < 0.7}
        total = sum(weights.values()) or 1
        short = name == "other" and self.chance.random() < 0.3
        inputs = PlanInputs(
            portfolio=name,
            account=ACCOUNT,
            session=day,
            batch=1,
            currency="USD",
            equity=cash + value,
            targets=tuple(
                Target((symbol,), symbol, f"{symbol}.XNYS", self._weight(weight, total, short and index == 0))
                for index, (symbol, weight) in enumerate(weights.items())
            ),
            holdings=holdings,
            prices=prices,
            instruments=self.market.instruments,
            priced_on=max(price.session for price in prices.values() if price.session),
            adjustment="raw",
            frozen_symbols=frozen,
            action_symbols=acting,
            cash=cash,
            siblings=siblings,
        )
        return make_plan(inputs, self.rules[name], self.broker().capabilities)

    @staticmethod
    def _weight(weight: int, total: int, short: bool) -> Decimal:
        share = (Decimal(weight) / total * Decimal("0.95")).quantize(Decimal("0.000001"))
        return -share / 2 if short else share

    def under_faults(self, work: Callable[[dict[str, Any]], Any], name: str) -> None:
        """One process whose line fails now and then, and which may die."""
        chance = self.chance
        words = [*sorted(BEFORE | AFTER), FaultKind.VISIBILITY_LAG]
        rules = [{"door": DOOR, "call": "submit", "probability": 0.15, "kind": chance.choice(words)}]
        failing = chance.sample(READS, chance.choice([0, 1, 1, 2]))
        rules += [
            {"door": DOOR, "call": call, "probability": 0.2, "kind": chance.choice(sorted(BEFORE))} for call in failing
        ]
        if chance.random() < 0.2:
            kind = chance.choice([FaultKind.STALE_POSITIONS, FaultKind.EMPTY_POSITIONS])
            rules.append({"door": DOOR, "call": "positions", "probability": 0.5, "kind": kind})
        script = FaultScript.of(*rules, seed=chance.randrange(2**32))
        switch = KillSwitch(chance.choice([0, chance.randint(1, 120)]))
        self.ledger.switch = switch
        broker = MortalBroker(RehearsalBroker(self.broker(), script, ACCOUNT), switch)
        self.counts["runs under faults"] += 1
        try:
            with suppress(BrokerUnavailable):
                work(self._parts(name, broker))
        except Killed:
            self.counts["deaths"] += 1
            self.ledger.close()
        self.ledger.switch = KillSwitch()

    def calmly(self, work: Callable[[dict[str, Any]], Any], name: str) -> None:
        work(self._parts(name, self.broker()))

    def _parts(self, name: str, broker: Any) -> dict[str, Any]:
        self.now += timedelta(seconds=20)
        own = settings(starting_cash=DEPOSIT / 2, expected_broker="paper", expected_account_id="paper")
        common = {"account": ACCOUNT, "portfolio": name, "holder": "t", "clock": lambda: self.now}
        beside = dict.fromkeys(NAMES, own) if self.chance.random() < 0.7 else None
        return {**common, "ledger": self.ledger, "broker": broker, "settings": own, "siblings": beside}

    def compare(self, day: date, plans: dict[str, Plan]) -> None:
        """Ledger against exchange, to the share and to the cent; and what the reconciliation says of it."""
        broker = self.broker()
        view = read_broker(broker, day)
        with self.ledger.read() as connection:
            assert foreign(connection, ACCOUNT, view.positions) == {}
            flows = sum((cash_flow(connection, ACCOUNT, name) for name in NAMES), Decimal(0))
            assert abs(DEPOSIT + flows - view.account.cash) < Decimal("0.000001"), (flows, view.account.cash)
            for name in NAMES:
                parts = {"account": ACCOUNT, "portfolio": name, "session": day}
                ledger = read_ledger(connection, view, **parts, deposit=DEPOSIT)
                admitted = [plans[name]] if batches_of(connection, ACCOUNT, name, day) else []
                closes = {symbol: Close(price, day) for symbol, price in self.market.closes.items()}
                report = reconcile(admitted, ledger, view, **parts, closes=closes, when=When())
                assert report.state in GOOD, report.summary
                self.counts["orders"] += len(report.order_rows)
                self.counts["orders filled"] += report.filled_count
                self.counts["plans admitted"] += len(admitted)
                self.counts.update(f"orders {row.state}" for row in report.order_rows)


@pytest.mark.timeout(4 * 3_600 if TORTURE else 900)
def test_after_every_session_of_random_faults_ledger_and_exchange_agree_to_the_share_and_the_cent(
    tmp_path: Path, record_property: Any
) -> None:
    years = Years(sqlite_ledger(tmp_path), SEED)
    days = CALENDAR.sessions(FIRST, LAST)[:SESSIONS]
    taken: list[float] = []
    before = None
    for number, day in enumerate(days, start=1):
        start = time.process_time()
        try:
            years.session(day, before)
        except Exception as error:
            error.add_note(f"Replay: SCIZOR_SEED={SEED}, session {number} of {len(days)}, {day}.")
            raise
        taken.append(time.process_time() - start)
        before = day
    with years.ledger.read() as connection:
        assert verify_chain(connection) == []
    years.ledger.close()
    part = max(len(days) // 10, 1)
    record_property("sessions", len(days))
    record_property("ms per session, first tenth", round(sum(taken[:part]) / part * 1e3))
    record_property("ms per session, last tenth", round(sum(taken[-part:]) / part * 1e3))
    for name, count in sorted(years.counts.items()):
        record_property(name, count)
    assert years.counts["deaths"] > len(days) / 2
    assert years.counts["orders filled"] > len(days)
