"""The pre-trade check: each limit at its edge, and everything under way counted at once."""

import hashlib
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import PositionIntent
from scizor_dagster.config import FractionalShares, RiskRules
from scizor_dagster.errors import ConfigError
from scizor_dagster.risk.book import Book
from scizor_dagster.risk.limits import NUMBERS, PreTradeLimits, limits_from
from scizor_dagster.risk.pre_trade import OPENING, Decision, PreTradeContext, check_order
from scizor_dagster.risk.trading_state import Standing, TradingState
from tests.execution.scenario import UNLIMITED
from tests.risk.orders import COVER, FREE, SELL, SHORT, D, Order, knowing, limits


def _verdict(order: Order, context: PreTradeContext = FREE, rules: PreTradeLimits = UNLIMITED) -> tuple[str, str]:
    verdict = check_order(order, context, rules)
    return verdict.decision.value, verdict.limit


PASSED = ("passed", "")


def test_an_order_within_every_limit_passes() -> None:
    assert _verdict(Order()) == PASSED
    assert check_order(Order(), FREE, UNLIMITED).sentence == "passed"


@pytest.mark.parametrize(
    "order",
    [
        Order(qty=D(0)),
        Order(qty=D(-1)),
        Order(qty=D("NaN")),
        Order(qty=D("Infinity")),
        Order(price_used=D(0)),
        Order(price_used=D("NaN")),
    ],
)
def test_a_quantity_or_value_that_is_not_positive_is_stopped(order: Order) -> None:
    assert _verdict(order) == ("stopped", "positive_quantity")


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
def test_a_limit_price_that_is_none_is_stopped_whatever_the_collar(price: str) -> None:
    for rules in (UNLIMITED, limits(price_collar="0.1")):
        verdict = check_order(Order(limit_price=D(price)), FREE, rules)
        assert verdict.sentence == f"limit_price: {price} against more than zero allowed"
        assert verdict.decision is Decision.STOP


@pytest.mark.parametrize("known", ["0", "-5", "NaN", "Infinity"])
def test_a_known_price_that_is_none_is_not_taken_for_a_price_that_agrees(known: str) -> None:
    found = _verdict(Order(), knowing(prices={"AAA": D(known)}), limits(price_collar="0.1"))
    assert found == ("stopped", "reference_price")


@pytest.mark.parametrize("volume", ["NaN", "-1", "Infinity"])
def test_a_volume_that_is_none_is_not_known(volume: str) -> None:
    found = _verdict(Order(), knowing(daily_volumes={"AAA": D(volume)}), limits(max_adv_share="1"))
    assert found == ("stopped", "max_adv_share")


@pytest.mark.parametrize("equity", ["NaN", "Infinity"])
def test_an_equity_that_is_no_amount_is_not_known(equity: str) -> None:
    assert _verdict(Order(), knowing(equity=D(equity)), limits(max_leverage="1")) == ("stopped", "max_leverage")
    jump = limits(max_equity_jump="0.1")
    for facts in ({"equity": D(equity), "equity_before": D(100)}, {"equity": D(100), "equity_before": D(equity)}):
        assert _verdict(Order(), knowing(**facts), jump) == ("waiting", "max_equity_jump")


@pytest.mark.parametrize("qty", ["1e20", "1e30", "1e300"])
def test_an_order_of_a_size_that_no_account_has_is_stopped_with_its_figure(qty: str) -> None:
    verdict = check_order(Order(qty=D(qty)), FREE, limits(max_notional_per_order="500"))
    assert (verdict.decision, verdict.limit, verdict.threshold) == (Decision.STOP, "max_notional_per_order", "500")
    assert D(verdict.value) == D(qty) * 5


HELD = replace(knowing(equity=D(100), daily_volumes={"AAA": D(100)}), book=Book(sectors={"AAA": "Energy"}))
SLIGHTLY_MORE = D("10.0001")
EDGES = {
    "max_share_per_order": "10",
    "max_notional_per_order": "50",
    "max_adv_share": "0.1",
    "max_total_notional": "50",
    "max_session_turnover": "0.5",
    "max_gross_value": "50",
    "max_net_value": "50",
    "max_name_weight": "0.5",
    "max_sector_weight": "0.5",
    "max_leverage": "0.5",
}
"""For an order of ten shares at 5, with an equity of 100 and a daily volume of 100 shares."""


@pytest.mark.parametrize("name", EDGES)
def test_a_limit_lets_its_own_figure_through_and_nothing_above_it(name: str) -> None:
    rules = limits(**{name: EDGES[name]})
    assert _verdict(Order(), HELD, rules) == PASSED
    assert _verdict(Order(qty=SLIGHTLY_MORE), HELD, rules) == ("stopped", name)


COLLAR = [("5.50", "passed"), ("5.51", "stopped"), ("4.50", "passed"), ("4.49", "stopped")]
JUMPS = [("80", "passed"), ("79.99", "waiting"), ("125", "passed"), ("134", "waiting")]


@pytest.mark.parametrize(("price", "verdict"), COLLAR)
def test_a_limit_price_stays_within_the_collar_on_both_sides(price: str, verdict: str) -> None:
    assert _verdict(Order(limit_price=D(price)), FREE, limits(price_collar="0.1"))[0] == verdict


def test_an_order_without_a_limit_price_has_no_collar() -> None:
    assert _verdict(Order(), FREE, limits(price_collar="0.1")) == PASSED


@pytest.mark.parametrize(("known", "verdict"), [("5.55", "passed"), ("4.54", "stopped"), ("5.56", "stopped")])
def test_the_price_that_sized_the_order_stays_within_the_collar_around_the_one_known_now(
    known: str, verdict: str
) -> None:
    held = replace(knowing(prices={"AAA": D(known)}), owned={"AAA": D(10)})
    for order in (Order(), Order(intent=SELL), Order(limit_price=D(5))):
        found = check_order(order, held, limits(price_collar="0.1"))
        assert found.decision.value == verdict
        assert found.limit == ("" if verdict == "passed" else "reference_price")


def test_a_price_that_is_too_old_or_of_no_known_age_stops() -> None:
    rules = limits(max_price_age_sessions="3")
    assert _verdict(Order(), knowing(price_ages={"AAA": 3}), rules) == PASSED
    assert _verdict(Order(), knowing(price_ages={"AAA": 4}), rules) == ("stopped", "max_price_age_sessions")
    assert _verdict(Order(), FREE, rules) == ("stopped", "max_price_age_sessions")


def test_two_sources_must_agree_where_there_are_two() -> None:
    rules = limits(max_price_difference="0.25")
    assert _verdict(Order(), FREE, rules) == PASSED
    assert _verdict(Order(), knowing(second_prices={"AAA": D(4)}), rules) == PASSED
    for other in ("3.99", "0", "NaN"):
        assert _verdict(Order(), knowing(second_prices={"AAA": D(other)}), rules) == ("stopped", "max_price_difference")


def test_a_count_lets_its_own_number_through_and_nothing_above_it() -> None:
    sent = replace(FREE, session_orders=2, minute_orders=2, repeated={("AAA", Order().side): frozenset({"8", "9"})})
    counts = {"max_session_orders": "stopped", "max_orders_per_minute": "waiting", "max_repeated_orders": "waiting"}
    slice_of_a_counted_line = Order(batch_id="9")
    assert _verdict(slice_of_a_counted_line, sent, limits(max_repeated_orders="2")) == PASSED
    for name, above in counts.items():
        assert _verdict(Order(), sent, limits(**{name: "3"})) == PASSED
        assert _verdict(Order(), sent, limits(**{name: "2"})) == (above, name)
    assert _verdict(Order(intent=SHORT), sent, limits(max_repeated_orders="2")) == PASSED
    assert _verdict(Order("BBB"), sent, limits(max_repeated_orders="2")) == PASSED


@pytest.mark.parametrize(("before", "verdict"), JUMPS)
def test_a_jump_of_the_equity_holds_every_order_until_a_person_accepts_it(before: str, verdict: str) -> None:
    rules = limits(max_equity_jump="0.25")
    context = replace(knowing(equity=D(100), equity_before=D(before)), owned={"AAA": D(10)})
    for order in (Order(), Order(intent=SELL)):
        assert _verdict(order, context, rules)[0] == verdict
        assert _verdict(order, replace(context, equity_accepted=True), rules) == PASSED


@pytest.mark.parametrize("name", ["max_session_turnover", "max_name_weight", "max_leverage"])
def test_a_limit_on_equity_stops_what_opens_while_equity_is_not_known_or_gone(name: str) -> None:
    rules = limits(**{name: "10"})
    for equity in (None, D(0), D(-5)):
        context = replace(knowing(equity=equity), owned={"AAA": D(10)})
        assert _verdict(Order(), context, rules) == ("stopped", name)
        assert _verdict(Order(intent=SELL), context, rules) == PASSED


def test_an_equity_that_is_not_known_is_no_equity_that_has_not_jumped() -> None:
    assert _verdict(Order(), knowing(equity=None), limits(max_equity_jump="1")) == ("waiting", "max_equity_jump")


def test_a_share_of_volume_stops_while_the_volume_is_not_known() -> None:
    for volumes in ({}, {"AAA": D(0)}):
        found = _verdict(Order(), knowing(daily_volumes=volumes), limits(max_adv_share="1"))
        assert found == ("stopped", "max_adv_share")


def test_the_share_of_volume_is_of_all_that_was_sent_on_the_same_side() -> None:
    rules = limits(max_adv_share="0.1")
    known = knowing(daily_volumes={"AAA": D(200)})
    for side, verdict in ((Order().side, "stopped"), (Order(intent=SHORT).side, "passed")):
        assert _verdict(Order(), replace(known, traded={("AAA", side): D("10.01")}), rules)[0] == verdict
    assert _verdict(Order(), known.after(Order()), rules)[0] == "passed"
    assert _verdict(Order(), known.after(Order()).after(Order()), rules)[0] == "stopped"


def test_what_opens_waits_while_a_holding_has_no_price_and_a_limit_sums_the_book() -> None:
    unpriced = replace(FREE, owned={"BBB": D(5), "AAA": D(10)}, book=Book.of({"BBB": D(5)}, {}, {}))
    for name in ("max_gross_value", "max_net_value"):
        rules = limits(**{name: "1000"})
        assert _verdict(Order("CCC"), unpriced, rules) == ("waiting", "unpriced_holding")
        assert _verdict(Order(intent=SELL), unpriced, rules) == PASSED
    assert _verdict(Order("CCC"), unpriced, limits(max_name_weight="1"))[1] != "unpriced_holding"
    assert _verdict(Order("CCC"), unpriced) == PASSED
    two = replace(FREE, book=Book.of({"BBB": D(5), "AAA": D(1)}, {}, {}))
    assert check_order(Order("CCC"), two, limits(max_gross_value="1000")).value == "AAA BBB"


def test_what_adds_to_a_holding_without_a_price_waits_where_a_limit_is_on_one_name() -> None:
    unpriced = replace(knowing(equity=D(1000)), owned={"AAA": D(500)}, book=Book.of({"AAA": D(500)}, {}, {}))
    rules = limits(max_name_weight="0.5")
    assert _verdict(Order(), unpriced, rules) == ("waiting", "unpriced_holding")
    assert _verdict(Order("BBB"), unpriced, rules) == PASSED
    assert _verdict(Order(intent=SELL), unpriced, rules) == PASSED


def test_what_an_order_takes_off_a_position_comes_off_its_sector_and_the_book() -> None:
    book = Book.of({"AAA": D(10), "BBB": D(-4)}, {"AAA": D(5), "BBB": D(5)}, {"AAA": "Energy", "BBB": "Energy"})
    assert (book.sector_after("AAA", D(-30)), book.gross_after("AAA", D(-30))) == (D(40), D(40))
    assert (book.sector_after("BBB", D(-30)), book.gross_after("BBB", D(-30))) == (D(100), D(100))
    assert book.sector_after("CCC", D(5)) is None


@pytest.mark.parametrize("intent", PositionIntent)
def test_what_may_be_in_other_units_waits_on_every_side_and_says_why(intent: PositionIntent) -> None:
    doubted = knowing(doubted={"AAA": "Suspected split of 7 for 1"})
    verdict = check_order(Order(intent=intent), doubted, UNLIMITED)
    assert (verdict.decision, verdict.limit, verdict.value) == (
        Decision.WAIT,
        "continuity",
        "Suspected split of 7 for 1",
    )
    assert check_order(Order("BBB", intent=intent), doubted, UNLIMITED).limit != "continuity"


def test_restricted_symbols_and_those_outside_of_the_allowed_are_not_opened_but_may_be_closed() -> None:
    held = replace(FREE, owned={"AAA": D(10)})
    for name, symbols in (("restricted", {"AAA"}), ("allowed", {"BBB"})):
        rules = limits(**{name: frozenset(symbols)})
        assert _verdict(Order(), FREE, rules) == ("stopped", name)
        assert _verdict(Order(intent=SHORT), FREE, rules) == ("stopped", name)
        assert _verdict(Order(intent=SELL), held, rules) == PASSED
        assert _verdict(Order("BBB"), FREE, rules) == PASSED


def test_reducing_lets_out_what_closes_and_halted_nothing() -> None:
    held = replace(FREE, owned={"AAA": D(10), "BBB": D(-10)})
    closing = (Order(intent=SELL), Order("BBB", intent=COVER))
    opening = (Order(), Order("CCC", intent=SHORT))
    reducing = replace(held, standing=Standing(TradingState.REDUCING, "a drawdown", "ann"))
    halted = replace(held, standing=Standing(TradingState.HALTED, "a drawdown", "ann"))
    assert [_verdict(order, reducing)[0] for order in (*closing, *opening)] == ["passed"] * 2 + ["waiting"] * 2
    assert {_verdict(order, halted) for order in (*closing, *opening)} == {("waiting", "trading_state")}
    assert check_order(opening[0], halted, UNLIMITED).sentence == (
        "trading_state: halted by ann: a drawdown against nothing allowed"
    )


def test_a_lock_holds_back_what_opens_in_its_symbol_or_in_all() -> None:
    held = replace(FREE, owned={"AAA": D(10)})
    one, every = replace(held, locks={"AAA": "lock 1"}), replace(held, locks={None: "lock 2"})
    for order, context in ((Order(), one), (Order(), every), (Order("BBB"), every)):
        assert _verdict(order, context) == ("waiting", "lock")
    for order, context in ((Order("BBB"), one), (Order(intent=SELL), one), (Order(intent=SELL), every)):
        assert _verdict(order, context) == PASSED


def test_a_close_is_never_held_back_by_the_limits_of_the_book() -> None:
    of_the_book = ("max_gross_value", "max_net_value", "max_name_weight", "max_leverage", "max_adv_share")
    rules = limits(**dict.fromkeys(of_the_book, "0.01"))
    assert _verdict(Order(intent=SELL), replace(HELD, owned={"AAA": D(10)}), rules) == PASSED


def test_every_limit_that_was_looked_at_is_in_the_verdict() -> None:
    verdict = check_order(Order(), HELD, limits(max_leverage="0.75", max_name_weight="0.4"))
    assert [(found.limit, *found.texts) for found in verdict.findings] == [("max_name_weight", "0.5", "0.4")]
    passed = check_order(Order(), HELD, limits(max_leverage="0.75", max_notional_per_order="60"))
    assert {found.limit: found.texts for found in passed.findings} == {
        "max_notional_per_order": ("50", "60"),
        "max_leverage": ("0.5", "0.75"),
        "buying_power": ("50", "1000000000000"),
    }


def test_the_session_limit_counts_what_was_sent_before() -> None:
    sent = replace(FREE, session_notional=D(51))
    verdict = check_order(Order(), sent, limits(max_total_notional="100"))
    assert (verdict.decision, verdict.value, verdict.threshold) == (Decision.STOP, "101", "100")
    assert verdict.sentence == "max_total_notional: 101 against 100 allowed"


def test_a_sale_takes_at_most_what_is_owned_and_not_already_being_sold() -> None:
    sale = Order(intent=SELL, qty=D(4))
    assert _verdict(sale) == ("stopped", "owned_quantity")
    assert _verdict(sale, replace(FREE, owned={"AAA": D(10)}, closing={"AAA": D(6)})) == PASSED
    assert _verdict(sale, replace(FREE, owned={"AAA": D(10)}, closing={"AAA": D("6.01")})) == (
        "stopped",
        "owned_quantity",
    )
    assert _verdict(sale, replace(FREE, owned={"AAA": D(-10)})) == ("stopped", "owned_quantity")


def test_a_cover_takes_at_most_what_is_short() -> None:
    cover = Order(intent=COVER, qty=D(4))
    assert _verdict(cover, replace(FREE, owned={"AAA": D(-4)})) == PASSED
    assert _verdict(cover, replace(FREE, owned={"AAA": D(-4)}, closing={"AAA": D(1)})) == (
        "stopped",
        "short_quantity",
    )
    assert _verdict(cover, replace(FREE, owned={"AAA": D(4)})) == ("stopped", "short_quantity")


def test_nothing_opens_across_zero() -> None:
    short = Order(intent=SHORT)
    assert _verdict(short) == PASSED
    assert _verdict(short, replace(FREE, owned={"AAA": D("0.1")})) == ("stopped", "crosses_zero")
    assert _verdict(Order(), replace(FREE, owned={"AAA": D("-0.1")})) == ("stopped", "crosses_zero")


def test_buying_power_bounds_what_opens_with_all_orders_under_way_counted() -> None:
    assert _verdict(Order(), replace(FREE, buying_power=D(50))) == PASSED
    assert _verdict(Order(), replace(FREE, buying_power=D(50), opening_notional=D("0.01"))) == (
        "stopped",
        "buying_power",
    )
    close = Order(intent=SELL)
    assert _verdict(close, replace(FREE, buying_power=D(0), owned={"AAA": D(10)})) == PASSED


def test_a_buying_power_that_was_not_read_is_not_taken_for_enough() -> None:
    assert _verdict(Order(), replace(FREE, buying_power=None)) == ("stopped", "buying_power")


def test_a_frozen_instrument_waits_and_is_not_stopped_for_good() -> None:
    frozen = replace(FREE, frozen={"AAA": "order x is unknown"})
    assert _verdict(Order(), frozen) == ("waiting", "instrument_frozen")
    assert _verdict(Order(symbol="BBB"), frozen) == PASSED


@pytest.mark.parametrize("name", NUMBERS)
def test_a_limit_is_a_positive_number_or_unlimited(name: str) -> None:
    for wrong in (D(0), D(-1), D("NaN"), D("Infinity")):
        with pytest.raises(ConfigError, match=name):
            limits(**{name: wrong})


def test_limits_are_known_by_a_hash_that_another_release_comes_to_as_well() -> None:
    named = ", ".join(f'"{name}": "{value}"' for name, value in sorted(UNLIMITED.as_text().items()))
    assert UNLIMITED.hash == hashlib.sha256(f"{{{named}}}".encode()).hexdigest()


def test_no_limit_has_a_default_in_code() -> None:
    with pytest.raises(TypeError, match="missing 22 required keyword-only arguments"):
        PreTradeLimits()  # type: ignore[call-arg]


def test_a_loss_never_leads_to_active() -> None:
    with pytest.raises(ConfigError, match="on_loss"):
        limits(on_loss=TradingState.ACTIVE)


def test_the_configuration_gives_the_limits_exactly() -> None:
    fractional = FractionalShares(
        enabled=True,
        min_order_notional=1.0,
        quantity_precision=2,
        max_total_weight=1.0,
        adjust_for_overflow=True,
    )
    rules = RiskRules(
        fractional_shares=fractional,
        max_notional_per_order=0.1,
        max_share_per_order="unlimited",
        max_total_notional=25000.5,
        min_cash_buffer_pct=0.02,
    )
    found = limits_from(rules, {"AAPL"})
    assert (found.max_share_per_order, found.max_notional_per_order) == (None, D("0.1"))
    assert (found.max_total_notional, found.max_leverage, found.max_gross_value) == (D("25000.5"), D(2), None)
    assert (found.on_loss, found.allowed) == (TradingState.REDUCING, frozenset({"AAPL"}))
    assert found.hash == limits_from(rules, ["AAPL"]).hash != limits_from(rules).hash


amounts = st.decimals(min_value="0.0001", max_value="1000", places=4)
orders = st.builds(
    Order,
    symbol=st.sampled_from(["AAA", "BBB"]),
    intent=st.sampled_from(list(PositionIntent)),
    qty=amounts,
    price_used=amounts,
)


@given(
    st.lists(orders, max_size=12),
    st.tuples(*[st.none() | amounts] * 3),
    st.dictionaries(st.sampled_from(["AAA", "BBB"]), st.decimals("-500", "500", places=4)),
    amounts,
)
def test_no_list_of_orders_gets_past_any_limit_together(
    wanted: list[Order], numbers: tuple[Decimal | None, ...], owned: dict[str, Decimal], power: Decimal
) -> None:
    names = ("max_share_per_order", "max_notional_per_order", "max_total_notional")
    rules = replace(UNLIMITED, **dict(zip(names, numbers, strict=True)))
    context = PreTradeContext(owned, {}, D(0), D(0), power)
    passed: list[Order] = []
    for order in wanted:
        if check_order(order, context, rules).decision is Decision.PASS:
            context = context.after(order)
            passed.append(order)
    assert all(rules.max_share_per_order is None or order.qty <= rules.max_share_per_order for order in passed)
    assert all(
        rules.max_notional_per_order is None or order.notional <= rules.max_notional_per_order for order in passed
    )
    assert rules.max_total_notional is None or sum(order.notional for order in passed) <= rules.max_total_notional
    assert sum(order.notional for order in passed if order.intent in OPENING) <= power
    for symbol in ("AAA", "BBB"):
        closed = sum(order.qty for order in passed if order.symbol == symbol and order.intent not in OPENING)
        assert closed <= abs(owned.get(symbol, D(0)))
