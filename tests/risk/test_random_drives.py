"""Random sessions of two portfolios on one account, with sends that are lost: what arrives keeps every limit.

Whole drives against the embedded exchange: admission, release, recovery and sending again. The sums are done here a
second time, at the exchange's side of the call, from its own orders alone.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest, Side
from scizor_dagster.errors import BrokerUnavailable, OutcomeUnknown
from scizor_dagster.execution.executor import ExecutionSettings, execute, follow
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan, PlannedOrder
from scizor_dagster.risk.events import risk_events_of
from scizor_dagster.risk.facts import MarketFacts
from scizor_dagster.risk.limits import PreTradeLimits
from scizor_dagster.risk.pre_trade import OPENING
from tests.execution.scenario import MONDAY, PRICES, START, TUESDAY, UNLIMITED, fresh_copy, order, plan_of, settings
from tests.execution.test_paper_rehearsal import PAPER, _data, _paper
from tests.ledgers import sqlite_ledger
from tests.risk.orders import BUY, SELL, SHORT, D

DRIVES = 1_000 if os.environ.get("SCIZOR_TORTURE") else 24
"""`make torture` drives a thousand sessions; the suite a sample of them."""
NAMES = ("main", "other")
HELD = {"AAA": "12", "BBB": "20"}
EQUITY, VOLUME = D(5_000), D(200)
SECTORS = {"AAA": "Energy", "CCC": "Energy"}
RANGES = {
    "max_share_per_order": (5, 30),
    "max_notional_per_order": (150, 1_200),
    "max_adv_share": (0.05, 0.3),
    "price_collar": (0.02, 0.15),
    "max_price_age_sessions": (1, 4),
    "max_price_difference": (0.02, 0.2),
    "max_total_notional": (300, 3_000),
    "max_session_orders": (1, 6),
    "max_session_turnover": (0.1, 1),
    "max_orders_per_minute": (1, 6),
    "max_gross_value": (2_500, 5_000),
    "max_net_value": (2_300, 5_000),
    "max_name_weight": (0.25, 0.6),
    "max_sector_weight": (0.25, 0.7),
    "max_leverage": (0.4, 1.2),
    "max_equity_jump": (0.1, 0.5),
}
"""The range that each limit is drawn from, where it is set at all."""


@dataclass
class Watch:
    """The exchange behind a line that loses orders, answers and look-ups; every order that is sent is judged here.

    What it finds is kept and not raised: to the protocol an exception of `submit` is one more lost answer.
    """

    broker: PaperBroker
    chance: random.Random
    limits: dict[str, PreTradeLimits] = field(default_factory=dict)
    facts: dict[str, MarketFacts] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)
    now: datetime = START
    faulty: bool = True
    arrived: list[OrderRequest] = field(default_factory=list)
    sends: list[datetime] = field(default_factory=list)
    judged: int = 0
    broken: list[tuple[Any, ...]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.broker, name)

    def submit(self, request: OrderRequest) -> BrokerOrder:
        fault = self.chance.choice(["lost", "lost", "answer", None, None]) if self.faulty else None
        self.sends.append(self.now)
        self._judge(request)
        if fault == "lost":
            raise OutcomeUnknown(request.client_order_id, "timeout")
        self.arrived.append(request)
        answer = self.broker.submit(request)
        if fault == "answer":
            raise OutcomeUnknown(request.client_order_id, "504 after accept")
        return answer

    def find(self, client_order_id: str) -> BrokerOrder | None:
        if self.faulty and self.chance.random() < 0.6:
            raise BrokerUnavailable("The line is down.", remedy="Ask again.")
        return self.broker.find(client_order_id)

    def _judge(self, request: OrderRequest) -> None:
        """Hold the order, with all that has arrived before it, against every limit of its portfolio."""
        name = owner(request)
        limits = self.limits[name]
        for limit, value in self._figures(request, name):
            allowed = getattr(limits, limit)
            if allowed is not None and value > allowed:
                self.broken.append((limit, value, allowed, request))
        closed = limits.allowed is not None and request.symbol not in limits.allowed
        if request.intent in OPENING and (closed or request.symbol in limits.restricted):
            self.broken.append(("restricted or not allowed", request))
        self.judged += 1

    def _figures(self, request: OrderRequest, name: str) -> Iterator[tuple[str, Decimal]]:
        price, facts = self.prices[request.client_order_id], self.facts[name]
        known = facts.prices[request.symbol]
        mine = [*(other for other in self.arrived if owner(other) == name), request]
        worth = sum((other.qty * self.prices[other.client_order_id] for other in mine), D(0))
        minute = sum(at > self.now - timedelta(minutes=1) for at in self.sends)
        yield "max_share_per_order", request.qty
        yield "max_notional_per_order", request.qty * price
        yield "price_collar", abs(price - known) / known
        yield "max_price_age_sessions", D(facts.price_ages[request.symbol])
        if request.symbol in facts.second_prices:
            second = facts.second_prices[request.symbol]
            yield "max_price_difference", abs(price - second) / second
        yield "max_total_notional", worth
        yield "max_session_orders", D(len(mine))
        yield "max_orders_per_minute", D(minute)
        yield "max_equity_jump", abs(EQUITY - (facts.equity_before or D(0))) / (facts.equity_before or D(1))
        if request.intent in OPENING:
            side = [*(other for other in self.arrived if other.symbol == request.symbol), request]
            traded = sum((other.qty for other in side if other.side is request.side), D(0))
            yield "max_adv_share", traded / facts.daily_volumes[request.symbol]
            yield "max_session_turnover", worth / EQUITY
            yield from self._book_figures(request, name, facts)

    def _book_figures(self, request: OrderRequest, name: str, facts: MarketFacts) -> Iterator[tuple[str, Decimal]]:
        """The book as the exchange knows it, with what opens filled and what closes as far as it has."""
        held = {symbol: D(qty) for symbol, qty in HELD.items()}
        intents = {other.client_order_id: other for other in self.arrived if owner(other) == name}
        for known in self.broker.orders(TUESDAY):
            mine = intents.get(known.client_order_id)
            if mine is not None:
                whole = mine.intent in OPENING and not known.status.terminal
                moved = (known.qty if whole else known.filled_qty) * known.side.sign
                held[known.symbol] = held.get(known.symbol, D(0)) + moved
        held[request.symbol] = held.get(request.symbol, D(0)) + request.qty * request.side.sign
        values = {symbol: qty * facts.prices[symbol] for symbol, qty in held.items()}
        gross = sum(map(abs, values.values()), D(0))
        yield "max_gross_value", gross
        yield "max_net_value", abs(sum(values.values(), D(0)))
        yield "max_name_weight", abs(values[request.symbol]) / EQUITY
        yield "max_leverage", gross / EQUITY
        if request.symbol in SECTORS:
            yield "max_sector_weight", sum((abs(values.get(one, D(0))) for one in SECTORS), D(0)) / EQUITY


def owner(request: OrderRequest) -> str:
    return request.client_order_id.split("-")[0]


def _limits(chance: random.Random) -> PreTradeLimits:
    chosen = [name for name in RANGES if chance.random() < 0.25]
    numbers = {name: D(chance.uniform(*RANGES[name])).quantize(D("0.0001")) for name in chosen}
    return replace(
        UNLIMITED,
        **numbers,
        restricted=frozenset(chance.sample(sorted(PRICES), chance.choice([0, 0, 1]))),
        allowed=chance.choice([None, None, frozenset({"AAA", "CCC"})]),
    )


def _facts(chance: random.Random) -> MarketFacts:
    return MarketFacts(
        equity=EQUITY,
        equity_before=EQUITY * D(chance.choice(["1", "1", "0.8"])),
        prices=PRICES,
        price_ages={symbol: chance.choice([0, 0, 3]) for symbol in PRICES},
        second_prices={"CCC": PRICES["CCC"] * D(chance.choice(["1", "1.1"]))},
        daily_volumes=dict.fromkeys(PRICES, VOLUME),
        sectors=SECTORS,
    )


def _plan(chance: random.Random, name: str, prices: dict[str, Decimal]) -> Plan:
    orders: list[PlannedOrder] = []
    for number in range(chance.randint(1, 6)):
        intent = chance.choice([BUY, BUY, SHORT, SELL])
        symbol = chance.choice({BUY: ["AAA", "CCC"], SELL: ["AAA", "BBB"], SHORT: ["DDD"]}[intent])
        qty = D(chance.randint(10, 200)) / 10 if intent is not SHORT else D(chance.randint(1, 20))
        price = PRICES[symbol] * (D("1.2") if intent is BUY and chance.random() < 0.1 else 1)
        made = order(
            f"{name}-{number}",
            symbol,
            Side.BUY if intent is BUY else Side.SELL,
            str(qty),
            intent=intent,
            phase=chance.choice([1, 2]) if intent is BUY else 1,
            slice_=number + 1,
            price=price,
        )
        prices[made.client_order_id] = price
        orders.append(made)
    return replace(plan_of(orders, session=TUESDAY, held=HELD, buffer="100"), portfolio=name)


@pytest.fixture(scope="module")
def two_books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both portfolios have bought what they hold on Monday."""
    ledger = Ledger.open(sqlite_ledger(tmp_path_factory.mktemp("two")), synchronous="OFF")
    data = _data()
    tuesday, monday = data.sessions.pop(TUESDAY), data.sessions.pop(MONDAY)
    broker = _paper(ledger, data)
    parts: dict[str, Any] = {"ledger": ledger, "broker": broker, "account": "paper", "holder": "t"}
    own = settings(**PAPER | {"starting_cash": D(5_000)})
    for name in NAMES:
        buys = [order(f"{name}-{symbol}", symbol, Side.BUY, qty, phase=1) for symbol, qty in HELD.items()]
        plan = replace(plan_of(buys), portfolio=name)
        execute(plan, portfolio=name, clock=lambda: START, settings=own, siblings=dict.fromkeys(NAMES, own), **parts)
    data.sessions |= {MONDAY: monday, TUESDAY: tuesday}
    for name in NAMES:
        follow(MONDAY, portfolio=name, clock=lambda: START, settings=own, siblings=dict.fromkeys(NAMES, own), **parts)
    with ledger.read() as connection:
        for name in NAMES:
            assert owned(connection, "paper", name) == {symbol: D(qty) for symbol, qty in HELD.items()}
    ledger.close()
    assert ledger.path is not None
    return ledger.path


def _settings(watch: Watch) -> dict[str, ExecutionSettings]:
    """Settings of both portfolios under new limits and new facts: what holds now decides, not what once passed."""
    watch.limits.update({name: _limits(watch.chance) for name in NAMES})
    watch.facts.update({name: _facts(watch.chance) for name in NAMES})
    cash: dict[str, Any] = PAPER | {"starting_cash": D(5_000)}
    return {
        name: settings(**cash, limits=watch.limits[name], facts=lambda _, name=name: watch.facts[name])
        for name in NAMES
    }


def _drive(seed: int, ledger: Ledger) -> tuple[Watch, int]:
    """One Tuesday of both portfolios; what arrived, and how many verdicts stopped something."""
    chance = random.Random(f"drive {seed}")
    data = _data()
    tuesday = data.sessions.pop(TUESDAY)
    watch = Watch(_paper(ledger, data), chance)
    plans = {name: _plan(chance, name, watch.prices) for name in NAMES}
    known = _settings(watch)
    parts: dict[str, Any] = {"ledger": ledger, "broker": watch, "account": "paper", "holder": "t"}
    for name in NAMES:
        execute(plans[name], portfolio=name, clock=lambda: watch.now, settings=known[name], siblings=known, **parts)
    for number in range(4):
        watch.now += timedelta(seconds=40)
        watch.faulty = number < 2
        if number == 1:
            data.sessions[TUESDAY] = tuesday
        known = _settings(watch)
        for name in NAMES:
            follow(TUESDAY, portfolio=name, clock=lambda: watch.now, settings=known[name], siblings=known, **parts)
    with ledger.read() as connection:
        assert verify_chain(connection) == []
        assert watch.broken == []
        assert watch.judged == len(watch.sends)
        return watch, len(risk_events_of(connection, "paper", TUESDAY))


def test_nothing_that_reaches_the_exchange_in_a_random_session_exceeds_a_limit(
    two_books: Path, tmp_path: Path, record_property: Any
) -> None:
    arrived, again, stopped = 0, 0, 0
    for seed in range(DRIVES):
        ledger = Ledger.open(fresh_copy(two_books, tmp_path / str(seed) / "l.sqlite"), synchronous="OFF")
        watch, stops = _drive(seed, ledger)
        ledger.close()
        arrived += len(watch.arrived)
        again += len(watch.sends) - len(watch.arrived)
        stopped += stops
    record_property("drives", DRIVES)
    record_property("orders that arrived within every limit", arrived)
    record_property("sends that were lost", again)
    record_property("verdicts that stopped or held an order", stopped)
    assert arrived > DRIVES
    assert again > DRIVES / 4
    assert stopped > DRIVES
