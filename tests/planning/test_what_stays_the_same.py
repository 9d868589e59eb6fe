"""What one release writes and the next reads again: ids, and the words of the files. A test here fails before a user's
plan gets another id after an upgrade, or another program no longer knows a word.
"""

import csv
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.inputs import PlanInputs, Target, named_symbols, plan_digest
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.output_files import LINE_COLUMNS, ORDER_COLUMNS, write_plan
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE, crowded_book, inputs_of, line_of, orders_of, price

RULES = PlanningRules(allow_short=True, blacklist=("Z",), overrides=(("A", "no_buy"),), tp_atr=Decimal("2.5"))


def full() -> PlanInputs:
    """Inputs in which nothing is left out."""
    return inputs_of(
        {"A": "0.30", "B": "-0.1"},
        {"A": "10.50", "B": 25, "C": 7, "D": 8, "E": 9, "UNUSED": 1},
        {"C": "1.250"},
        targets=(Target(("9", "8"), "", "", Decimal("0.01"), "ambiguous_id", "Two names.", ("X", "Y")),),
        instruments={"A": Instrument("A", "XNYS", "USD", fractionable=False, shortable=False)},
        cash=Decimal("100000.10"),
        stale_symbols=frozenset({"X"}),
        frozen_symbols={"B": "An order of unknown outcome."},
        action_symbols={"C": "A split."},
        quarantined_symbols={"D": "A jump."},
        notes=("A note.",),
        previous_prices={"A": Decimal("10.40")},
        adv={"A": Decimal(1000)},
        atr={"A": Decimal("0.5")},
        foreign={"D": Decimal(3)},
        siblings={"A": Decimal(-2)},
        open_orders=(OpenOrder("E", Side.BUY, Decimal(4), True, False, "pair"),),
        shorts_allowed=True,
    )


def test_the_id_of_a_plan_is_the_one_that_an_earlier_release_gave_it() -> None:
    assert plan_digest(full(), RULES, ALPACA_LIKE) == "560fac9ed09472dbd649d03b886027e05c3dcfdb329d72589614fb162b786785"
    bare = replace(full(), cash=None, priced_on=None)
    assert plan_digest(bare, RULES, ALPACA_LIKE) == "faee895104ce29b05d8997aedd4da259badb7e6aa984fb5ad15671020353dc17"


def test_whatever_is_targeted_held_foreign_or_on_order_is_named_and_so_are_the_meanings_of_an_id() -> None:
    assert named_symbols(full()) == {"A", "B", "C", "D", "E", "X", "Y", ""}


@pytest.mark.parametrize("symbol", ["A", "B", "C", "D", "E"])
def test_the_price_of_what_a_plan_names_is_part_of_its_id(symbol: str) -> None:
    inputs = full()
    dearer = replace(inputs, prices=inputs.prices | {symbol: price(11)})
    assert plan_digest(dearer, RULES, ALPACA_LIKE) != plan_digest(inputs, RULES, ALPACA_LIKE)


def test_what_a_plan_does_not_name_is_no_part_of_its_id() -> None:
    inputs = full()
    cheaper = replace(inputs, prices=inputs.prices | {"UNUSED": price(2)})
    assert plan_digest(cheaper, RULES, ALPACA_LIKE) == plan_digest(inputs, RULES, ALPACA_LIKE)


@pytest.mark.parametrize("name", [field.name for field in fields(PlanningRules)])
def test_every_rule_is_part_of_the_text_that_an_id_is_made_of(name: str) -> None:
    assert f'"{name}":' in RULES.as_text()


def test_whatever_holds_an_instrument_back_is_told_in_words() -> None:
    """Where the reason is not all there is to say: the words name the rule, the order or the quantity."""
    wordless = ORDERING_REASONS | {
        Reason.BELOW_MIN_NOTIONAL, Reason.DUST, Reason.NOT_TRADABLE, Reason.INSIDE_BAND, Reason.NO_PRICE,
        Reason.ON_TARGET, Reason.NOT_SHORTABLE,
    }  # fmt: skip
    told = set()
    for seed in range(400):
        inputs, rules, capabilities = crowded_book(seed, shorts=seed % 2 == 1)
        for line in make_plan(inputs, rules, capabilities).lines:
            assert line.note or line.reason in wordless, (seed, line)
            assert "None" not in line.note, (seed, line)
            told |= {line.reason}
    assert told - wordless >= {
        Reason.PRICE_COLLAR, Reason.OVERRIDE, Reason.NO_VOLUME, Reason.FROZEN, Reason.WASH_TRADE, Reason.LIMIT,
        Reason.HELD_BY_ORDER, Reason.NO_CASH, Reason.PARTICIPATION_CAP, Reason.FOREIGN,
    }  # fmt: skip


def test_a_row_of_the_files_has_a_value_for_every_column_in_its_place(tmp_path: Path) -> None:
    inputs = inputs_of({"A": "0.5", "B": "0.25", "Ü": "0.1"}, {"A": 10, "B": 25, "Ü": 3}, {"B": "1000.02"})
    rules = PlanningRules(mode_on_buy="limit", limit_offset_pct=Decimal("0.01"), min_order_notional=Decimal(1))
    plan = make_plan(inputs, rules, ALPACA_LIKE)
    write_plan(plan, tmp_path)
    with (tmp_path / "planned_orders.csv").open(encoding="utf-8", newline="") as handle:
        rows = {row["symbol"]: row for row in csv.DictReader(handle)}
    bought = next(order for order in plan.orders if order.symbol == "A")
    assert tuple(rows["A"]) == ORDER_COLUMNS
    assert rows["A"] == {
        "trade_date": "2025-07-28", "symbol": "A", "side": "BUY", "qty": "5000", "order_type": "LIMIT",
        "time_in_force": "DAY", "price_used": "10", "notional": "50000", "tp_price": "", "sl_price": "",
        "reason": "open",
        "client_order_id": bought.client_order_id, "limit_price": "10.1", "intent": "buy_to_open", "leg": "1",
        "slice": "1", "phase": "2", "depends_on": "",
    }  # fmt: skip
    assert rows["B"] == dict.fromkeys(ORDER_COLUMNS, "") | {
        "trade_date": "2025-07-28", "symbol": "B", "side": "SELL", "qty": "0.02", "order_type": "MARKET",
        "time_in_force": "DAY", "price_used": "25", "notional": "0.5", "reason": "below_min_notional",
    }  # fmt: skip
    assert rows["Ü"]["symbol"] == "Ü"
    with (tmp_path / "rebalance_plan.csv").open(encoding="utf-8", newline="") as handle:
        lines = {row["symbol"]: row for row in csv.DictReader(handle)}
    assert tuple(lines["B"]) == LINE_COLUMNS
    assert lines["B"] == {
        "symbol": "B", "current_qty": "1000.02", "target_weight": "0.25", "price": "25", "target_qty": "1000",
        "delta_qty": "-0.02", "reason": "below_min_notional",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "note", "candidates", "told"),
    [
        ("unknown_id", "", (), ""),
        ("unknown_id", "Nobody knows it.", (), "Nobody knows it."),
        ("ambiguous_id", "", ("Y", "X"), "The id may mean X, Y."),
        ("ambiguous_id", "One of two.", ("Y", "X"), "One of two."),
    ],
)
def test_an_id_without_a_name_is_told_with_what_is_known_of_it(
    status: str, note: str, candidates: tuple[str, ...], told: str
) -> None:
    target = Target(("9",), "", "", Decimal("0.1"), status, note, candidates)
    plan = make_plan(inputs_of({"A": "0.5"}, {"A": 10}, targets=(target,)), PlanningRules(), ALPACA_LIKE)
    assert [line.note for line in plan.lines if line.symbol != "A"] == [told]


def test_the_weight_of_an_id_that_may_mean_several_holdings_stands_on_the_first_of_them() -> None:
    target = Target(("9",), "", "", Decimal("0.1"), "ambiguous_id", "", ("Y", "X"))
    inputs = inputs_of({"A": "0.5"}, {"A": 10, "X": 5, "Y": 5}, {"X": 1, "Y": 2}, targets=(target,))
    lines = {line.symbol: line for line in make_plan(inputs, PlanningRules(), ALPACA_LIKE).lines}
    assert (lines["X"].target_weight, lines["Y"].target_weight) == (Decimal("0.1"), 0)
    assert lines["X"].note == "The id may mean X, Y."
    assert lines["Y"].note == "Its weight stands on the line of X. The id may mean X, Y."


def test_a_line_says_of_which_session_its_price_is_and_in_which_currency_a_stranger_trades() -> None:
    abroad = Instrument("BHP", "XASX", "AUD")
    inputs = inputs_of({"A": "0.1", "BHP": "0.1"}, {"A": 10, "BHP": 40}, instruments={"BHP": abroad})
    plan = make_plan(inputs, PlanningRules(), ALPACA_LIKE)
    ours, stranger = line_of(plan, "A"), line_of(plan, "BHP")
    assert (ours.price, ours.price_session, ours.price_source) == (10, inputs.prices["A"].session, "test")
    assert (stranger.reason, stranger.note) == (Reason.NOT_TRADABLE, "It trades in AUD, the plan is in USD.")


@pytest.mark.parametrize("shares", [5, 6])
def test_an_order_of_exactly_the_largest_slice_is_one_order(shares: int) -> None:
    rules = PlanningRules(max_notional_per_order=Decimal(50))
    inputs = inputs_of({}, {"A": 10}, {"A": shares})
    quantities = [order.qty for order in orders_of(make_plan(inputs, rules, ALPACA_LIKE), "A")]
    assert (len(quantities), sum(quantities)) == (1 if shares == 5 else 2, shares)
