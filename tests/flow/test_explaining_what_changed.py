"""What is said of a fill stays true after its order was found, handed over, moved with its portfolio, or rebuilt."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.analytics.explain.model import Step
from scizor_dagster.brokers.protocol import BrokerFill, Side
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_lines import explain_line, order_origins
from scizor_dagster.flow.explaining import explain
from scizor_dagster.ledger.adoptions import adopt
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.rows import fills_of, intents_of_session
from tests.flow.desks import FIRST, NOW, SECOND
from tests.flow.test_explaining import text_of
from tests.flow.test_manual_orders import DAY, _traded, opened, place  # noqa: F401 - fixtures
from tests.flow.traded import copied

FILL = "paper-F14"


@pytest.fixture
def desk(past: Path, tmp_path: Path) -> Iterator[Desk]:
    found = copied(past, tmp_path)
    yield found
    found.lake.close()
    found.ledger.close()


def _change(desk: Desk, *statements: str) -> None:
    with desk.ledger.transaction() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _configured(desk: Desk, **changes: Any) -> Desk:
    """The desk with sections of its configuration replaced."""
    path = desk.settings.config_path
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    return Desk(desk.settings, desk.machine_clock)


def test_a_fill_that_was_nobodys_until_its_order_was_found_is_its_portfolios(desk: Desk) -> None:
    own = explain(desk, FILL)
    same = (
        "account, fill_id, revision, client_order_id, symbol, side, qty, price, fee, session, executed_at, recorded_at"
    )
    of_fill = f"WHERE fill_id = '{FILL}'"
    _change(
        desk,
        f"INSERT INTO trades ({same}, version, portfolio) SELECT {same}, 2, 'main' FROM trades {of_fill}",
        f"UPDATE trades SET portfolio = NULL {of_fill} AND version = 1",
    )
    made = explain(desk, FILL)
    assert made.portfolio == "main"
    assert "foreign" not in text_of(made)
    for step in (Step.FILE, Step.PLAN, Step.REASON, Step.ORDER):
        assert made.of(step) == own.of(step) != ()


def test_a_foreign_fill_whose_shares_were_handed_over_is_not_said_to_be_nobodys(desk: Desk) -> None:
    _change(desk, f"UPDATE trades SET portfolio = NULL, client_order_id = 'by-hand' WHERE fill_id = '{FILL}'")
    before = text_of(explain(desk, FILL))
    assert "belongs to no portfolio, and no plan trades it" in before
    with desk.ledger.read() as connection:
        (fill,) = (row for row in fills_of(connection, "paper") if row.fill_id == FILL)
    how = {"price": fill.price, "session": SECOND, "actor": "ann", "now": NOW + timedelta(days=1)}
    with desk.ledger.transaction() as connection:
        adopt(connection, "paper", "main", fill.symbol, Decimal(2), **how)
    after = " ".join(text_of(explain(desk, FILL)).split())
    assert "no plan trades it" not in after
    assert "2 to main by ann" in after


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "taken out"])
def test_what_a_portfolio_has_traded_stays_explained_where_it_is_on_another_account_or_gone(
    desk: Desk, moved: bool
) -> None:
    own = explain(desk, FILL)
    (order,) = own.of(Step.ORDER)
    config = yaml.safe_load(desk.settings.config_path.read_text())
    accounts, portfolios = config["accounts"], config["portfolios"]
    if moved:
        accounts["next"] = dict(accounts["paper"])
        portfolios["main"]["account"] = "next"
    else:
        portfolios["new"] = portfolios.pop("main")
    desk = _configured(desk, accounts=accounts, portfolios=portfolios)
    for made in (explain(desk, FILL), explain(desk, order.facts["client_order_id"], portfolio="main")):
        assert (made.portfolio, made.account) == ("main", "paper")
        assert made.of(Step.ORDER) == own.of(Step.ORDER)
        assert made.of(Step.FILLS)[-1] == own.of(Step.FILLS)[-1]
        assert made.to_json()["complete"], text_of(made)
    (file, *_) = own.of(Step.FILE)
    down = explain_line(desk, file.facts["path"], file.facts["line"], portfolio="main")
    assert order.facts["client_order_id"] in text_of(down)
    desk.lake.close()
    desk.ledger.close()


def test_an_exit_of_a_bracket_leads_to_the_line_that_its_entry_came_from(desk: Desk) -> None:
    with desk.ledger.read() as connection:
        entry = next(row for row in intents_of_session(connection, "paper", FIRST) if row.symbol == "AAPL")
    fill = BrokerFill(
        "exit-1", "leg-1", "AAPL", Side.SELL, Decimal(1), Decimal(7), Decimal(0), SECOND, NOW + timedelta(days=1)
    )
    with desk.ledger.transaction() as connection:
        how = {"portfolio": "main", "order_id": entry.client_order_id, "now": NOW}
        record_fill(connection, "paper", FillNews(fill, None), **how)
    made = explain(desk, "exit-1")
    assert "no such order" not in text_of(made)
    leg, order = made.of(Step.ORDER)
    assert (leg.facts["exit_of"], order.facts["client_order_id"]) == (entry.client_order_id,) * 2
    assert made.of(Step.FILE) == explain(desk, entry.client_order_id).of(Step.FILE)
    rows = {
        row["order"]: row
        for row in explain(desk, "AAPL.XNAS", session=SECOND).of(Step.HISTORY)[0].rows
        if "order" in row
    }
    assert rows["leg-1"]["cause"] == rows[entry.client_order_id]["cause"] != ""


def test_an_order_of_a_rebuilt_ledger_is_not_said_to_be_of_a_plan_of_which_nothing_was_sent(desk: Desk) -> None:
    own = explain(desk, "AAPL", session=SECOND)
    _change(desk, f"UPDATE batches SET origin = 'rebuilt', plan_id = 'rebuilt' WHERE session = '{SECOND}'")
    made = explain(desk, "AAPL", session=SECOND)
    said = " ".join(text_of(made).split())
    assert "nothing of it was sent" not in said
    assert "the ids of its orders do" in said
    assert len(made.links) == len(own.links)
    (plan,) = made.of(Step.PLAN)
    assert plan.facts["plan_id"] == own.of(Step.PLAN)[0].facts["plan_id"]


def test_a_manual_order_whose_request_was_lost_is_not_explained_by_a_line_of_a_file(opened: Any) -> None:  # noqa: F811
    desk = opened()
    (order,) = place(desk).orders
    _change(
        desk,
        "DELETE FROM manual_orders",
        f"UPDATE batches SET origin = 'rebuilt', plan_id = 'rebuilt' WHERE session = '{DAY}'",
    )
    made = explain(desk, order.client_order_id)
    assert made.of(Step.FILE) == ()
    assert "has no request of batch" in made.of(Step.REQUEST)[0].missing
    assert made.of(Step.PLAN)[0].facts["batch"] == 1
    (origin,) = order_origins(desk, "main", DAY).to_dict("records")
    assert (origin["file"], origin["line"]) == ("manual order", "its request is lost")
    desk.lake.close()
    desk.ledger.close()
