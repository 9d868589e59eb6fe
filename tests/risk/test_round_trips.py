"""Round trips that are read from where they began are those of the whole history."""

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerFill, Side
from scizor_dagster.config import Cooldown, MaxDrawdown, StoplossGuard
from scizor_dagster.ledger import checkpoints
from scizor_dagster.ledger.activities import record_activity
from scizor_dagster.ledger.adoptions import adopt
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.positions import store_positions
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.protections import Exit, due_locks, sessions_back
from scizor_dagster.risk.round_trips import exits_since
from tests.execution.scenario import START, D
from tests.ledgers import sqlite_ledger

FIRST = date(2026, 1, 1)
SYMBOLS = ("AAA", "BBB", "CCC")
RULES = [
    Cooldown(kind="cooldown", sessions=4),
    StoplossGuard(kind="stoploss_guard", count=2, lookback_sessions=6, lock_sessions=3),
    MaxDrawdown(kind="max_drawdown", threshold=0.05, lookback_sessions=7, lock_sessions=2),
]


def live(ledger: Ledger, seed: int, days: int) -> None:
    """Small trades of two portfolios that close, cross zero and open again, with splits, delistings and adoptions."""
    chance = random.Random(seed)
    net: dict[str, Decimal] = {}
    for number in range(days):
        day = FIRST + timedelta(days=number)
        with ledger.transaction() as connection:
            for place in range(chance.randint(0, 5)):
                name, symbol = f"f{number}-{place}", chance.choice(SYMBOLS)
                # Back to where it came from, as a rule: trips end.
                side = Side.SELL if chance.random() < (0.75 if net.get(symbol, 0) > 0 else 0.25) else Side.BUY
                said = BrokerFill(
                    name, name, symbol, side, D(chance.choice([1, 1, 2])), D(chance.randint(5, 15)),
                    D("0.1"), day, START + timedelta(seconds=place),
                )  # fmt: skip
                portfolio = chance.choice(["main", "main", "other", None])
                if portfolio == "main":
                    net[symbol] = net.get(symbol, D(0)) + side.sign * said.qty
                record_fill(connection, "paper", FillNews(said, None), portfolio=portfolio, order_id=None, now=START)
            _happen(connection, chance, day)
            store_positions(connection, "paper", now=START)


def _happen(connection: sa.Connection, chance: random.Random, day: date) -> None:
    word, symbol = chance.choice(["split", "delisting", "adoption", *["nothing"] * 12]), chance.choice(SYMBOLS)
    if word == "adoption":
        adopt(
            connection, "paper", "main", symbol, D(chance.choice([-1, 2])), price=D(9), session=day, actor="ann",
            now=START,
        )  # fmt: skip
    elif word != "nothing":
        factor, amount = (D(2), D(0)) if word == "split" else (D(0), D(20))
        said = BrokerActivity(f"{word} {day}", word, day, symbol, amount, factor)
        record_activity(connection, "paper", said, now=START)


def trade(connection: sa.Connection, day: int, symbol: str, qty: str, price: str) -> None:
    """A fill of `main`, signed; it costs nothing."""
    name, side = f"{symbol} {day} {qty}", Side.BUY if D(qty) > 0 else Side.SELL
    session = FIRST + timedelta(days=day)
    said = BrokerFill(name, name, symbol, side, abs(D(qty)), D(price), D(0), session, START)
    record_fill(connection, "paper", FillNews(said, None), portfolio="main", order_id=None, now=START)


def test_a_trip_that_began_before_the_session_asked_for_counts_from_there_with_all_that_happened_on_the_way(
    ledger: Ledger,
) -> None:
    with ledger.transaction() as connection:
        trade(connection, 0, "AAA", "10", "6")
        split = BrokerActivity("s", "split", FIRST + timedelta(days=2), "AAA", D(0), D(2))
        record_activity(connection, "paper", split, now=START)
        # Whatever else a broker states beside a dividend: it multiplies nothing.
        stated = BrokerActivity("d", "dividend", FIRST + timedelta(days=3), "BBB", D(1), D(3))
        record_activity(connection, "paper", stated, now=START)
        given = FIRST + timedelta(days=2)
        adopt(connection, "paper", "main", "BBB", D(2), price=D(9), session=given, actor="ann", now=START)
        for day, symbol, qty, price in (
            (3, "CCC", "1", "5"), (3, "CCC", "-1", "4"), (4, "BBB", "-2", "12"), (4, "AAA", "-20", "2.5"),
        ):  # fmt: skip
            trade(connection, day, symbol, qty, price)
    ends = [("AAA", D(-10)), ("BBB", D(6)), ("CCC", D(-1))]
    with ledger.read() as connection:
        for since in (0, 3):
            found = exits_since(connection, "paper", "main", FIRST + timedelta(days=since))
            assert sorted((one.symbol, one.result) for one in found) == ends


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), days=st.integers(3, 40), spacing=st.integers(1, 15))
def test_trips_that_ended_since_a_session_are_the_last_ones_of_the_whole_history(
    tmp_path_factory: pytest.TempPathFactory, seed: int, days: int, spacing: int
) -> None:
    ledger = Ledger.open(sqlite_ledger(tmp_path_factory.mktemp("trips")), synchronous="OFF")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "SPACING", spacing)
        live(ledger, seed, days)
    with ledger.read() as connection:
        everything = exits_since(connection, "paper", "main", FIRST)
        for back in range(0, days, 4):
            since = FIRST + timedelta(days=back)
            found = exits_since(connection, "paper", "main", since)
            key = lambda one: (one.session, one.symbol)  # noqa: E731
            assert sorted(found, key=key) == sorted((one for one in everything if one.session >= since), key=key)
    ledger.close()


def test_a_long_history_of_trips_is_read_from_where_those_of_late_began(tmp_path: Any, record_property: Any) -> None:
    ledger = Ledger.open(sqlite_ledger(tmp_path), synchronous="OFF")
    live(ledger, 5, 300)
    since = FIRST + timedelta(days=290)
    with ledger.read() as connection:
        held = owned(connection, "paper", "main", before=since)
        begin = checkpoints.held_since(connection, "paper", "main", held, since)
        everything = exits_since(connection, "paper", "main", FIRST)
        found = exits_since(connection, "paper", "main", since)
    ledger.close()
    record_property("days read", (since - begin).days)
    record_property("trips", len(everything))
    assert held
    assert begin > FIRST + timedelta(days=100)
    assert [one for one in everything if one.session >= since] == found != []


@given(
    results=st.lists(st.tuples(st.integers(0, 59), st.integers(-3, 1)), max_size=25),
    wealth=st.lists(st.integers(80, 120), min_size=60, max_size=60),
)
def test_nothing_older_than_the_sessions_that_rules_look_back_is_a_reason_for_a_lock(
    results: list[tuple[int, int]], wealth: list[int]
) -> None:
    days = [FIRST + timedelta(days=number) for number in range(90)]
    exits = [Exit(days[day], "AAA", Decimal(result)) for day, result in sorted(results)]
    equity = {days[number]: Decimal(value) for number, value in enumerate(wealth)}
    today = 60
    first = days[today - sessions_back(RULES)]
    late = [one for one in exits if one.session >= first]
    late_equity = {day: value for day, value in equity.items() if day >= first}
    found = due_locks(RULES, late, late_equity, days[days.index(first) :], days[today])
    assert found == due_locks(RULES, exits, equity, days, days[today])
