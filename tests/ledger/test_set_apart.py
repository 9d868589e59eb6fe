"""What manual orders have bought and their portfolio keeps, through fills, splits, renames and sales."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerFill, Side
from scizor_dagster.ledger.activities import record_activity
from scizor_dagster.ledger.adoptions import adopt as adopt_position
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.manual_orders import ABSORB, KEEP, Ask
from scizor_dagster.ledger.set_apart import set_apart
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import MANUAL
from tests.execution.scenario import BEFORE, MONDAY, START, TUESDAY, D, adopt, order, plan_of

BUY, SELL = Side.BUY, Side.SELL


class Account:
    """Writes what happens to portfolio `main` of account `paper`."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._batches: dict[Any, int] = {}
        self._fills = 0

    def order(self, name: str, side: Side, qty: str, policy: str | None, *, symbol: str = "AAA", session=MONDAY):
        """A batch with one order, manual where it has a policy."""
        number = self._batches[session] = self._batches.get(session, 0) + 1
        plan = plan_of([order(name, symbol, side, qty)], session=session, batch=number, plan_id=name)
        plan = plan if policy is None else replace(plan, origin=MANUAL)
        ask = None if policy is None else Ask(name, "main", "{}", "jo", "a tip", policy)
        with self.ledger.transaction() as connection:
            admit(connection, plan, starting_cash=D(1000), now=START, ask=ask)

    def fill(self, name: str, side: Side, qty: str, *, symbol: str = "AAA", session=MONDAY, portfolio="main"):
        self._fills += 1
        at = START + timedelta(seconds=self._fills)
        said = BrokerFill(f"f{self._fills:03}", name, symbol, side, D(qty), D(10), D(0), session, at)
        with self.ledger.transaction() as connection:
            record_fill(connection, "paper", FillNews(said, None), portfolio=portfolio, order_id=None, now=START)

    def traded(self, name: str, side: Side, qty: str, policy: str | None, **place: Any) -> None:
        self.order(name, side, qty, policy, **place)
        self.fill(name, side, qty, **place)

    def split(self, factor: str | None, session=TUESDAY, kind: str = "split", symbol: str | None = "AAA") -> None:
        row = BrokerActivity("s1", kind, session, symbol, D(0), None if factor is None else D(factor))
        with self.ledger.transaction() as connection:
            record_activity(connection, "paper", row, now=START)

    def apart(self, **when: Any) -> dict[str, Any]:
        with self.ledger.read() as connection:
            return set_apart(connection, "paper", "main", **when)


@pytest.fixture
def account(ledger: Ledger) -> Account:
    adopt(ledger, "AAA", "100")
    return Account(ledger)


def test_nothing_is_set_apart_without_a_manual_order_that_is_kept(account: Account) -> None:
    assert account.apart() == {}
    account.traded("m", BUY, "5", ABSORB)
    account.traded("r", BUY, "5", None)
    assert account.apart() == {}


def test_what_a_manual_order_has_bought_is_set_apart_from_its_fill_on(account: Account) -> None:
    account.order("m", BUY, "5", KEEP)
    assert account.apart() == {}
    account.fill("m", BUY, "3")
    account.fill("m", BUY, "2", session=TUESDAY)
    assert account.apart() == {"AAA": 5}
    assert account.apart(last=MONDAY) == {"AAA": 3}
    assert account.apart(last=BEFORE) == {}


def test_a_rebalance_and_other_portfolios_leave_it_as_it_is(account: Account) -> None:
    account.traded("m", BUY, "5", KEEP)
    account.traded("r", SELL, "100", None)
    account.fill("other", SELL, "7", portfolio="other")
    assert account.apart() == {"AAA": 5}


def test_a_manual_sale_takes_it_back_and_what_it_sells_beyond_was_the_strategies(account: Account) -> None:
    account.traded("m", BUY, "5", KEEP)
    account.traded("back", SELL, "2", KEEP)
    assert account.apart() == {"AAA": 3}
    account.traded("more", SELL, "50", KEEP)
    assert account.apart() == {}
    account.traded("again", BUY, "1", KEEP)
    assert account.apart() == {"AAA": 1}


def test_a_short_that_a_person_has_opened_is_set_apart_too(account: Account) -> None:
    account.traded("m", SELL, "4", KEEP, symbol="BBB")
    assert account.apart() == {"BBB": -4}
    account.traded("cover", BUY, "6", KEEP, symbol="BBB")
    assert account.apart() == {"BBB": 2}


def test_it_is_never_more_than_what_is_owned(account: Account) -> None:
    account.traded("m", BUY, "5", KEEP)
    account.fill("late", SELL, "102")
    assert account.apart() == {"AAA": 3}


@pytest.mark.parametrize(
    ("factor", "kind", "symbol", "left"),
    [
        ("4", "split", "AAA", 20),
        ("0", "delisting", "AAA", None),
        (None, "dividend", "AAA", 5),
        ("2", "split", "ZZZ", 5),
    ],
)
def test_a_split_multiplies_it_and_a_delisting_ends_it(
    account: Account, factor: str | None, kind: str, symbol: str, left: int | None
) -> None:
    account.traded("m", BUY, "5", KEEP)
    account.split(factor, kind=kind, symbol=symbol)
    assert account.apart() == ({} if left is None else {"AAA": left})


def _hand(connection: sa.Connection, symbol: str, qty: str, price: str = "10") -> None:
    adopt_position(
        connection, "paper", "main", symbol, D(qty), price=D(price), session=TUESDAY, actor="test", now=START
    )


def test_it_goes_on_under_the_new_name_of_its_instrument(account: Account) -> None:
    account.traded("m", BUY, "5", KEEP)
    with account.ledger.transaction() as connection:
        _hand(connection, "AAA", "-105")
        _hand(connection, "NEW", "105")
        _hand(connection, "XXX", "5", "3")
    assert account.apart() == {"NEW": 5}


def test_what_is_handed_out_of_the_portfolio_is_kept_no_more(account: Account) -> None:
    account.traded("m", BUY, "5", KEEP)
    with account.ledger.transaction() as connection:
        _hand(connection, "AAA", "-103")
    assert account.apart() == {"AAA": 2}
