"""`scizor end-order`: what a person is told; what may be ended is tested with `execution.ending`."""

import logging
import sqlite3
from datetime import datetime

import pytest

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.protocol import VenuePhase
from scizor_dagster.ledger.intents import load, move
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from tests.cli.conftest import Scizor
from tests.projects import Project

WHY = ("--reason", "the statement has no such trade", "--by", "ann")


def _any_order(project: Project) -> str:
    with sqlite3.connect(project.home / "ledger.sqlite") as connection:
        return str(connection.execute("SELECT min(client_order_id) FROM orders").fetchone()[0])


def test_an_order_that_the_broker_shows_no_more_is_ended_with_who_and_why(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = _any_order(collected)
    caplog.set_level(logging.INFO, "scizor.orders")
    ledger = Ledger.open(f"sqlite:///{collected.home / 'ledger.sqlite'}")
    with ledger.transaction() as connection:
        row = load(connection, name)
        at: dict[str, datetime] = {"now": row.updated_at}
        unsure = move(connection, row, IntentState.PARTIALLY_FILLED, **at)
        move(connection, unsure, IntentState.UNKNOWN, reason="suspended", **at)
    ledger.close()
    monkeypatch.setattr(PaperBroker, "find", lambda *_: None)
    monkeypatch.setattr(PaperBroker, "phase", lambda *_: VenuePhase.OVER)
    answer = scizor("end-order", name, *WHY, "--json")
    assert answer.code == 0, answer
    assert (answer.json["client_order_id"], answer.json["state"], answer.json["by"]) == (name, "expired", "ann")
    assert [record.getMessage() for record in caplog.records if record.name == "scizor.orders"] == [
        f"Order {name}: intent_expired"
    ]
    again = scizor("end-order", name, *WHY)
    assert (again.code, f"Order {name} is 'expired'" in again.sentence) == (1, True), again


def test_an_order_that_is_not_open_or_not_there_is_refused_by_name(scizor: Scizor, collected: Project) -> None:
    name = _any_order(collected)
    answer = scizor("end-order", name, *WHY)
    assert (answer.code, f"Order {name} is 'filled'" in answer.sentence) == (1, True), answer
    answer = scizor("end-order", "SCZ_of_nobody", *WHY, "--json")
    assert (answer.code, answer.json["where"]) == (2, "SCZ_of_nobody"), answer


def test_a_home_without_a_ledger_gets_none_by_ending_an_order(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("end-order", "x", *WHY)
    assert (answer.code, "There is no ledger here" in answer.sentence) == (2, True), answer
    assert not (fresh.home / "ledger.sqlite").exists()
