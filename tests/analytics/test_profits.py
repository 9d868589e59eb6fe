"""Profits by instrument and strategy add up exactly; virtual positions to the portfolio's, theirs to the broker's."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.analytics.profits import (
    ACCOUNT,
    Adopted,
    Payment,
    ProfitBook,
    Profits,
    SessionOfPortfolio,
    Trade,
)
from scizor_dagster.analytics.virtual_positions import MANUAL, NOBODY, PlannedMove
from scizor_dagster.instruments import split_quantity
from scizor_dagster.ledger.account_books import AccountBooks, SessionRows
from scizor_dagster.signals.arithmetic import exact_arithmetic

D = Decimal
AT = datetime(2026, 1, 5, 15, tzinfo=UTC)


def move(ordered: object, batch: str = "b1", **parts: object) -> PlannedMove:
    return PlannedMove(batch, D(str(ordered)), {name: D(str(part)) for name, part in parts.items()})


def trade(qty: object, price: object, wanted: PlannedMove | None = None, fee: object = 0, symbol: str = "AAA") -> Trade:
    return Trade(symbol, D(str(qty)), D(str(price)), D(str(fee)), wanted)


def passed(book: ProfitBook, *trades: Trade, **more: Any) -> ProfitBook:
    book.pass_session(SessionOfPortfolio(trades=list(trades), **more))
    return book


def held(book: ProfitBook, symbol: str = "AAA") -> dict[str, str]:
    return {name: f"{qty.normalize():f}" for name, qty in sorted(book.held(symbol).items())}


def lines(profits: Profits) -> dict[str, Decimal]:
    return {symbol: line.profit for symbol, line in profits.by_instrument.items()}


def test_each_fill_moves_every_strategy_by_the_same_share_of_its_way_to_its_part_of_the_target() -> None:
    wanted = move(100, trend=0.3, value=0.1)
    book = passed(ProfitBook(), trade(40, 10, wanted))
    assert held(book) == {"trend": "30", "value": "10"}
    passed(book, trade(60, 10, move(60, trend=0.3, value=0.1)))
    assert held(book) == {"trend": "75", "value": "25"}


def test_what_one_strategy_sells_to_another_changes_hands_at_the_price_of_the_net_fill() -> None:
    book = passed(ProfitBook(), trade(100, 10, move(100, trend=0.2, value=0.2)))
    book.measured({"AAA": D(10)})
    passed(book, trade(10, 12, move(10, trend=0.4, value=0.04)))
    assert held(book) == {"trend": "100", "value": "10"}
    profits = book.measured({"AAA": D(12)})
    assert profits.by_strategy["value", "AAA"].realised == 80
    assert {name: line.profit for (name, _), line in profits.by_strategy.items()} == {"trend": 100, "value": 100}
    assert profits.by_instrument["AAA"].realised == 0
    assert lines(profits) == {"AAA": 200}


def test_a_strategy_that_stops_is_sold_and_the_others_keep_theirs() -> None:
    book = passed(ProfitBook(), trade(100, 10, move(100, trend=0.2, value=0.2)))
    passed(book, trade(-20, 10, move(-50, trend=0.2, value=0)))
    assert held(book) == {"trend": "50", "value": "30"}


def test_an_instrument_that_left_the_targets_is_sold_by_all_who_hold_it() -> None:
    book = passed(ProfitBook(), trade(100, 10, move(100, trend=0.3, value=0.1)))
    passed(book, trade(-50, 10, move(-100)))
    assert held(book) == {"trend": "37.5", "value": "12.5"}
    passed(book, trade(-50, 10, move(-50)))
    assert held(book) == {}


def test_opposite_parts_are_long_and_short_within_a_position() -> None:
    book = passed(ProfitBook(), trade(20, 10, move(20, trend=0.3, value=-0.1), fee=4))
    assert held(book) == {"trend": "30", "value": "-10"}
    profits = book.measured({"AAA": D(11)})
    assert {name: line.profit for (name, _), line in profits.by_strategy.items()} == {"trend": 27, "value": -11}
    dividend = Payment("AAA", "dividend", D(20))
    passed(book, payments=[dividend])
    assert {key[0]: line.income for key, line in book.measured({"AAA": D(11)}).by_strategy.items()} == {
        "trend": 30, "value": -10,
    }  # fmt: skip


def test_thirds_are_rounded_toward_zero_and_the_largest_part_gets_the_rest() -> None:
    book = passed(ProfitBook(), trade(10, 10, move(10, a=0.1, b=0.1, c=0.1)))
    assert held(book) == {"a": "3.333333334", "b": "3.333333333", "c": "3.333333333"}


def test_many_small_fills_end_where_one_whole_fill_does() -> None:
    wanted = move(10, a=0.1, b=0.1, c=0.1)
    at_once = passed(ProfitBook(), trade(10, 10, wanted))
    bit_by_bit = passed(ProfitBook(), *[trade("0.7", 10, wanted) for _ in range(14)], trade("0.2", 10, wanted))
    assert held(bit_by_bit) == held(at_once)


def test_a_fill_that_no_plan_asked_for_is_split_by_what_is_held() -> None:
    book = passed(ProfitBook(), trade(8, 10, move(8, trend=0.3, value=0.1)))
    passed(book, trade(-4, 10))
    assert held(book) == {"trend": "3", "value": "1"}
    assert held(passed(ProfitBook(), trade(5, 10))) == {NOBODY: "5"}


def test_a_target_of_which_the_parts_cancel_out_is_split_by_what_is_held() -> None:
    book = passed(ProfitBook(), trade(8, 10, move(8, trend=0.3, value=0.1)))
    passed(book, trade(-4, 10, move(-4, trend=0.1, value=-0.1)))
    assert held(book) == {"trend": "3", "value": "1"}
    assert held(passed(ProfitBook(), trade(4, 10, move(4, trend=0.1, value=-0.1)))) == {NOBODY: "4"}


def test_an_adopted_position_is_nobodys_until_a_batch_trades_it_and_no_profit() -> None:
    book = passed(ProfitBook(), adopted=[Adopted("AAA", D(100), D(10))])
    assert held(book) == {NOBODY: "100"}
    profits = book.measured({"AAA": D(10)})
    assert (profits.total, profits.inflow) == (0, 1000)
    passed(book, trade(50, 10, move(50, trend=0.4)))
    assert held(book) == {"trend": "150"}


@pytest.mark.parametrize(("old", "new"), [("AAA", "BBB"), ("BBB", "AAA")])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_holding_that_goes_on_under_another_name_stays_with_its_strategies(old: str, new: str, sign: int) -> None:
    book = passed(
        ProfitBook(), trade(sign * 100, 10, move(sign * 100, trend=sign * 0.3, value=-sign * 0.1), symbol=old)
    )
    book.measured({old: D(11)})
    adopted = [Adopted(new, D(sign * 100), D(11), other=old), Adopted(old, D(-sign * 100), D(11), other=new)]
    passed(book, adopted=sorted(adopted, key=lambda item: item.symbol))
    assert (held(book, old), held(book, new)) == ({}, {"trend": f"{sign * 150}", "value": f"{-sign * 50}"})
    profits = book.measured({new: D(12)})
    assert {name: line.profit for (name, symbol), line in profits.by_strategy.items() if symbol == new} == {
        "trend": sign * 150, "value": -sign * 50,
    }  # fmt: skip
    assert (profits.total, profits.inflow) == (sign * 100, 0)


def test_what_is_handed_away_is_taken_from_who_holds_it_and_what_goes_beyond_is_nobodys() -> None:
    book = passed(ProfitBook(), trade(100, 10, move(100, trend=0.3, value=0.1)))
    passed(book, adopted=[Adopted("AAA", D(-40), D(10))])
    assert held(book) == {"trend": "45", "value": "15"}
    passed(book, adopted=[Adopted("AAA", D(-70), D(10))])
    assert held(book) == {NOBODY: "-10"}


def test_what_is_closed_takes_its_part_of_the_average_cost_and_what_goes_beyond_opens_the_other_side() -> None:
    book = passed(ProfitBook(), trade(10, 10), trade(10, 14), trade(-5, 20, fee=1))
    profits = book.measured({"AAA": D(20)})
    line = profits.by_instrument["AAA"]
    assert (line.cost, line.realised, line.unrealised, line.fees, line.profit) == (180, 40, 120, 1, 159)
    passed(book, trade(-25, 18))
    line = book.measured({"AAA": D(17)}).by_instrument["AAA"]
    assert (line.qty, line.cost, line.realised, line.unrealised) == (-10, -180, 90, -110)
    assert line.profit == -20


def test_a_split_keeps_the_cost_and_a_delisting_realises_what_it_pays_less_that() -> None:
    book = passed(ProfitBook(), trade(3, 30, move(3, a=0.1, b=0.2)))
    book.measured({"AAA": D(30)})
    passed(book, payments=[Payment("AAA", "split", D(0), D(4))])
    assert held(book) == {"a": "4", "b": "8"}
    assert book.measured({"AAA": D("7.5")}).total == 0
    passed(book, payments=[Payment("AAA", "delisting", D(60), D(0))])
    profits = book.measured({})
    assert (profits.by_instrument["AAA"].realised, profits.total) == (-30, -30)
    assert book.quantities() == {}


def test_money_of_the_account_is_a_line_of_its_own_of_which_deposits_are_no_profit() -> None:
    book = passed(
        ProfitBook(), money=[("deposit", D(500)), ("interest", D(3)), ("fee", D(-2)), ("withdrawal", D(-100))]
    )
    profits = book.measured({})
    line = profits.by_instrument[ACCOUNT]
    assert (line.value, line.income, line.fees, line.inflow, line.profit) == (401, 3, 2, 400, 1)
    assert profits.by_strategy[NOBODY, ACCOUNT] == line
    assert profits.account_money == 401


def test_a_holding_without_a_price_counts_nothing_as_in_the_equity() -> None:
    book = passed(ProfitBook(), trade(10, 5))
    assert book.measured({}).by_instrument["AAA"].profit == -50
    assert book.measured({"AAA": D(6)}).total == 60


OWNERS = ("main", "other")
STRATEGIES = ("carry", "trend", "value")
SYMBOLS = ("AAA", "BBB")
QTY = st.integers(-90_000, 90_000).filter(bool).map(lambda n: D(n) / 1000)
PRICE = st.integers(1, 90_000).map(lambda n: D(n) / 1000)
PART = st.sampled_from([D("0.3"), D("0.1"), D("-0.2"), D(0), D("0.33333333"), D("-0.1")])
FACTOR = st.sampled_from([D(2), D("0.1"), D(1) / D(3), D("1.5"), D(4)])


@dataclass
class Told:
    """One session of an account, as the ledger holds it and as each portfolio's book is told."""

    fills: list[tuple[str | None, str, Decimal, Decimal, Decimal, PlannedMove | None]]
    activities: list[tuple[str, str | None, Decimal, Decimal | None]] = field(default_factory=list)
    adopted: list[tuple[str, str, Decimal]] = field(default_factory=list)


@st.composite
def sessions(draw: st.DrawFn, number: int) -> Told:
    fills: list[Any] = []
    for place in range(draw(st.integers(0, 4))):
        owner, symbol = draw(st.sampled_from([*OWNERS, None])), draw(st.sampled_from(SYMBOLS))
        parts = {name: draw(PART) for name in draw(st.sets(st.sampled_from(STRATEGIES)))}
        ordered = draw(QTY)
        wanted = PlannedMove(f"{number}/{place}", ordered, parts) if draw(st.booleans()) else None
        # Whole, in part, beyond what was ordered, and the other way round.
        for share in draw(st.lists(st.sampled_from([1, 2, 3, -1, 10]), min_size=1, max_size=3)):
            qty = (ordered / share).quantize(D("1e-6"))
            fills.append((owner, symbol, qty, draw(PRICE), D("0.35"), wanted))
    activities: list[Any] = []
    for kind in draw(st.lists(st.sampled_from(["dividend", "split", "delisting", "deposit", "fee"]), max_size=2)):
        symbol = None if kind in ("deposit", "fee") else draw(st.sampled_from(SYMBOLS))
        factor = {"split": draw(FACTOR), "delisting": D(0)}.get(kind)
        activities.append((kind, symbol, D(0) if kind == "split" else draw(QTY).quantize(D("0.01")), factor))
    adopted = [("main", "AAA", draw(QTY))] if draw(st.integers(0, 5)) == 0 else []
    return Told(fills, activities, adopted)


def rows_of(told: Told) -> SessionRows:
    return SessionRows(
        [SimpleNamespace(kind=k, symbol=s, amount=a, qty_factor=f) for k, s, a, f in told.activities],
        [
            SimpleNamespace(portfolio=o, symbol=s, side="buy" if q > 0 else "sell", qty=abs(q), price=p, fee=fee)
            for o, s, q, p, fee, _ in told.fills
        ],
        [SimpleNamespace(portfolio=o, symbol=s, qty=q) for o, s, q in told.adopted],
    )


def portfolio_session(told: Told, owner: str, books: AccountBooks, closes: Mapping[str, Decimal]) -> SessionOfPortfolio:
    return SessionOfPortfolio(
        payments=[
            Payment(s, kind, amount * books.share(owner, s), factor) for kind, s, amount, factor in told.activities if s
        ],
        trades=[Trade(s, q, p, fee, wanted) for o, s, q, p, fee, wanted in told.fills if o == owner],
        adopted=[Adopted(s, q, closes[s]) for o, s, q in told.adopted if o == owner],
        money=[(kind, amount) for kind, s, amount, _ in told.activities if s is None],
    )


@settings(max_examples=2000 if os.environ.get("SCIZOR_TORTURE") else 50, deadline=None)
@given(data=st.data(), count=st.integers(1, 6))
def test_whatever_fills_splits_blends_and_stops_come_all_parts_sum_to_the_whole(
    data: st.DataObject, count: int
) -> None:
    books, broker = AccountBooks(), dict.fromkeys(SYMBOLS, D(0))
    mine = {owner: ProfitBook() for owner in OWNERS}
    before = dict.fromkeys(OWNERS, D(0))
    for number in range(count):
        told = data.draw(sessions(number))
        closes = {symbol: data.draw(PRICE) for symbol in SYMBOLS}
        for owner, book in mine.items():
            book.pass_session(portfolio_session(told, owner, books, closes))
        books.pass_session(rows_of(told))
        for kind, symbol, _, factor in told.activities:
            if symbol is not None and factor is not None and kind != "dividend":
                broker[symbol] = split_quantity(broker[symbol], factor)
        for _, symbol, qty, *_ in told.fills:
            broker[symbol] += qty
        for owner, book in mine.items():
            agree(book, owner, books)
            before[owner] = add_up(book, owner, books, closes, before[owner])
        for symbol, there in broker.items():
            everyone = sum((qty for (_, name), qty in books.quantities.items() if name == symbol), D(0))
            virtual = sum((sum(book.held(symbol).values(), D(0)) for book in mine.values()), D(0))
            foreign = books.quantities.get((None, symbol), D(0))
            assert virtual + foreign == everyone
            # A split rounds each owner's part and the broker's whole for itself.
            assert abs(everyone - there) <= D("1e-7")


def agree(book: ProfitBook, owner: str, books: AccountBooks) -> None:
    """Strategies sum to the portfolio, which is what the ledger's books have."""
    assert book.quantities() == {symbol: qty for (who, symbol), qty in books.quantities.items() if who == owner}
    for symbol in SYMBOLS:
        assert sum(book.held(symbol).values(), D(0)) == book.quantities().get(symbol, D(0))


def add_up(
    book: ProfitBook, owner: str, books: AccountBooks, closes: Mapping[str, Decimal], equity_before: Decimal
) -> Decimal:
    """Profits over strategies = over instruments = change of the equity less what was brought in; the new equity."""
    profits = book.measured(closes)
    with exact_arithmetic():
        for symbol, line in profits.by_instrument.items():
            of = [item for (_, which), item in profits.by_strategy.items() if which == symbol]
            for name in ("profit", "income", "fees", "inflow", "value"):
                assert sum((getattr(item, name) for item in of), D(0)) == getattr(line, name), (symbol, name)
        assert {which for _, which in profits.by_strategy} - {ACCOUNT} <= {*profits.by_instrument, *SYMBOLS}
        assert sum((item.profit for item in profits.by_strategy.values()), D(0)) == profits.total
        worth = sum((qty * closes[symbol] for symbol, qty in book.quantities().items()), D(0))
        equity = worth + books.flows.get(owner, D(0)) + profits.account_money
        assert abs(profits.total - (equity - equity_before - profits.inflow)) < D("1e-18")
    return equity


@pytest.mark.parametrize("qty", [10, -10])
def test_a_position_that_is_closed_and_opened_again_within_a_session_is_realised(qty: int) -> None:
    profits = passed(ProfitBook(), trade(qty, 10), trade(-qty, 12), trade(qty, 12)).measured({"AAA": D(12)})
    line = profits.by_instrument["AAA"]
    assert (line.realised, line.unrealised) == (2 * qty, 0)


def held_by(book: ProfitBook) -> dict[str, Decimal]:
    return {name: item.qty for name, item in book.strategies.get("AAA", {}).items() if item.qty}


def test_a_manual_order_is_a_position_of_its_own_which_a_rebalance_closes_at_the_price_of_its_fill() -> None:
    book = ProfitBook()
    book.pass_session(SessionOfPortfolio(trades=[trade(10, 10, move(10, trend=1))]))
    by_hand = PlannedMove("m", D(-4), {}, by_hand=True)
    book.pass_session(SessionOfPortfolio(trades=[trade(-3, 12, by_hand), trade(-1, 12, by_hand)]))
    assert held_by(book) == {"trend": 10, MANUAL: -4}
    book.pass_session(SessionOfPortfolio(trades=[trade(4, 11, move(4, "b2", trend=1))]))
    assert held_by(book) == {"trend": 10}
    lines = book.measured({"AAA": D(11)}).by_strategy
    assert (lines[MANUAL, "AAA"].profit, lines["trend", "AAA"].profit) == (4, 10)


def test_what_is_set_apart_stays_of_manual_orders_beside_the_target_of_the_strategies() -> None:
    book = ProfitBook()
    by_hand = PlannedMove("m", D(5), {}, by_hand=True)
    book.pass_session(SessionOfPortfolio(trades=[trade(5, 10, by_hand)]))
    both = PlannedMove("b", D(8), {"trend": D("0.3"), "value": D("0.1")}, apart=D(5))
    book.pass_session(SessionOfPortfolio(trades=[trade(8, 10, both)]))
    assert held_by(book) == {MANUAL: 5, "trend": 6, "value": 2}
    none = PlannedMove("c", D(-8), {}, apart=D(5))
    book.pass_session(SessionOfPortfolio(trades=[trade(-8, 10, none)]))
    assert held_by(book) == {MANUAL: 5}
