"""The second phase: scaled once, to the cash that is there; second legs after the first."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.execution.executor import ExecutionResult, ExecutionState
from scizor_dagster.execution.funding import Funding, fund, scaled
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.rows import IntentRow, intents_of, release_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events, releases
from tests.execution.scenario import START, D, adopt, full_plan, model, order, plan_of, resume, run

BUY = order("b", "CCC", Side.BUY, "100.00")
SMALL = order("d", "DDD", Side.BUY, "0.11")
SELL = order("s", "AAA", Side.SELL, "10")
CROSS = order("x", "AAA", Side.SELL, "4", phase=2, intent=PositionIntent.SELL_TO_OPEN, depends_on=["s"], leg=2)


def test_an_auction_order_is_scaled_to_whole_shares(ledger: Ledger) -> None:
    (row,) = _rows(ledger, order("b", "CCC", Side.BUY, "11"))
    assert scaled(replace(row, time_in_force=TimeInForce.OPG), D("0.5"), {"CCC": D("0.001")}) == 5


def _final(result: ExecutionResult) -> dict[str, Decimal | None]:
    return {row.client_order_id: row.final_qty for row in result.orders}


def _reasons(result: ExecutionResult) -> dict[str, str]:
    return {row.client_order_id: f"{row.state}: {row.reason}" for row in result.orders}


def _rows(ledger: Ledger, *orders: object) -> list[IntentRow]:
    with ledger.transaction() as connection:
        batch = admit(connection, plan_of(list(orders)), starting_cash=D(0), now=START).batch  # type: ignore[arg-type]
        return intents_of(connection, batch.batch_id)


def test_buys_go_out_whole_when_the_cash_is_there(ledger: Ledger) -> None:
    result = run(ledger, model(ledger, cash=D(2_000)), plan_of([BUY]), starting_cash=D(2_000))
    assert (result.factor, _final(result)) == (D(1), {"b": D(100)})


def test_sells_that_expire_unfilled_scale_the_buys_down_to_the_cash_without_them(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    broker = model(ledger, positions={"AAA": D(10)})
    broker.fill_plan = {"AAA": [], "CCC": [D(0), D(0), D(0), D(1)]}
    plan = plan_of([SELL, BUY, SMALL, CROSS], held={"AAA": "10"}, buffer="100")
    advance = broker.advance

    def early_end(session: object) -> bool:
        more = advance(session)  # type: ignore[arg-type]
        if broker.book.orders[0].status.value == "accepted":
            broker.cancel("s")
        return more

    broker.advance = early_end  # type: ignore[method-assign, assignment]
    result = run(ledger, broker, plan)
    # 1,000 of cash less the buffer of 100, for buys planned at 2,001.10.
    assert result.factor == D("0.449752636050")
    assert _final(result)["b"] == 44
    assert _reasons(result)["d"] == "dropped: 0.40 is below the broker's minimum once scaled by " + (
        "0.44975263605 to the cash available"
    )
    assert _reasons(result)["x"] == "dropped: order s before it ended canceled with 0 filled"
    assert result.state is ExecutionState.DONE


def test_without_cash_every_buy_is_dropped_with_its_reason(ledger: Ledger) -> None:
    broker = model(ledger)
    result = run(ledger, broker, plan_of([BUY], buffer="1000"))
    assert (result.state, result.factor) == (ExecutionState.DONE, D(0))
    assert _reasons(result) == {"b": "dropped: nothing left to trade once scaled by 0 to the cash available"}
    assert broker.book.attempts == []


def test_buying_power_bounds_a_release_even_where_the_portfolio_has_cash(ledger: Ledger) -> None:
    result = run(ledger, model(ledger, buying_power=D(500)), plan_of([BUY]), starting_cash=D(5_000))
    assert (result.factor, _final(result)) == (D("0.25"), {"b": D(25)})


@pytest.mark.parametrize(
    ("borrow", "other", "factor"),
    [(False, "1500", "0.25"), (True, "1000", "0.75"), (True, "-300", "0.1"), (False, "-300", "0.25")],
)
def test_buys_never_exceed_the_cash_in_their_own_currency_unless_it_may_be_borrowed(
    ledger: Ledger, borrow: bool, other: str, factor: str
) -> None:
    broker = model(ledger, cash=D(500), buying_power=D(9_000))
    alone = broker.account
    broker.account = lambda: replace(alone(), other_cash=D(other))  # type: ignore[method-assign]
    result = run(ledger, broker, plan_of([BUY]), starting_cash=D(5_000), borrow=borrow)
    assert result.factor == D(factor)


def test_cash_from_sells_is_what_they_really_brought(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    broker = model(ledger, positions={"AAA": D(10)}, cash=D(0))
    broker.fill_plan = {"AAA": [D("0.5"), D("0.1")]}
    broker.steps = 2
    result = run(ledger, broker, plan_of([SELL, BUY], held={"AAA": "10"}), starting_cash=D(0))
    # Before the last step 5 at 100 less a fee of 0.10: 499.90 for 2,000. What sells in it comes too late.
    assert result.factor == D("0.24995")


def test_a_second_leg_is_sent_only_once_the_first_has_filled_whole(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    broker = model(ledger, positions={"AAA": D(10)}, steps=6)
    broker.fill_plan = {"AAA": [D("0.5"), D("0.5"), D(1), D(1)]}
    sent_when = []
    submit = broker.submit

    def watched(request: object) -> object:
        sent_when.append((request.client_order_id, broker.book.positions["AAA"]))  # type: ignore[attr-defined]
        return submit(request)  # type: ignore[arg-type]

    broker.submit = watched  # type: ignore[method-assign, assignment]
    result = run(ledger, broker, plan_of([SELL, CROSS], held={"AAA": "10"}))
    assert sent_when == [("s", D(10)), ("x", D(0))]
    assert (result.state, broker.book.positions["AAA"]) == (ExecutionState.DONE, D(-4))


def test_a_second_leg_waits_for_a_first_leg_that_is_itself_a_released_buy(ledger: Ledger) -> None:
    adopt(ledger, "DDD", "-10")
    broker = model(ledger, positions={"DDD": D(-10)}, steps=6)
    broker.fill_plan = {"DDD": [D("0.5"), D("0.5"), D(1), D(1)]}
    cover = order("c", "DDD", Side.BUY, "10", intent=PositionIntent.BUY_TO_CLOSE)
    turn = order("t", "DDD", Side.BUY, "6", depends_on=["c"], leg=2)
    result = run(ledger, broker, plan_of([cover, turn], held={"DDD": "-10"}))
    assert (result.state, broker.book.positions["DDD"]) == (ExecutionState.DONE, D(6))
    assert broker.book.attempts == ["c", "t"]


COVER = order("c", "DDD", Side.BUY, "100", intent=PositionIntent.BUY_TO_CLOSE)
TURN = order("t", "DDD", Side.BUY, "60", depends_on=["c"], leg=2)
SHORT = order("x", "AAA", Side.SELL, "10", phase=2, intent=PositionIntent.SELL_TO_OPEN)


def test_a_cover_is_never_scaled_and_its_cost_comes_off_the_cash_first(ledger: Ledger) -> None:
    adopt(ledger, "DDD", "-100")
    broker = model(ledger, positions={"DDD": D(-100)}, cash=D(1_300), steps=6)
    result = run(ledger, broker, plan_of([COVER, TURN], held={"DDD": "-100"}), starting_cash=D(1_300))
    # 1,300 less 1,000 for the cover leaves half of the 600 that the other side was planned at.
    assert (result.factor, result.counts) == (D("0.5"), {"filled": 2})
    assert _final(result) == {"c": D(100), "t": D(30)}
    assert broker.book.positions["DDD"] == 30


@pytest.mark.parametrize(("cash", "buying_power"), [(D(400), None), (D(-50), None), (D(5_000), D(0))])
def test_a_cover_goes_whole_where_neither_cash_nor_buying_power_suffices(
    ledger: Ledger, cash: Decimal, buying_power: Decimal | None
) -> None:
    adopt(ledger, "DDD", "-100")
    broker = model(ledger, positions={"DDD": D(-100)}, cash=cash, buying_power=buying_power)
    result = run(ledger, broker, plan_of([COVER, BUY], held={"DDD": "-100"}), starting_cash=cash)
    assert (result.factor, result.counts) == (D(0), {"dropped": 1, "filled": 1})
    assert (_final(result)["c"], broker.book.positions["DDD"]) == (D(100), D(0))


def test_a_release_is_written_once_and_later_facts_do_not_change_it(ledger: Ledger) -> None:
    broker = model(ledger, buying_power=D(500))
    broker.has_data = set()
    first = run(ledger, broker, plan_of([BUY]))
    broker.fixed_buying_power = D(9_999)
    broker.has_data = None
    second = resume(ledger, broker, starting_cash=D(77_777))
    assert first.factor == second.factor == D("0.25")
    assert _final(first) == _final(second)
    with ledger.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(releases)).scalar() == 1
        stored = release_of(connection, second.batch_id or "")
    assert stored is not None
    assert (stored.cash, stored.needed) == (D(500), D(2_000))


def test_the_history_says_of_a_release_what_there_was_and_what_was_needed(ledger: Ledger) -> None:
    run(ledger, model(ledger, buying_power=D(500)), plan_of([BUY]))
    with ledger.read() as connection:
        payload = connection.execute(sa.select(events.c.payload).where(events.c.kind == "released")).scalar_one()
    assert json.loads(payload) == {
        "batch_id": "paper/main/2026-03-02/1",
        "factor": "0.250000000000",
        "short_factor": "0.250000000000",
        "cash": "1000",
        "other_cash": "0",
        "buying_power": "500",
        "needed": "2000.00",
        "orders": 1,
    }


def test_the_starting_cash_of_the_first_run_is_the_one_that_counts(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    broker = model(ledger, positions={"AAA": D(10)}, cash=D(0))
    broker.has_data = set()
    plan = plan_of([SELL, BUY], held={"AAA": "10"})
    run(ledger, broker, plan, starting_cash=D(0))
    broker.has_data = None
    assert run(ledger, broker, plan, starting_cash=D(5_000)).factor == D("0.49995")


def test_no_second_phase_means_no_release(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    result = run(ledger, model(ledger, positions={"AAA": D(10)}), plan_of([SELL], held={"AAA": "10"}))
    assert (result.state, result.factor) == (ExecutionState.DONE, None)


def _fund(rows: list[IntentRow], cash: int, power: int, uncertain: tuple[str, ...] = ()) -> Funding:
    return fund(rows, D(cash), D(power), increments={}, min_notional=D(1), uncertain=uncertain)


def test_short_sales_pay_for_buys_of_the_same_release_as_they_do_in_the_plan(ledger: Ledger) -> None:
    rows = _rows(ledger, BUY, SHORT)
    money = _fund(rows, 1_000, 10_000)
    assert (money.factor, money.cash, money.needed) == (D(1), D(2_000), D(2_000))
    assert money.quantities == {"b": D(100), "x": D(10)}


def test_short_sales_are_scaled_to_buying_power_and_never_to_the_cash(ledger: Ledger) -> None:
    rows = _rows(ledger, BUY, SHORT)
    poor = _fund(rows, 0, 10_000)
    assert (poor.factor, poor.short_factor, poor.quantities["x"]) == (D("0.5"), D(1), D(10))
    # A short sale asks for 1.03 times its value: 3,030 for both.
    tight = _fund(rows, 10_000, 1_515)
    assert (tight.factor, tight.quantities) == (D("0.5"), {"b": D(50), "x": D(5)})
    assert _fund(rows, -5_000, 10_000).quantities == {"b": D(0), "x": D(10)}
    assert _fund([], 0, 0).factor == 1


def test_a_short_sale_that_may_come_too_late_pays_for_nothing(ledger: Ledger) -> None:
    rows = _rows(ledger, BUY, SHORT)
    assert _fund(rows, 1_000, 10_000, ("x",)).factor == D("0.5")


def test_what_the_planner_fits_into_the_cash_is_released_whole(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(1_000), buying_power=D(5_000))
    result = run(ledger, broker, plan_of([BUY, SHORT]))
    assert (result.factor, _final(result)) == (D(1), {"b": D(100), "x": D(10)})


@pytest.mark.parametrize(
    ("qty", "order_type", "increments", "expected"),
    [
        ("10.1234", OrderType.MARKET, {}, "5.0617"),
        ("10.12", OrderType.MARKET, {}, "5.06"),
        ("11", OrderType.MARKET, {}, "5"),
        ("11", OrderType.MARKET, {"CCC": D("0.001")}, "5.500"),
        ("100", OrderType.MARKET, {}, "50"),
        ("11", OrderType.LIMIT, {"CCC": D("0.001")}, "5"),
        ("1", OrderType.MARKET, {}, "0"),
    ],
)
def test_a_scaled_quantity_is_rounded_down_to_the_instruments_step(
    ledger: Ledger, qty: str, order_type: OrderType, increments: dict[str, Decimal], expected: str
) -> None:
    (row,) = _rows(ledger, order("b", "CCC", Side.BUY, qty, order_type=order_type))
    assert scaled(row, D("0.5"), increments) == D(expected)
    assert scaled(row, D(1), increments) == D(qty)


def test_the_buys_of_a_release_never_cost_more_than_its_cash_at_their_prices(ledger: Ledger) -> None:
    plan, held = full_plan()
    for symbol, qty in held.items():
        adopt(ledger, symbol, qty)
    broker = model(ledger, positions={symbol: D(qty) for symbol, qty in held.items()})
    result = run(ledger, broker, plan)
    spent = sum(
        (row.final_qty or D(0)) * row.price_used for row in result.orders if row.side is Side.BUY and row.phase == 2
    )
    with ledger.read() as connection:
        release = release_of(connection, result.batch_id or "")
    assert release is not None
    assert 0 < spent <= release.cash
