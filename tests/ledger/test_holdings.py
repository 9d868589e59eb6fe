"""What fills, adoptions, splits and dividends add up to."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from scizor_dagster.brokers.protocol import BrokerPosition
from scizor_dagster.instruments import split_quantity
from scizor_dagster.ledger.holdings import (
    activities_of,
    cash_flow,
    fills_of,
    foreign,
    last_prices,
    owned,
    owned_by_others,
    share_of,
)
from scizor_dagster.ledger.known import earliest_session
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import activities, adoptions, trades

D = Decimal
NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
DAYS = [date(2026, 3, day) for day in (2, 3, 4, 5, 6)]
MON, TUE, WED, THU, FRI = DAYS


class Book:
    """Writes rows as tests need them."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.count = 0

    def fill(
        self,
        symbol: str,
        qty: str,
        price: str,
        session: date,
        portfolio: str | None = "main",
        fee: str = "0",
        at: datetime = NOW,
    ) -> None:
        self.count += 1
        with self.ledger.transaction() as connection:
            connection.execute(
                trades.insert().values(
                    account="paper",
                    fill_id=f"f{self.count}",
                    portfolio=portfolio,
                    client_order_id=f"o{self.count}",
                    symbol=symbol,
                    side="buy" if D(qty) > 0 else "sell",
                    qty=abs(D(qty)),
                    price=D(price),
                    fee=D(fee),
                    session=session,
                    executed_at=at,
                    recorded_at=NOW,
                )
            )

    def activity(
        self, kind: str, symbol: str | None, session: date, amount: str = "0", factor: str | None = None
    ) -> None:
        self.count += 1
        with self.ledger.transaction() as connection:
            connection.execute(
                activities.insert().values(
                    account="paper",
                    activity_id=f"a{self.count}",
                    kind=kind,
                    session=session,
                    symbol=symbol,
                    amount=D(amount),
                    qty_factor=D(factor) if factor else None,
                    description="",
                    recorded_at=NOW,
                )
            )

    def adopt(self, symbol: str, qty: str, session: date, portfolio: str = "main") -> None:
        self.count += 1
        with self.ledger.transaction() as connection:
            connection.execute(
                adoptions.insert().values(
                    adoption_id=f"d{self.count}",
                    account="paper",
                    portfolio=portfolio,
                    symbol=symbol,
                    qty=D(qty),
                    price=D(1),
                    session=session,
                    actor="test",
                    recorded_at=NOW,
                )
            )

    def owned(self, portfolio: str = "main", **when: date) -> dict[str, Decimal]:
        with self.ledger.read() as connection:
            return owned(connection, "paper", portfolio, **when)

    def cash(self, portfolio: str = "main", **when: date) -> Decimal:
        with self.ledger.read() as connection:
            return cash_flow(connection, "paper", portfolio, **when)


@pytest.fixture
def book(ledger: Ledger) -> Book:
    return Book(ledger)


def test_holdings_are_the_signed_sum_of_fills_and_flat_ones_are_dropped(book: Book) -> None:
    book.fill("AAA", "10", "5", MON)
    book.fill("AAA", "-4.5", "6", TUE)
    book.fill("BBB", "-3", "7", MON)
    book.fill("CCC", "2", "7", MON)
    book.fill("CCC", "-2", "7", TUE)
    assert book.owned() == {"AAA": D("5.5"), "BBB": D(-3)}


def test_before_leaves_the_session_out_and_through_takes_it_in(book: Book) -> None:
    book.fill("AAA", "10", "5", MON)
    book.fill("AAA", "1", "5", TUE)
    assert book.owned(before=TUE) == {"AAA": D(10)}
    assert book.owned(through=TUE) == {"AAA": D(11)}
    assert book.owned(before=MON) == {}


def test_a_portfolio_owns_nothing_of_another_one_or_of_nobody(book: Book) -> None:
    book.fill("AAA", "10", "5", MON, portfolio="other")
    book.fill("AAA", "7", "5", MON, portfolio=None)
    assert book.owned() == {}


def test_a_split_multiplies_what_was_held_before_its_session_and_not_that_sessions_fills(book: Book) -> None:
    book.fill("AAA", "10", "100", MON)
    book.activity("split", "AAA", TUE, factor="4")
    book.fill("AAA", "1", "25", TUE)
    assert book.owned(before=TUE) == {"AAA": D(10)}
    assert book.owned() == {"AAA": D(41)}


def test_splits_apply_in_session_order_and_only_to_their_symbol(book: Book) -> None:
    book.activity("split", "AAA", THU, factor="0.5")
    book.fill("AAA", "10", "100", MON)
    book.fill("BBB", "10", "100", MON)
    book.activity("split", "AAA", TUE, factor="3")
    book.fill("AAA", "2", "100", WED)
    assert book.owned() == {"AAA": D(16), "BBB": D(10)}


def test_an_adoption_gives_a_position_to_a_portfolio_and_splits_like_one(book: Book) -> None:
    book.adopt("AAA", "8", MON)
    book.activity("split", "AAA", TUE, factor="2")
    assert book.owned() == {"AAA": D(16)}
    assert book.cash() == 0


def test_cash_is_the_exact_sum_of_fills_and_fees(book: Book) -> None:
    book.fill("AAA", "3", "0.1", MON, fee="0.01")
    book.fill("AAA", "-1.5", "0.2", TUE, fee="0.02")
    assert book.cash() == D("-0.03")
    assert book.cash(before=TUE) == D("-0.31")


def test_a_dividend_is_shared_by_what_each_portfolio_owned_before_the_ex_session(book: Book) -> None:
    book.fill("AAA", "30", "1", MON)
    book.fill("AAA", "10", "1", MON, portfolio="other")
    book.activity("dividend", "AAA", WED, amount="8")
    book.fill("AAA", "60", "1", WED)
    assert book.cash(through=WED) - book.cash(through=TUE) == 6 - 60
    assert book.cash("other", through=WED) == -10 + 2


def test_a_foreign_holding_that_is_known_takes_its_part_of_a_dividend(book: Book) -> None:
    book.fill("AAA", "30", "1", MON)
    book.fill("AAA", "10", "1", MON, portfolio=None)
    book.activity("dividend", "AAA", WED, amount="8")
    assert book.cash() == -30 + 6


def test_a_foreign_holding_that_was_adopted_is_not_counted_twice(book: Book) -> None:
    book.fill("AAA", "40", "1", MON, portfolio=None)
    book.adopt("AAA", "40", TUE)
    book.activity("dividend", "AAA", WED, amount="8")
    assert book.cash() == 8


def test_a_short_pays_its_dividend(book: Book) -> None:
    book.fill("AAA", "-10", "5", MON)
    book.activity("dividend", "AAA", TUE, amount="-2")
    assert book.cash() == 50 - 2


def test_a_dividend_on_what_nobody_owned_and_other_money_flow_to_no_portfolio(book: Book) -> None:
    book.activity("dividend", "ZZZ", MON, amount="8")
    book.activity("deposit", None, MON, amount="1000")
    book.activity("interest", None, MON, amount="3")
    assert book.cash() == 0


def test_foreign_is_what_the_broker_holds_beyond_all_portfolios(book: Book) -> None:
    book.fill("AAA", "10", "5", MON)
    book.fill("AAA", "5", "5", MON, portfolio="other")
    book.fill("BBB", "4", "5", MON)
    positions = [BrokerPosition("AAA", D(15), None), BrokerPosition("CCC", D(2), None)]
    with book.ledger.read() as connection:
        assert foreign(connection, "paper", positions) == {"BBB": D(-4), "CCC": D(2)}


def test_rounding_of_a_split_factor_is_no_foreign_position(book: Book) -> None:
    book.fill("AAA", "10", "5", MON)
    book.activity("split", "AAA", TUE, factor="0.3333333333333333333333333333")
    with book.ledger.read() as connection:
        assert foreign(connection, "paper", [BrokerPosition("AAA", D("3.333333333333"), None)]) == {}


def test_rows_are_read_by_range_and_portfolio(book: Book) -> None:
    book.fill("AAA", "10", "5", MON)
    book.fill("AAA", "1", "5", TUE, portfolio="other")
    book.activity("dividend", "AAA", WED, amount="8")
    with book.ledger.read() as connection:
        assert [row.session for row in fills_of(connection, "paper", first=TUE)] == [TUE]
        assert [row.qty for row in fills_of(connection, "paper", portfolio="main", last=FRI)] == [D(10)]
        assert [row.amount for row in activities_of(connection, "paper", first=TUE, last=WED)] == [D(8)]
        assert activities_of(connection, "paper", first=THU) == []
        assert earliest_session(connection, "paper") == MON
        assert earliest_session(connection, "nobody") is None


def test_fills_are_read_as_they_happened_and_not_as_they_became_known(book: Book) -> None:
    for qty, session, minutes in (("4", TUE, 3), ("3", TUE, 2), ("2", MON, 9), ("1", MON, 1)):
        book.fill("AAA", qty, "5", session, at=NOW + timedelta(minutes=minutes))
    with book.ledger.read() as connection:
        assert [row.qty for row in fills_of(connection, "paper")] == [1, 2, 3, 4]


def test_activities_are_read_by_session_and_then_by_their_ids_whenever_they_became_known(book: Book) -> None:
    book.activity("dividend", "AAA", TUE, amount="3")
    book.activity("dividend", "AAA", MON, amount="1")
    book.count = -1
    book.activity("dividend", "AAA", TUE, amount="2")
    with book.ledger.read() as connection:
        assert [row.amount for row in activities_of(connection, "paper")] == [1, 2, 3]


@pytest.mark.parametrize("held", ["4126", "-4126", "10.000000001"])
def test_a_split_is_rounded_as_the_exchange_rounds_it(book: Book, held: str) -> None:
    third = D("0.3333333333333333")
    book.fill("AAA", held, "5", MON)
    book.activity("split", "AAA", TUE, factor=str(third))
    assert book.owned() == {"AAA": split_quantity(D(held), third)}
    book.fill("AAA", str(-split_quantity(D(held), third)), "15", WED)
    assert book.owned() == {}


def test_a_billionth_of_a_share_is_not_owned(book: Book) -> None:
    book.fill("AAA", "0.000000001", "5", MON)
    book.fill("BBB", "0.000000002", "5", MON)
    assert book.owned() == {"BBB": D("0.000000002")}


def test_a_delisting_ends_what_was_held_and_pays_each_portfolio_its_part(book: Book) -> None:
    book.fill("AAA", "30", "1", MON)
    book.fill("AAA", "10", "1", MON, portfolio="other")
    book.activity("delisting", "AAA", WED, amount="80", factor="0")
    assert (book.owned(before=WED), book.owned(through=WED)) == ({"AAA": D(30)}, {})
    assert (book.owned("other"), book.cash(), book.cash("other")) == ({}, D(30), D(10))
    assert book.cash(through=TUE) == -30


def test_what_is_bought_under_a_delisted_name_later_is_held(book: Book) -> None:
    book.fill("AAA", "-30", "1", MON)
    book.activity("delisting", "AAA", WED, amount="-60", factor="0")
    book.fill("AAA", "5", "1", FRI)
    assert (book.owned(), book.cash()) == ({"AAA": D(5)}, D(30 - 60 - 5))


def test_the_share_of_a_payment_is_what_was_owned_before_its_session_of_all_that_the_account_held(book: Book) -> None:
    book.fill("AAA", "30", "1", MON)
    book.fill("AAA", "10", "1", MON, portfolio="other")
    book.fill("BBB", "99", "1", MON, portfolio="other")
    book.adopt("BBB", "1", MON)
    book.fill("AAA", "1000", "1", WED, portfolio="other")
    with book.ledger.read() as connection:
        shares = {
            (name, symbol): share_of(connection, "paper", name, symbol, WED)
            for name in ("main", "other")
            for symbol in ("AAA", "BBB", "CCC")
        }
    assert (shares["main", "AAA"], shares["other", "AAA"]) == (D("0.75"), D("0.25"))
    assert (shares["main", "BBB"], shares["other", "BBB"]) == (D("0.01"), D("0.99"))
    assert (shares["main", "CCC"], shares["other", "CCC"]) == (0, 0)


def test_what_the_other_portfolios_own_is_theirs_together_and_foreign_fills_are_nobodys(book: Book) -> None:
    for name, qty in (("main", "1"), ("other", "30"), ("third", "-10"), (None, "500")):
        book.fill("AAA", qty, "1", MON, portfolio=name)
    book.fill("BBB", "5", "1", MON, portfolio="other")
    book.fill("BBB", "-5", "1", TUE, portfolio="third")
    with book.ledger.read() as connection:
        assert owned_by_others(connection, "paper", "main") == {"AAA": D(20)}
        assert owned_by_others(connection, "paper", "other") == {"AAA": D(-9), "BBB": D(-5)}


def test_what_was_paid_last_is_in_units_of_today_and_a_split_before_it_changes_nothing(book: Book) -> None:
    book.fill("AAA", "10", "100", MON)
    book.fill("BBB", "10", "100", MON)
    book.activity("split", "AAA", TUE, factor="4")
    book.activity("dividend", "BBB", TUE, amount="5")
    book.activity("split", "BBB", WED, factor="2")
    book.fill("BBB", "1", "60", THU)
    with book.ledger.read() as connection:
        assert last_prices(connection, "paper", ["AAA", "BBB", "CCC"]) == {"AAA": D(25), "BBB": D(60)}
        assert last_prices(connection, "paper", ["CCC"]) == {}
