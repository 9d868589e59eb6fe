"""The hash chain shows any edit."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.events import append, events_of_orders, last_seq, order_events_after, verify_chain
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger

AT = datetime(2026, 3, 2, 14, 30, 0, 123456, tzinfo=UTC)


def _write(ledger: Ledger, count: int = 5) -> None:
    with ledger.transaction() as connection:
        for number in range(count):
            append(connection, AT, "paper", "note", {"n": number, "qty": Decimal("1.50")}, f"id-{number}")


def test_an_untouched_chain_is_whole(ledger: Ledger) -> None:
    _write(ledger)
    with ledger.read() as connection:
        assert verify_chain(connection) == []


def test_the_history_of_orders_is_read_in_its_order_whatever_their_number(ledger: Ledger) -> None:
    _write(ledger, 4)
    with ledger.transaction() as connection:
        append(connection, AT, "paper", "late", {"qty": Decimal("1.50"), "day": date(2026, 3, 2)}, "id-1")
        append(connection, AT, "paper", "of_nobody", {})
    with ledger.read() as connection:
        found = events_of_orders(connection, [*(f"other-{number}" for number in range(1000)), "id-3", "id-1"])
        assert events_of_orders(connection, []) == []
    assert [(row.seq, row.kind, row.client_order_id) for row in found] == [
        (2, "note", "id-1"), (4, "note", "id-3"), (5, "late", "id-1"),
    ]  # fmt: skip
    assert (found[2].at, found[2].payload) == (AT, {"qty": "1.50", "day": "2026-03-02"})


def test_what_happened_to_orders_of_an_account_since_an_entry_is_read_in_its_order(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert (last_seq(connection), order_events_after(connection, "paper", 0)) == (0, [])
    _write(ledger, 2)
    with ledger.transaction() as connection:
        append(connection, AT, "paper", "of_nobody", {})
        append(connection, AT, "other", "note", {}, "id-9")
        append(connection, AT, "paper", "late", {"qty": Decimal("1.50")}, "id-0")
    with ledger.read() as connection:
        found = order_events_after(connection, "paper", 1)
        assert last_seq(connection) == 5
    assert [(row.seq, row.at, row.kind, row.client_order_id, row.payload) for row in found] == [
        (2, AT, "note", "id-1", {"n": 1, "qty": "1.50"}), (5, AT, "late", "id-0", {"qty": "1.50"}),
    ]  # fmt: skip


def test_payloads_keep_decimals_dates_and_states_as_plain_text(ledger: Ledger) -> None:
    payload = {
        "qty": Decimal("1.50"),
        "day": date(2026, 3, 2),
        "state": IntentState.READY,
        "none": None,
        "at": AT,
    }
    with ledger.transaction() as connection:
        assert append(connection, AT, "paper", "note", payload) == 1
        text = connection.exec_driver_sql("SELECT payload FROM events").scalar()
    assert text == (
        '{"at":"2026-03-02T14:30:00.123456+00:00","day":"2026-03-02","none":null,"qty":"1.50","state":"ready"}'
    )


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x"])
def test_what_the_history_cannot_keep_as_it_is_is_refused_and_not_kept_as_some_text(
    ledger: Ledger, value: object
) -> None:
    with pytest.raises(TypeError, match="no value that the history keeps"), ledger.transaction() as connection:
        append(connection, AT, "paper", "note", {"value": value})
    with ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == 0


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        ("UPDATE events SET payload = '{}' WHERE seq = 3", "Event 3 (note) was changed"),
        ("UPDATE events SET at = '2026-03-02 14:30:01.000000' WHERE seq = 2", "Event 2 (note) was changed"),
        ("UPDATE events SET client_order_id = NULL WHERE seq = 1", "Event 1 (note) was changed"),
        ("DELETE FROM events WHERE seq = 3", "Event 3 is missing"),
        ("DELETE FROM events WHERE seq = 1", "Event 1 is missing"),
        ("UPDATE events SET previous_hash = hash WHERE seq = 4", "Event 4 does not follow"),
    ],
)
def test_an_edit_is_named_by_its_first_broken_row(ledger: Ledger, edit: str, found: str) -> None:
    _write(ledger)
    with ledger.transaction() as connection:
        connection.exec_driver_sql(edit)
    with ledger.read() as connection:
        (sentence,) = verify_chain(connection)
    assert sentence.startswith(found)


def test_a_row_that_was_rehashed_breaks_the_next_one(ledger: Ledger) -> None:
    from scizor_dagster.ledger import events

    _write(ledger)
    with ledger.transaction() as connection:
        row = connection.exec_driver_sql("SELECT previous_hash FROM events WHERE seq = 2").one()
        forged = events._hash(2, AT, "paper", "id-1", "note", "{}", None, row.previous_hash)
        edit = sa.text("UPDATE events SET payload = '{}', hash = :forged WHERE seq = 2")
        connection.execute(edit, {"forged": forged})
    with ledger.read() as connection:
        assert verify_chain(connection) == ["Event 3 does not follow from the one before it."]


@pytest.mark.parametrize("payload", [{"api_key": "x"}, {"reply": {"Authorization": "x"}}, {"list": [{"secret": 1}]}])
def test_a_secret_is_never_written(ledger: Ledger, payload: dict[str, object]) -> None:
    with pytest.raises(LedgerError, match="secret"), ledger.transaction() as connection:
        append(connection, AT, "paper", "note", payload)
