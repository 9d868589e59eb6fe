"""A month of two strategies on one paper account: the market, the files, and each run that a schedule would start.

What belongs here: the days as they pass, each through the functions that the assets call. What does not: what goes
wrong at the broker (`month_broker`), and what must be said of it (`test_a_month`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import yaml

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.protocol import Broker
from scizor_dagster.config import PaperAccount
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.flow.closing import SECOND_PASS_BEFORE_OPEN, reconcile_session
from scizor_dagster.flow.costs import measure_costs
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import collect_closed_session, fill_history, refresh_actions, refresh_prices
from scizor_dagster.flow.measuring import measure_session
from scizor_dagster.flow.passes import day_to_close
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.flow.trades import continue_session, trade_session
from scizor_dagster.flow.unfinished import RESTING_EVERY, open_orders
from scizor_dagster.reconciliation.model import Pass, ReconciliationReport
from scizor_dagster.sessions import TradingCalendar
from tests.acceptance.month_broker import TroubledBroker, Troubles
from tests.projects import project_at, small_project, write_universe

XNYS = TradingCalendar("XNYS")
BEGINS = date(2025, 2, 3)
SESSIONS = XNYS.sessions(date(2025, 3, 3), date(2025, 3, 31))
PORTFOLIO, ACCOUNT, MARKET = "main", "paper", "us"
SPLIT, DIVIDEND, RENAME = date(2025, 3, 12), date(2025, 3, 6), date(2025, 3, 25)
LATE, BY_HAND = date(2025, 3, 18), date(2025, 3, 20)
RATIO, PER_SHARE = 4, 0.37
SPLITS, PAYS, OLD, NEW, THIN = "BRVO", "DLTA", "HOTL", "INDI", "FXTR"
STRATEGIES = {"trend": 0.6, "value": 0.4}
ATTEMPTS = 12
QUIET = timedelta(hours=3)
"""How long before the open the account is changed overnight: before anybody looks at it."""
TRADED = tuple(date(2025, 3, day) for day in (3, 6, 11, 12, 18, 20, 24, 25, 27))
"""Sessions with weights, unless others are asked for."""


def symbols_of(more: int) -> tuple[str, ...]:
    named = ("ALFA", SPLITS, "CHRL", PAYS, "ECHO", THIN, "GOLF", OLD)
    return (*named, *(f"X{number:02}" for number in range(more)))


def write_market(folder: Path, symbols: tuple[str, ...], seed: int) -> None:
    """Raw prices as they trade: in new shares from the split on, under the new name from the rename on."""
    chance = random.Random(f"market {seed}")
    rows = ["symbol,session,open,high,low,close,volume"]
    days = XNYS.sessions(BEGINS, SESSIONS[-1])
    for symbol in symbols:
        close = chance.uniform(40, 160)
        volume = 3_000 if symbol == THIN else 900_000
        for day in days:
            if symbol == SPLITS and day == SPLIT:
                close /= RATIO
            opened = close * (1 + chance.gauss(0, 0.004))
            close = opened * (1 + chance.gauss(0, 0.009))
            high, low = max(opened, close) * 1.004, min(opened, close) * 0.996
            name = NEW if symbol == OLD and day >= RENAME else symbol
            prices = ",".join(f"{price:.2f}" for price in (opened, high, low, close))
            rows.append(f"{name},{day},{prices},{int(volume * chance.uniform(0.8, 1.2))}")
    (folder / "prices.csv").write_text("\n".join(rows) + "\n")
    (folder / "actions.csv").write_text(
        "symbol,ex_session,kind,ratio,amount,currency,new_symbol\n"
        f"{SPLITS},{SPLIT},split,{RATIO},,,\n"
        f"{PAYS},{DIVIDEND},dividend,,{PER_SHARE},USD,\n"
        f"{OLD},{RENAME},rename,,,,{NEW}\n"
    )


def write_files(folder: Path, symbols: tuple[str, ...], seed: int, days: Sequence[date]) -> None:
    """Weights of both strategies: two of the names change each time, all of them are held."""
    chance = random.Random(f"weights {seed}")
    for strategy in STRATEGIES:
        held = {symbol: chance.randint(6, 14) for symbol in symbols}
        rows = ["trade_date,asset_id,target_weight"]
        for day in days:
            for symbol in chance.sample(symbols, 2):
                held[symbol] = chance.randint(4, 16)
            if day == LATE:
                held["ECHO"] = 20
            whole = sum(held.values())
            names = {symbol: NEW if symbol == OLD and day >= RENAME else symbol for symbol in held}
            rows += [f"{day},{names[symbol]},{0.9 * part / whole:.4f}" for symbol, part in held.items()]
        (folder / f"{strategy}.csv").write_text("\n".join(rows) + "\n")
    entries = [{"id": name, "path": f"{name}.csv", "format": "csv"} for name in STRATEGIES]
    (folder / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": entries}))


def write_project(folder: Path, seed: int, more: int, days: Sequence[date]) -> None:
    symbols = symbols_of(more)
    chosen = {"mode": "blend", "strategy": None, "strategies": [{"id": k, "capital": v} for k, v in STRATEGIES.items()]}
    provider = {"type": "files", "path": "prices.csv", "format": "csv", "adjustment": "raw", "synthetic": True}
    small_project(
        folder,
        markets={MARKET: {"first_session": BEGINS, "provider": {**provider, "actions": "actions.csv"}}},
        accounts={ACCOUNT: {"exchange": {"faults": "faults.yaml"}}},
        portfolios={PORTFOLIO: {"signals": chosen}},
        planning={"band_relative": 0.1},
        # A renamed holding is a tenth of the equity, and nothing else is to wait for it.
        reconciliation={"max_break_value_pct": 0.5},
    )
    write_market(folder, symbols, seed)
    write_files(folder, symbols, seed, days)
    write_universe(folder / "universe.csv", (*symbols, NEW))
    door = {"door": "in_process"}
    faults = [
        {**door, "call": "submit", "probability": 0.12, "kind": "gateway_timeout_before"},
        {**door, "call": "submit", "probability": 0.12, "kind": "gateway_timeout_after"},
    ]
    (folder / "faults.yaml").write_text(yaml.safe_dump({"seed": seed, "rules": faults}))


class MonthDesk(Desk):
    """The desk, with a broker to which more happens than calls that fail."""

    troubles: Troubles

    def _paper_broker(self, name: str, account: PaperAccount, market: str) -> Broker:
        quiet = account.model_copy(update={"exchange": account.exchange.model_copy(update={"faults": None})})
        exchange = super()._paper_broker(name, quiet, market)
        assert isinstance(exchange, PaperBroker)
        rehearsed = super()._paper_broker(name, account, market)
        return TroubledBroker(rehearsed, exchange, self.troubles, self.machine_clock)


@dataclass
class Month:
    """The days as they pass.

    Attributes:
        traded: Sessions with weights.
        spares: Symbols of which no order is refused.
        overnight: What happens at the broker before a session, before anybody looks.
        mornings: What a person does before the rebalance.
        by_day: What a person does during a session.
        evenings: What a person does after it.
        said: All reconciliations in their order, each with the instant that it was made at.
    """

    folder: Path
    seed: int
    more: int = 0
    traded: Sequence[date] = TRADED
    spares: frozenset[str] = frozenset()
    now: datetime = XNYS.open_at(SESSIONS[0]) - QUIET
    overnight: dict[date, Callable[[], None]] = field(default_factory=dict)
    mornings: dict[date, Callable[[], None]] = field(default_factory=dict)
    by_day: dict[date, Callable[[], None]] = field(default_factory=dict)
    evenings: dict[date, Callable[[], None]] = field(default_factory=dict)
    said: list[tuple[datetime, ReconciliationReport]] = field(default_factory=list)
    broken_off: int = 0

    def __post_init__(self) -> None:
        write_project(self.folder, self.seed, self.more, self.traded)
        self.desk = MonthDesk(project_at(self.folder).settings, lambda: self.now)
        told = XNYS.open_at(XNYS.next_session(LATE)) - QUIET
        paid = XNYS.open_at(XNYS.next_session(DIVIDEND)) - QUIET
        self.troubles = Troubles((LATE, "ECHO", told), (DIVIDEND, PAYS, paid), self.seed, self.spares)
        object.__setattr__(self.desk, "troubles", self.troubles)

    @property
    def broker(self) -> TroubledBroker:
        broker = self.desk.broker(ACCOUNT, MARKET)
        assert isinstance(broker, TroubledBroker)
        return broker

    def begin(self) -> None:
        """Collect the history."""
        self._collected(lambda: fill_history(self.desk, MARKET, (BEGINS.year, BEGINS.year), None))

    def pass_through(self, day: date) -> None:
        """One session: the second pass of the one before, the rebalance, the close and what follows it."""
        self._at(XNYS.open_at(day) - QUIET, self.overnight.get(day))
        self._at(XNYS.open_at(day) - SECOND_PASS_BEFORE_OPEN, lambda: self.close_before(day))
        self._at(XNYS.open_at(day) - timedelta(minutes=45), self.mornings.get(day))
        if day in self.traded:
            self._at(XNYS.open_at(day) - timedelta(minutes=30), lambda: self.patiently(lambda: self.rebalance(day)))
        self._at(XNYS.open_at(day) + timedelta(hours=1), self.by_day.get(day))
        self._at(XNYS.settled_at(day), lambda: self._collected(lambda: self._collect(day)))
        self._at(XNYS.settled_at(day) + timedelta(minutes=30), lambda: self.patiently(lambda: self.follow(day)))
        self._at(XNYS.settled_at(day) + timedelta(hours=2), self.evenings.get(day))

    def _at(self, at: datetime, work: Callable[[], None] | None) -> None:
        self.now = max(at, self.now)
        if work is not None:
            work()

    def _collect(self, day: date) -> None:
        collect_closed_session(self.desk, MARKET, day)

    def _collected(self, bars: Callable[[], object]) -> None:
        refresh_symbols(self.desk, MARKET)
        refresh_actions(self.desk, MARKET)
        bars()
        refresh_prices(self.desk, MARKET)

    def rebalance(self, day: date) -> None:
        scheduled = self.now.isoformat()
        consolidate_session(self.desk, PORTFOLIO, day)
        plan_session(self.desk, PORTFOLIO, day)
        trade_session(self.desk, PORTFOLIO, day, f"rebalance-{day}", scheduled)
        self.reconciled(day)

    def follow(self, day: date) -> None:
        """The run after the close, and once more while orders are left open, as a sensor asks for it."""
        for _ in range(ATTEMPTS):
            continue_session(self.desk, PORTFOLIO, day, f"follow-{day}")
            self.reconciled(day)
            if open_orders(self.desk, PORTFOLIO, day, self.now) is None:
                break
            self.broken_off += 1
            self.now += RESTING_EVERY
        self.measured(day)

    def close_before(self, day: date) -> None:
        before = day_to_close(self.desk, PORTFOLIO, day)
        if before is not None:
            self.patiently(lambda: self.close(before))

    def close(self, day: date) -> None:
        continue_session(self.desk, PORTFOLIO, day, f"close-{day}")
        self.reconciled(day, Pass.SECOND)
        self.measured(day)

    def reconciled(self, day: date, which: Pass | None = None) -> ReconciliationReport:
        report = reconcile_session(self.desk, PORTFOLIO, day, which=which)
        self.said.append((self.now, report))
        return report

    def measured(self, day: date) -> None:
        if measure_session(self.desk, PORTFOLIO, day) is not None:
            measure_costs(self.desk, PORTFOLIO, day)

    def patiently(self, work: Callable[[], None]) -> None:
        """What a schedule or a person starts again where the broker did not answer."""
        for _ in range(ATTEMPTS):
            try:
                return work()
            except BrokerUnavailable:
                self.broken_off += 1
                self.now += timedelta(seconds=30)
        return work()
