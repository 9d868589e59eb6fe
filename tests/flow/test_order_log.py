"""What happens to orders is told in the log, once it is committed, with the ids to look for."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.order_log import orders_logged
from scizor_dagster.ledger.events import append
from tests.projects import small_project

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
