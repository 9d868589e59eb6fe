"""What is counted before an order: of the account and its market, or of the portfolio itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.ledger.holdings import last_prices
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import activities, adoptions, trading_states
from scizor_dagster.planning.model import Plan, PlannedOrder
from scizor_dagster.risk.events import risk_events_of
from scizor_dagster.risk.facts import MarketFacts
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution.halting import HaltingBroker
from tests.execution.scenario import MONDAY, PRICES, START, D, adopt, model, order, plan_of, resume, run

RICH: dict[str, Any] = {"starting_cash": D(10_000)}
FACTS = MarketFacts(equity=D(1_000), prices=PRICES, daily_volumes={"CCC": D(100)})


def _buys(prefix: str, *quantities: str, symbol: str = "CCC") -> list[PlannedOrder]:
    """Slices of one line."""
    return [order(f"{prefix}{n}", symbol, Side.BUY, qty, slice_=n) for n, qty in enumerate(quantities, start=1)]


def _other(orders: list[PlannedOrder]) -> Plan:
    return replace(plan_of(orders), portfolio="other")


def test_slices_and_portfolios_share_the_volume_of_a_session(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    limit: dict[str, Any] = RICH | {"facts": lambda _: FACTS, "max_adv_share": D("0.25")}
    assert run(ledger, broker, plan_of(_buys("m", "10", "10", "10")), **limit).counts == {"blocked": 1, "filled": 2}
    result = run(ledger, broker, _other(_buys("o", "5", "0.1")), portfolio="other", **limit)
    assert result.counts == {"blocked": 1, "filled": 1}
    assert result.orders[1].reason == "max_adv_share: 0.251 against 0.25 allowed"


def test_a_share_of_volume_is_counted_side_by_side(ledger: Ledger) -> None:
    adopt(ledger, "CCC", "20")
    broker = model(ledger, cash=D(10_000), positions={"CCC": D(20)})
    limit: dict[str, Any] = RICH | {"facts": lambda _: FACTS, "max_adv_share": D("0.2")}
    sale = plan_of([order("s", "CCC", Side.SELL, "20")], held={"CCC": "20"})
    assert run(ledger, broker, sale, **limit).counts == {"filled": 1}
    assert run(ledger, broker, _other(_buys("o", "20")), portfolio="other", **limit).counts == {"filled": 1}


def test_the_rate_per_minute_counts_every_portfolio_of_the_account(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    broker.has_data = set()
    limit: dict[str, Any] = RICH | {"max_orders_per_minute": D(2)}
    run(ledger, broker, plan_of(_buys("m", "1", "1")), **limit)
    assert run(ledger, broker, _other(_buys("o", "1", symbol="DDD")), portfolio="other", **limit).counts == {"ready": 1}
    assert broker.book.attempts == ["m1", "m2"]


def test_what_a_portfolio_sends_in_a_session_is_its_own(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    limit: dict[str, Any] = RICH | {
        "max_session_orders": D(1),
        "max_total_notional": D(100),
        "max_repeated_orders": D(1),
        "max_gross_value": D(100),
    }
    for name in ("main", "other"):
        plan = replace(plan_of(_buys(name, "5")), portfolio=name)
        assert run(ledger, broker, plan, portfolio=name, **limit).counts == {"filled": 1}


def test_an_order_that_expired_unsent_is_not_counted_as_sent(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    broker.submit_faults["a"] = ["lost"]
    with ledger.transaction() as connection:
        halted = {"reason": "a test", "actor": "ann", "now": START}
        set_state(connection, "paper", "main", TradingState.HALTED, **halted)
    limit: dict[str, Any] = RICH | {"max_total_notional": D(100), "max_session_orders": D(1)}
    assert run(ledger, broker, plan_of(_buys("a", "5")), **limit).counts == {"expired": 1}
    with ledger.transaction() as connection:
        set_state(connection, "paper", "main", TradingState.ACTIVE, reason="seen", actor="ann", now=START)
    broker.book.steps.clear()
    again = plan_of(_buys("b", "5"), batch=2, plan_id="q")
    assert run(ledger, broker, again, **limit).counts == {"expired": 1, "filled": 1}


def test_an_order_in_many_slices_does_not_set_the_throttle_off(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    result = run(ledger, broker, plan_of(_buys("b", *["1"] * 20)), max_repeated_orders=D(1), **RICH)
    assert result.counts == {"filled": 20}


def test_the_throttle_counts_from_a_resume_of_the_portfolio_and_from_no_other_state(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    limit: dict[str, Any] = RICH | {"max_repeated_orders": D(1)}
    run(ledger, broker, plan_of(_buys("a", "1")), **limit)
    with ledger.transaction() as connection:
        later = START + timedelta(seconds=1)
        for scope, state in (("main", TradingState.REDUCING), (None, TradingState.ACTIVE)):
            set_state(connection, "paper", scope, state, reason="r", actor="ann", now=later)
        # The clock stands still: what was set has expired by now.
        connection.execute(sa.update(trading_states).values(until=START))
    broker.book.steps.clear()
    again = plan_of(_buys("b", "1"), batch=2, plan_id="q", held={"CCC": "1"})
    broker.has_data = set()
    assert run(ledger, broker, again, **limit).counts == {"filled": 1, "ready": 1}
    assert broker.book.attempts == ["a1"]
    with ledger.read() as connection:
        rows = risk_events_of(connection, "paper", MONDAY)
    assert {(row.limit, row.client_order_id) for row in rows} == {
        ("max_repeated_orders", "b1"),
        ("trading_state", "b1"),
    }


def test_a_passed_verdict_is_written_once_for_each_set_of_limits_it_was_made_under(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    broker.has_data = set()
    plan = plan_of([order("a", "CCC", Side.BUY, "1"), order("b", "DDD", Side.BUY, "1")])
    run(ledger, HaltingBroker(broker, ledger, 1, TradingState.HALTED), plan, **RICH)
    assert broker.book.attempts == ["a"]
    with ledger.transaction() as connection:
        set_state(connection, "paper", "main", TradingState.ACTIVE, reason="seen", actor="ann", now=START)
    for _ in range(2):
        run(ledger, broker, plan, max_gross_value=D(1_000), **RICH)
    with ledger.read() as connection:
        rows = risk_events_of(connection, "paper", MONDAY, passed=True)
    passed = [row for row in rows if (row.client_order_id, row.verdict) == ("b", "passed")]
    assert len(passed) == len({row.limits_hash for row in passed}) == 2
    assert {"max_gross_value" in row.checked for row in passed} == {True, False}


UNPRICED = MarketFacts(equity=D(1_000), prices={"CCC": D(20)})


def test_a_holding_without_a_known_price_counts_at_the_one_that_the_ledger_saw_last(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    broker = model(ledger, cash=D(10_000), positions={"AAA": D(10)})
    plan = plan_of(_buys("b", "10"))
    result = run(ledger, broker, plan, facts=lambda _: UNPRICED, max_leverage=D("1.1"), **RICH)
    assert result.orders[0].reason == "max_leverage: 1.2 against 1.1 allowed"


def test_a_holding_that_nothing_values_makes_opening_orders_wait_and_lets_it_be_sold(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    with ledger.transaction() as connection:
        connection.execute(sa.update(adoptions).values(price=D(0)))
    broker = model(ledger, cash=D(10_000), positions={"AAA": D(10)})
    broker.has_data = set()
    plan = plan_of([order("s", "AAA", Side.SELL, "1"), order("b", "CCC", Side.BUY, "1", phase=1)], held={"AAA": "10"})
    result = run(ledger, broker, plan, facts=lambda _: UNPRICED, max_leverage=D(5), **RICH)
    assert {row.client_order_id: row.state.value for row in result.orders} == {"s": "working", "b": "ready"}
    with ledger.read() as connection:
        (row,) = risk_events_of(connection, "paper", MONDAY)
    assert (row.limit, row.value, row.verdict) == ("unpriced_holding", "AAA", "waiting")
    assert any("unpriced_holding: AAA" in note for note in result.notes)


def test_a_price_of_the_ledger_is_in_the_units_of_today(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    with ledger.transaction() as connection:
        connection.execute(
            activities.insert().values(
                account="paper",
                activity_id="s",
                kind="split",
                session=MONDAY,
                symbol="AAA",
                amount=D(0),
                qty_factor=D(4),
                description="four for one",
                recorded_at=START,
            )
        )
        assert last_prices(connection, "paper", ["AAA", "BBB"]) == {"AAA": D(25)}
    broker = model(ledger, cash=D(10_000), positions={"AAA": D(40)})
    buy = plan_of([order("b", "AAA", Side.BUY, "1", price=D(30))], held={"AAA": "40"})
    assert run(ledger, broker, replace(buy, lines=()), **RICH).counts == {"filled": 1}
    with ledger.read() as connection:
        assert last_prices(connection, "paper", ["AAA"]) == {"AAA": D(100)}


def test_the_book_counts_what_is_held_what_is_under_way_and_the_order_itself(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "3")
    broker = model(ledger, positions={"AAA": D(3)}, cash=D(10_000))

    orders = [
        order("c", "CCC", Side.BUY, "10"),
        order("d", "DDD", Side.BUY, "50"),
        order("e", "DDD", Side.BUY, "1", slice_=2),
        order("x", "BBB", Side.SELL, "1", intent=PositionIntent.SELL_TO_OPEN, phase=1),
    ]
    plan = plan_of(orders, held={"AAA": "3"})
    result = run(ledger, broker, plan, facts=lambda _: FACTS, max_leverage=D(1), **RICH)
    states = {row.client_order_id: row.state.value for row in result.orders}
    # 300 held, 50 sold short and 200 to be bought: 500 more are too many, and 10 are not.
    assert states == {"c": "filled", "x": "filled", "d": "blocked", "e": "filled"}
    assert next(row.reason for row in result.orders if row.client_order_id == "d").startswith("max_leverage: 1.05")


def test_what_opens_and_is_at_the_broker_is_in_the_book_of_what_is_released_after_it(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "3")
    broker = model(ledger, positions={"AAA": D(3)}, cash=D(10_000))
    broker.fill_plan = {"CCC": []}
    plan = plan_of([order("c", "CCC", Side.BUY, "10", phase=1), order("d", "DDD", Side.BUY, "31")])
    result = run(ledger, broker, plan, facts=lambda _: FACTS, max_leverage=D("0.8"), **RICH)
    # 300 held and 200 that rest: 310 more are too many.
    assert [row.reason for row in result.orders][1] == "max_leverage: 0.81 against 0.8 allowed"
    assert broker.book.attempts == ["c"]


def test_of_a_sale_that_has_filled_in_part_only_the_rest_is_kept_from_other_sales(ledger: Ledger) -> None:
    adopt(ledger, "CCC", "10")
    broker = model(ledger, positions={"CCC": D(10)})
    broker.has_data = set()
    sales = [order(f"s{n}", "CCC", Side.SELL, "5", slice_=n) for n in (1, 2)]
    plan = plan_of(sales, held={"CCC": "10"})
    assert run(ledger, broker, plan, max_orders_per_minute=D(1)).counts == {"ready": 1, "working": 1}
    broker.fill("s1", D(2), session=MONDAY)
    resume(ledger, broker, max_orders_per_minute=D(1))
    # 8 are left, and 3 of them are being sold: the other 5 may be.
    assert resume(ledger, broker).counts == {"partially_filled": 1, "working": 1}


def test_an_order_whose_opposite_is_open_in_the_account_is_never_passed(ledger: Ledger) -> None:
    adopt(ledger, "CCC", "5", portfolio="other")
    broker = model(ledger, positions={"CCC": D(5)}, cash=D(10_000))
    broker.has_data = set()
    run(ledger, broker, plan_of(_buys("m", "5")), **RICH)
    sale = replace(plan_of([order("o", "CCC", Side.SELL, "5")], held={"CCC": "5"}), portfolio="other", plan_id="q" * 64)
    assert run(ledger, broker, sale, portfolio="other").counts == {"ready": 1}
    with ledger.read() as connection:
        rows = risk_events_of(connection, "paper", MONDAY, passed=True)
    assert [(row.limit, row.verdict) for row in rows if row.client_order_id == "o"] == [("opposite_order", "waiting")]


def test_every_order_of_a_minute_counts_once(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    broker.has_data = set()
    limit: dict[str, Any] = RICH | {"max_orders_per_minute": D(4)}
    run(ledger, broker, plan_of(_buys("m", "1", "1", "1")), **limit)
    result = run(ledger, broker, _other(_buys("o", "1", "1", symbol="DDD")), portfolio="other", **limit)
    assert result.counts == {"ready": 1, "working": 1}
    assert broker.book.attempts == ["m1", "m2", "m3", "o1"]


def test_the_session_total_counts_what_earlier_runs_and_batches_sent_and_nothing_that_was_refused(
    ledger: Ledger,
) -> None:
    broker = model(ledger, cash=D(10_000))
    broker.submit_faults["r"] = ["reject"]
    limit = {"starting_cash": D(10_000), "max_total_notional": D(450)}
    first = plan_of([order("a", "CCC", Side.BUY, "10"), order("r", "DDD", Side.BUY, "10")])
    assert run(ledger, broker, first, **limit).counts == {"filled": 1, "rejected": 1}
    more = [order("b", "CCC", Side.BUY, "12"), order("c", "CCC", Side.BUY, "13")]
    result = run(ledger, broker, plan_of(more, batch=2, plan_id="q", held={"CCC": "10"}), **limit)
    assert result.counts == {"blocked": 1, "filled": 2, "rejected": 1}
    assert broker.book.attempts == ["a", "r", "b"]


def test_a_sale_of_more_than_the_portfolio_owns_is_blocked_even_if_the_account_has_it(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(50)})
    sales = [order("s1", "AAA", Side.SELL, "3"), order("s2", "AAA", Side.SELL, "3", slice_=2)]
    result = run(ledger, broker, plan_of(sales, held={"AAA": "5"}))
    assert result.counts == {"blocked": 1, "filled": 1}
    assert result.orders[1].reason == "owned_quantity: 3 against 2 allowed"


def test_opening_orders_together_stay_within_the_brokers_buying_power(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000), buying_power=D(300))
    short = [
        order(f"x{n}", "CCC", Side.SELL, "10", phase=1, intent=PositionIntent.SELL_TO_OPEN, slice_=n) for n in (1, 2)
    ]
    result = run(ledger, broker, plan_of(short), starting_cash=D(10_000))
    assert result.counts == {"blocked": 1, "filled": 1}
    assert resume(ledger, broker).counts == {"blocked": 1, "filled": 1}
