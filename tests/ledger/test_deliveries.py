"""Files that were handed in: who brought which content is never lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from scizor_dagster.ledger.deliveries import DeliveryRow, deliveries_of, note_delivery
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify

NOW = datetime(2026, 3, 4, 21, 0, tzinfo=UTC)
ROW = DeliveryRow("weekly", "f" * 64, "/w/weights.csv", 120, "ada", "r" * 32, "", NOW)


def test_every_delivery_is_kept_and_found_by_its_content(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        first = note_delivery(connection, ROW)
        second = note_delivery(connection, replace(ROW, file_hash="g" * 64))
        again = note_delivery(connection, replace(ROW, actor="bob"))
    with ledger.read() as connection:
        assert deliveries_of(connection, "weekly") == [again, second, first]
        assert deliveries_of(connection, "weekly", "f" * 64) == [again, first]
        assert deliveries_of(connection, "daily") == []
        assert verify(connection) == []
    assert [row.number for row in (first, second, again)] == [1, 2, 3]
