"""Laws of the venue over random tickets: nothing is made or lost, and only the venue's instants count.

`SCIZOR_TORTURE=1` tries hundreds of streams for each law.
"""

import os
from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scizor_dagster.ledger.venue_tables import venue_events
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.paper_exchange.venue_orders import Amendment, House, Refused, Status
from tests.paper_exchange.market import DAY1, DAY2, DAY3, bar
from tests.paper_exchange.venues import ALPACA, IBKR, Hall, at, make_venue, ticket

RULES = Rules(half_spread_bps=D(3), impact_bps=D(20), max_participation=D("0.2"), partial_fill_share=D("0.2"), seed=3)
BARS = {
    DAY1: {"AAA": bar(100, 110, 90, 103, 3000), "BBB": bar(50, 51, 45, 46, 900)},
    DAY2: {"AAA": bar(52, 60, 50, 51, 5000), "BBB": bar(46, 48, 40, 47, 700)},
    DAY3: {"AAA": bar(51, 52, 40, 44, 5000), "BBB": bar(47, 47, 47, 47, 0)},
}
ACTIONS = [
    SessionAction("AAA", DAY2, "split", ratio=D(2)),
    SessionAction("BBB", DAY2, "dividend", amount=D("0.37")),
    SessionAction("AAA", DAY3, "dividend", amount=D("0.11")),
]
INSTANTS = [at(clock, day) for day in (DAY1, DAY2, DAY3) for clock in ("09:29", "10:13:37", "15:30", "17:00")]

prices = st.integers(4000, 11500).map(lambda cents: D(cents) / 100)


@st.composite
def tickets(draw: st.DrawFn) -> dict[str, object]:
    """Anything a client may think of; much of it is refused."""
    kind = draw(st.sampled_from(["market", "limit", "stop", "stop_limit", "trailing_stop"]))
    facts: dict[str, object] = {
        "side": draw(st.sampled_from(["buy", "sell"])),
        "symbol": draw(st.sampled_from(["AAA", "BBB"])),
        "qty": draw(st.integers(1, 300)) + (D("0.5") if draw(st.integers(0, 9)) == 0 else 0),
        "kind": kind,
        "duration": draw(st.sampled_from(["day", "gtc", "day", "gtc", "opg", "cls", "ioc", "fok"])),
    }
    if kind in ("limit", "stop_limit"):
        facts["limit"] = draw(prices)
    if kind in ("stop", "stop_limit"):
        facts["stop"] = draw(prices)
    if kind == "trailing_stop":
        facts["trail"] = draw(st.integers(1, 900)) * D("0.01")
    shape = draw(st.sampled_from(["simple", "simple", "bracket", "oco", "oto"]))
    if shape != "simple":
        facts |= {"order_class": shape, "profit": draw(prices), "loss": draw(prices)}
        if shape == "oto":
            del facts["profit"]
    # Families as Interactive Brokers has them: a group, and children of what was sent before.
    if draw(st.integers(0, 3)) == 0:
        facts["group"] = draw(st.sampled_from(["one", "two"]))
    if draw(st.integers(0, 3)) == 0:
        facts["parent"] = f"{draw(st.integers(0, 3))}-{draw(st.integers(0, 2))}"
    return facts


actions = st.tuples(st.sampled_from(["place", "place", "place", "cancel", "change"]), st.integers(0, 99), tickets())
streams = st.lists(st.lists(actions, max_size=3), min_size=len(INSTANTS), max_size=len(INSTANTS))


def act(hall: Hall, account: str, name: str, action: tuple[str, int, dict[str, object]]) -> None:
    """Carry out one action; one that is refused changes nothing."""
    what, number, facts = action
    known = hall.all_orders(account)
    if account == IBKR:
        facts = {key: value for key, value in facts.items() if key not in ("order_class", "profit", "loss")}
    else:
        facts = {key: value for key, value in facts.items() if key not in ("group", "parent")}
    try:
        if what == "place":
            hall.venue.place(account, ticket(id=name, **facts))
        elif known and what == "cancel":
            hall.venue.cancel(account, known[number % len(known)].order_id)
        elif known:
            change = hall.venue.replace if account == ALPACA else hall.venue.amend
            order, limit = known[number % len(known)], facts.get("limit")
            priced = order.ticket.limit_price is not None and isinstance(limit, D)
            wanted = Amendment(limit_price=limit) if priced else Amendment(qty=D(number + 1))
            change(account, order.order_id, wanted)
    except Refused:
        assert hall.all_orders(account) == known


def play(folder: Path, stream, account: str, *, extra: int = 0, restart: int | None = None) -> Hall:
    """Three sessions of the stream; `extra` calls of `run` in between, and a restart after so many instants."""
    hall = make_venue(folder, start=at("08:00"), bars=BARS, rules=RULES)
    hall.data.events.extend(ACTIONS)
    for index, instant in enumerate(INSTANTS):
        before = hall.clock.now()
        for part in range(1, extra + 1):
            hall.clock.move_to(before + (instant - before) * part / (extra + 1))
            hall.venue.run()
        hall.clock.move_to(instant)
        if index == restart:
            hall.ledger.close()
            hall = make_venue(folder, start=instant, rules=RULES, ledger=hall.ledger, data=hall.data)
        for number, action in enumerate(stream[index]):
            act(hall, account, f"{index}-{number}", action)
    hall.to("20:00", DAY3)
    return hall


def outcome(hall: Hall, account: str) -> object:
    return (
        hall.venue.account(account),
        hall.all_orders(account),
        hall.venue.positions(account),
        hall.venue.executions(account, at("00:00"), at("23:59", DAY3)),
        hall.venue.activities(account, DAY1, DAY3),
        stored_events(hall, account),
    )


def stored_events(hall: Hall, account: str) -> list[tuple[object, ...]]:
    with hall.ledger.read() as connection:
        rows = connection.execute(sa.select(venue_events).where(venue_events.c.account == account))
        return sorted((row.number, row.kind, row.order_id, row.execution_id) for row in rows)


LAW = settings(
    max_examples=300 if os.environ.get("SCIZOR_TORTURE") else 6,
    deadline=timedelta(seconds=60),
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@LAW
@given(streams, st.sampled_from([ALPACA, IBKR]))
def test_cash_and_positions_are_what_was_deposited_filled_and_paid(stream, account):
    with TemporaryDirectory() as folder:
        hall = play(Path(folder), stream, account)
        fills = hall.venue.executions(account, at("00:00"), at("23:59", DAY3))
        rows = hall.venue.activities(account, DAY1, DAY3)
        spent = sum((fill.side.sign * fill.qty * fill.price + fill.commission for fill in fills), D(0))
        paid = sum((row.amount for row in rows), D(0))
        assert hall.venue.account(account).cash == 100_000 - spent + paid
        for symbol in ("AAA", "BBB"):
            moved = sum((fill.side.sign * fill.qty for fill in fills if fill.symbol == symbol), D(0))
            split = sum((row.qty for row in rows if row.symbol == symbol), D(0))
            assert hall.held(account).get(symbol, D(0)) == moved + split
        check_orders(hall, account, fills)
        hall.ledger.close()


def check_orders(hall: Hall, account: str, fills) -> None:
    """Fills are those of their orders, within their limits; DAY orders have ended; events grow by one."""
    orders = {row.order_id: row for row in hall.all_orders(account)}
    for order in orders.values():
        own = sum((fill.qty for fill in fills if fill.order_id == order.order_id), D(0))
        carried = orders[order.replaces].filled_qty if order.replaces else D(0)
        assert own + carried == order.filled_qty
        assert order.qty is None or order.filled_qty <= order.qty
        assert (order.status is Status.FILLED) == (order.filled_qty == order.qty)
        assert order.status.terminal or order.expires_at is None or order.expires_at > at("20:00", DAY3)
    numbers = [event.number for event in hall.events]
    assert numbers == list(range(1, len(numbers) + 1))
    check_zero(hall, account, fills)


def check_zero(hall: Hall, account: str, fills) -> None:
    """At Alpaca no fill crosses zero."""
    if hall.venue.accounts(House.ALPACA) == [account]:
        for fill in fills:
            before = fill.position_qty - fill.side.sign * fill.qty
            assert before * fill.position_qty >= 0


@LAW
@given(streams, st.sampled_from([ALPACA, IBKR]), st.integers(1, 3))
def test_the_future_does_not_depend_on_how_often_the_venue_runs(stream, account, extra):
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        halls = play(Path(one), stream, account), play(Path(two), stream, account, extra=extra)
        assert outcome(halls[0], account) == outcome(halls[1], account)
        for hall in halls:
            hall.ledger.close()


@LAW
@given(streams, st.sampled_from([ALPACA, IBKR]), st.integers(1, len(INSTANTS) - 1))
def test_a_restart_from_the_database_gives_the_same_future(stream, account, restart):
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        halls = play(Path(one), stream, account), play(Path(two), stream, account, restart=restart)
        assert outcome(halls[0], account) == outcome(halls[1], account)
        for hall in halls:
            hall.ledger.close()
