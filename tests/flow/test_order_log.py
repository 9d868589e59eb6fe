"""What happens to orders is told in the log, once it is committed, with the ids to look for."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import collect_closed_session
from scizor_dagster.flow.order_log import orders_logged
from scizor_dagster.flow.orders import cancel_order, orders_of
from scizor_dagster.flow.plans import bring_up
from scizor_dagster.flow.stopping import Scope, cancel_at_once, set_states
from scizor_dagster.ledger.events import append, last_seq, order_events_after
from scizor_dagster.risk.trading_state import TradingState
from tests.flow.desks import FIRST, SECOND, collected, trade
from tests.projects import project_at, small_project

BEFORE_OPEN = datetime(2025, 3, 3, 13, tzinfo=UTC)
AT = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(small_project(tmp_path).settings, lambda: AT)


def write(desk: Desk, order: str | None, kind: str = "intent_filled", account: str = "paper") -> None:
    with desk.ledger.transaction() as connection:
        append(connection, AT, account, kind, {"filled_qty": Decimal("2"), "reply": "raw", "reason": ""}, order)


def _send_and_die(desk: Desk) -> None:
    write(desk, "TST_1", "intent_sending")
    raise RuntimeError("died")


def test_each_entry_on_an_order_that_is_made_within_is_one_line(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scizor.orders")
    with orders_logged(desk, "paper"):
        write(desk, "TST_1", "intent_sending")
    with orders_logged(desk, "paper"):
        write(desk, "TST_1")
        write(desk, None, "batch_done")
        write(desk, "TST_9", account="other")
    assert [record.getMessage() for record in caplog.records] == [
        "Order TST_1: intent_sending",
        "Order TST_1: intent_filled",
    ]
    told = caplog.records[1].__dict__
    assert (told["entry"], told["event_kind"], told["filled_qty"]) == (2, "intent_filled", "2")
    assert not {"reply", "reason"} & set(told)


def test_what_was_sent_before_the_work_failed_is_told_too(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scizor.orders")
    with pytest.raises(RuntimeError, match="died"), orders_logged(desk, "paper"):
        _send_and_die(desk)
    assert [record.getMessage() for record in caplog.records] == ["Order TST_1: intent_sending"]


def test_a_history_that_cannot_be_read_takes_nothing_from_the_work(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scizor.orders")
    write(desk, "TST_1")
    with orders_logged(desk, "paper"), desk.ledger.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE events RENAME TO events_gone")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_where_nobody_listens_nothing_is_read_and_no_ledger_is_made(desk: Desk) -> None:
    logging.getLogger("scizor.orders").setLevel(logging.WARNING)
    try:
        with orders_logged(desk, "paper"):
            pass
    finally:
        logging.getLogger("scizor.orders").setLevel(logging.NOTSET)
    assert not desk.settings.ledger_file.exists()


def test_within_another_block_of_the_account_an_entry_is_still_one_line(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scizor.orders")
    with orders_logged(desk, "paper"):
        with orders_logged(desk, "paper"), orders_logged(desk, "other"):
            write(desk, "TST_1")
            write(desk, "TST_9", account="other")
        write(desk, "TST_2")
    with orders_logged(desk, "paper"):
        write(desk, "TST_3")
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"Order TST_{number}: intent_filled" for number in (9, 1, 2, 3)]


# Who changes orders beside the runs that execute and reconcile.


@pytest.fixture(scope="module")
def resting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project whose orders rest before the open."""
    folder = tmp_path_factory.mktemp("resting")
    desk = collected(folder, now=BEFORE_OPEN)
    trade(desk, FIRST)
    desk.lake.close()
    desk.ledger.close()
    return folder


def _halt(desk: Desk) -> None:
    now = desk.clock()
    scope = Scope("paper", None)
    set_states(desk.ledger, [scope], TradingState.HALTED, reason="look", actor="jo", now=now, cancel_open=True)
    cancel_at_once(desk, ["paper"], "", now)


def _take_back(desk: Desk) -> None:
    cancel_order(desk, orders_of(desk)[0].intent.client_order_id, actor="jo", reason="no more")


def _plan_the_next(desk: Desk) -> None:
    later = Desk(desk.settings, lambda: datetime(2025, 3, 10, 13, tzinfo=UTC))
    for day in range(3, 8):
        collect_closed_session(later, "us", date(2025, 3, day))
    bring_up(later, "main", SECOND)


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (_halt, {"intent_canceled"}),
        (_take_back, {"cancel_asked", "intent_canceled"}),
        (_plan_the_next, {"intent_filled"}),
    ],
    ids=["a halt", "a cancel by hand", "planning the next session"],
)
def test_whatever_changes_an_order_tells_each_entry_once(
    resting: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[Desk], None],
    kinds: set[str],
) -> None:
    shutil.copytree(resting, tmp_path / "project")
    desk = Desk(project_at(tmp_path / "project").settings, lambda: BEFORE_OPEN)
    with desk.ledger.read() as connection:
        begun = last_seq(connection)
    caplog.set_level(logging.INFO, "scizor.orders")
    change(desk)
    with desk.ledger.read() as connection:
        made = [(entry.seq, entry.kind) for entry in order_events_after(connection, "paper", begun)]
    assert kinds <= {kind for _, kind in made}
    said = [record.__dict__ for record in caplog.records if record.name == "scizor.orders"]
    assert [(line["entry"], line["event_kind"]) for line in said] == made
