"""Two portfolios on one account: what one of them has at the broker is seen when the other one plans."""

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.facts import account_beside
from scizor_dagster.flow.plans import current_plan, plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.ledger.rows import intents_in
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.planning.model import Plan, Reason
from tests.flow.desks import FIRST, NOW, SECOND, collected
from tests.projects import MANIFEST, STRATEGY, project_at, small_project, write_weights

OTHER = "contrary"
SHARED = {"market": "us", "account": "paper", "capital": {"share": 0.5}}
PORTFOLIOS = {
    "main": {"capital": {"share": 0.5}},
    "second": {**SHARED, "signals": {"mode": "select", "strategy": OTHER, "as_of": "exact"}},
}
SHORTS = {"weights": {"allow_short": True}}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collected stores of an account in which the portfolio main holds what it bought in the first session."""
    folder = tmp_path_factory.mktemp("template")
    collected(folder).ledger.close()
    desk = desk_of(folder, folder, {SECOND: {"META": 0.2}})
    planned(desk, "main", FIRST)
    trade_session(desk, "main", FIRST, "test-run")
    reconcile_session(desk, "main", FIRST)
    desk.ledger.close()
    desk.lake.close()
    return folder


def desk_of(template: Path, folder: Path, others: dict[date, dict[str, float]], **changes: object) -> Desk:
    """The stores of `template` with a second portfolio, which trades `others`."""
    if folder != template:
        shutil.copytree(template, folder, dirs_exist_ok=True)
    small_project(folder, portfolios=PORTFOLIOS, **changes)
    write_weights(folder / "others.csv", others)
    second = {"id": OTHER, "path": "others.csv", "format": "csv"}
    text = str({"strategies": [*MANIFEST["strategies"], second]})
    (folder / "strategy_manifest.yaml").write_text(text.replace("'", '"'))
    assert STRATEGY in text
    return Desk(project_at(folder).settings, lambda: NOW)


def planned(desk: Desk, portfolio: str, session: date) -> Plan:
    consolidate_session(desk, portfolio, session)
    return plan_session(desk, portfolio, session).plan


def line_of(plan: Plan, symbol: str):
    return next(line for line in plan.lines if line.symbol == symbol)


def rest(desk: Desk, symbol: str, side: Side, session: date, portfolio: str) -> None:
    """Let an admitted order of `portfolio` rest at the broker: its session's bars are taken away first."""
    with desk.lake.write() as cursor:
        cursor.execute("DELETE FROM bars WHERE session >= ?", [session])
    planned(desk, portfolio, session)
    trade_session(desk, portfolio, session, "test-run")
    resting = {(order.symbol, order.side) for order in desk.broker("paper", "us").open_orders()}
    assert (symbol, side) in resting


def test_a_buy_that_would_meet_the_other_portfolios_open_sale_is_kept_with_a_reason(
    template: Path, tmp_path: Path
) -> None:
    desk = desk_of(template, tmp_path, {SECOND: {"MSFT": 0.3, "META": 0.2}})
    rest(desk, "MSFT", Side.SELL, SECOND, "main")
    plan = planned(desk, "second", SECOND)
    assert line_of(plan, "MSFT").reason is Reason.WASH_TRADE
    assert {order.symbol for order in plan.orders} == {"META"}


def test_a_plan_made_before_the_others_sale_rested_is_not_sent_against_it(template: Path, tmp_path: Path) -> None:
    desk = desk_of(template, tmp_path, {SECOND: {"MSFT": 0.3, "META": 0.2}})
    before = planned(desk, "second", SECOND)
    assert line_of(before, "MSFT").reason is Reason.OPEN
    rest(desk, "MSFT", Side.SELL, SECOND, "main")
    after = planned(desk, "second", SECOND)
    assert after.plan_id != before.plan_id
    assert current_plan(desk, "second", SECOND).plan_id == after.plan_id


def test_what_the_other_portfolio_sends_leaves_a_plan_as_it_is_that_it_does_not_touch(
    template: Path, tmp_path: Path
) -> None:
    desk = desk_of(template, tmp_path, {SECOND: {"MSFT": 0.0, "META": 0.2}})
    before = planned(desk, "second", SECOND)
    rest(desk, "MSFT", Side.SELL, SECOND, "main")
    assert current_plan(desk, "second", SECOND) == before


def test_a_short_sale_is_kept_while_the_other_portfolio_is_long(template: Path, tmp_path: Path) -> None:
    desk = desk_of(template, tmp_path, {SECOND: {"AAPL": -0.1, "META": 0.2}}, **SHORTS)
    plan = planned(desk, "second", SECOND)
    assert line_of(plan, "AAPL").reason is Reason.ACCOUNT_NET
    assert {order.symbol for order in plan.orders} == {"META"}


def test_the_account_beside_a_portfolio_has_what_the_others_own_and_have_open(template: Path, tmp_path: Path) -> None:
    desk = desk_of(template, tmp_path, {SECOND: {"META": 0.2}})
    rest(desk, "MSFT", Side.SELL, SECOND, "main")
    broker = desk.broker("paper", "us")
    beside = account_beside(desk, "second", broker)
    held = {row.symbol: row.qty for row in broker.positions()}
    assert beside.siblings == held
    assert (beside.foreign, beside.open_orders) == ({}, ())
    assert {order.symbol for order in beside.sibling_orders} >= {"MSFT"}
    assert all(order.remaining > Decimal(0) and not order.own for order in beside.sibling_orders)
    own = account_beside(desk, "main", broker)
    assert (own.siblings, own.sibling_orders) == ({}, ())
    with desk.ledger.read() as connection:
        waiting = {row.symbol for row in intents_in(connection, "paper", (IntentState.HELD, IntentState.READY))}
    assert waiting
    assert {order.symbol for order in own.open_orders} == waiting | {order.symbol for order in beside.sibling_orders}
