"""A plan in an account where somebody else trades too, and under rules that read past bars."""

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES, PAPER_CAPABILITIES
from scizor_dagster.brokers.protocol import AccountState, OrderRequest, OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.errors import BrokerUnavailable, InputError
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.facts import account_beside, shorts_allowed
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.market_data.trading_facts import average_volumes
from scizor_dagster.planning.model import Plan, Reason
from scizor_dagster.planning.rules import PlanningRules
from tests.flow.desks import EARLY, FIRST, NOW, SECOND, collected, trade
from tests.projects import project_at, small_project

NOBODYS = "META"
"""A symbol of the universe that no weights name."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    desk = collected(folder)
    desk.ledger.close()
    return folder


@pytest.fixture
def desk(template: Path, tmp_path: Path) -> Desk:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Desk(project_at(tmp_path).settings, lambda: NOW)


def with_rules(desk: Desk, **changes: object) -> Desk:
    """The same stores under other rules."""
    return Desk(small_project(desk.settings.config_path.parent, **changes).settings, lambda: NOW)


def by_hand(desk: Desk, symbol: str, side: Side, qty: int, session: date, *, fill: bool) -> None:
    """An order of the account that no portfolio sent."""
    broker = desk.broker("paper", "us")
    intent = PositionIntent.BUY_TO_OPEN if side is Side.BUY else PositionIntent.SELL_TO_CLOSE
    words = (OrderType.MARKET, TimeInForce.DAY, session, intent)
    broker.submit(OrderRequest(f"hand-{symbol}-{side}-{session}", symbol, side, Decimal(qty), *words))
    while fill and broker.advance(session):
        pass


def planned(desk: Desk, session: date = FIRST) -> Plan:
    consolidate_session(desk, "main", session)
    return plan_session(desk, "main", session).plan


def reason_of(plan: Plan, symbol: str) -> Reason:
    return next(line.reason for line in plan.lines if line.symbol == symbol)


def test_a_position_that_no_portfolio_owns_is_a_line_of_the_plan_and_is_left_alone(desk: Desk) -> None:
    by_hand(desk, NOBODYS, Side.BUY, 7, EARLY, fill=True)
    plan = planned(desk)
    assert reason_of(plan, NOBODYS) is Reason.FOREIGN
    assert {order.symbol for order in plan.orders} == {"AAPL", "MSFT", "NVDA"}
    assert planned(desk).plan_id == plan.plan_id


def test_managing_what_no_portfolio_owns_is_refused_in_a_session(desk: Desk) -> None:
    by_hand(desk, NOBODYS, Side.BUY, 7, EARLY, fill=True)
    edited = with_rules(desk, planning={"manage_foreign": True})
    with pytest.raises(InputError, match=f"{NOBODYS}, which no portfolio owns"):
        planned(edited)


def test_what_a_foreign_order_sells_is_not_sold_again_and_not_bought_against(desk: Desk) -> None:
    trade(desk, FIRST)
    reconcile_session(desk, "main", FIRST)
    held = next(row.qty for row in desk.broker("paper", "us").positions() if row.symbol == "MSFT")
    by_hand(desk, "MSFT", Side.SELL, int(held), SECOND, fill=False)
    plan = planned(desk, SECOND)
    assert reason_of(plan, "MSFT") in (Reason.HELD_BY_ORDER, Reason.REBALANCE)
    assert sum(order.qty for order in plan.orders if order.symbol == "MSFT") <= held - int(held)


def test_a_portfolios_own_finished_session_leaves_nothing_beside_it(desk: Desk) -> None:
    trade(desk, FIRST)
    beside = account_beside(desk, "main", desk.broker("paper", "us"))
    assert (dict(beside.foreign), beside.open_orders) == ({}, ())


def test_a_broker_that_cannot_be_read_is_no_empty_account(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from scizor_dagster.brokers.paper import PaperBroker

    def unreadable(_: PaperBroker) -> None:
        raise BrokerUnavailable("The positions cannot be read.", remedy="Try again.")

    consolidate_session(desk, "main", FIRST)
    monkeypatch.setattr(PaperBroker, "positions", unreadable)
    with pytest.raises(BrokerUnavailable):
        plan_session(desk, "main", FIRST)


def test_the_share_of_volume_is_of_the_bars_before_the_session(desk: Desk) -> None:
    volume = average_volumes(desk.lake, "us", EARLY)["NVDA"]
    share = float(10 / volume)
    plan = planned(with_rules(desk, planning={"max_participation": share}))
    bought = sum(order.qty for order in plan.orders if order.symbol == "NVDA")
    assert 9 < bought <= 10


def test_a_bracket_in_true_ranges_takes_them_from_the_bars(desk: Desk) -> None:
    changes = {
        "execution": {"mode_on_buy": "bracket", "sl_atr": 2.0, "tp_atr": 3.0},
        "risk": {"fractional_shares": {"enabled": False}},
    }
    plan = planned(with_rules(desk, **changes))
    assert {order.order_type for order in plan.orders} == {OrderType.BRACKET}
    assert all(order.stop_loss < order.price_used < order.take_profit for order in plan.orders)


def test_a_close_that_jumped_tenfold_without_a_corporate_action_sizes_no_order(desk: Desk) -> None:
    with desk.lake.write() as cursor:
        tenfold = ", ".join(f"{name} = {name} * 10" for name in ("open", "high", "low", "close"))
        cursor.execute(f"UPDATE bars SET {tenfold} WHERE symbol = 'NVDA' AND session = ?", [EARLY])
    plan = planned(desk)
    assert reason_of(plan, "NVDA") is Reason.PRICE_COLLAR
    assert {order.symbol for order in plan.orders} == {"AAPL", "MSFT"}


@pytest.mark.parametrize(
    ("rules", "equity", "expected"),
    [
        (PlanningRules(allow_short=True), 1999, False),
        (PlanningRules(allow_short=True), 2000, True),
        (PlanningRules(), 1999, None),
    ],
)
def test_the_accounts_equity_answers_for_shorts_only_where_a_rule_allows_them(rules, equity, expected) -> None:
    now = AccountState(Decimal(0), Decimal(equity), Decimal(0), "USD", NOW)
    broker = SimpleNamespace(capabilities=ALPACA_CAPABILITIES, account=lambda: now)
    assert shorts_allowed(broker, rules) is expected  # type: ignore[arg-type]


def test_a_broker_that_asks_no_equity_of_short_sales_is_not_asked_for_it() -> None:
    assert shorts_allowed(SimpleNamespace(capabilities=PAPER_CAPABILITIES), PlanningRules(allow_short=True)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("mode", "column"), [("moo", "open"), ("moc", "close")])
def test_auction_orders_of_a_session_fill_at_its_open_or_at_its_close(desk: Desk, mode: str, column: str) -> None:
    changes = {
        "accounts": {"paper": {"auction_orders": True, "exchange": {"half_spread_bps": 0.0, "impact_bps": 0.0}}},
        "execution": {"mode_on_buy": mode},
        "risk": {"fractional_shares": {"enabled": False}},
    }
    edited = with_rules(desk, **changes)
    trade(edited, FIRST)
    with desk.lake.read() as cursor:
        bars = cursor.execute(f"SELECT symbol, {column} FROM bars WHERE session = ?", [FIRST]).fetchall()
    fills = edited.broker("paper", "us").fills(FIRST, FIRST)
    assert {fill.symbol for fill in fills} == {"AAPL", "MSFT", "NVDA"}
    for fill in fills:
        assert float(fill.price) == pytest.approx(dict(bars)[fill.symbol], abs=0.0001)
