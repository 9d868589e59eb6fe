"""Reconciliations as files: the first and the newest one, read from where reconciliation has stored them."""

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from scizor_dagster.errors import DataError
from scizor_dagster.exports.facts import Reconciled, SessionFacts
from scizor_dagster.exports.reconciliations import (
    OF_BREAKS,
    OF_ORDERS,
    RECON,
    recon_final,
    recon_single,
    recon_summary,
)
from scizor_dagster.flow.export_facts import stored_reconciliations
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import initialise
from scizor_dagster.reconciliation.model import Break, OrderResult, Pass, ReconciliationReport
from scizor_dagster.reconciliation.storage import BREAK_COLUMNS, store_reconciliation
from tests.exports.books import AT, facts
from tests.exports.test_orders import rows_of
from tests.reconciliation.test_drifts import DRIFTS
from tests.reconciliation.world import DAY, World

LATER = AT + timedelta(hours=16)
DRIFTED = [
    "missing order at the broker", "missing intent", "plan gone", "foreign trade on our symbol", "fee missing",
    "fee that nobody tells of",
]  # fmt: skip
CALLED = {"class": "break_class", "lock": "locks"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    opened = Lake(LakeLocation.embedded(tmp_path_factory.mktemp("lake")))
    initialise(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def drifted(lake: Lake) -> dict[str, tuple[ReconciliationReport, SessionFacts]]:
    """One session for each of `DRIFTED`, as it was found and as it is read again."""
    reports = {
        name: replace(DRIFTS[name].world().report(), session=DAY + timedelta(days=number))
        for number, name in enumerate(DRIFTED, start=1)
    }
    for report in reports.values():
        store_reconciliation(lake, report, AT)
    stored = stored_reconciliations(lake, "main", DAY, DAY + timedelta(days=len(DRIFTED)))
    return {name: (report, facts(reconciled=stored[report.session])) for name, report in reports.items()}


def spelled(value: object) -> str | None:
    """A value as a cell of text has it."""
    return None if value is None or value == "" else str(value)


def test_every_column_of_a_break_and_of_an_order_is_in_the_file() -> None:
    names = {column.name for column in RECON}
    assert {CALLED.get(name, name) for name in OF_BREAKS} == set(BREAK_COLUMNS.split(", "))
    assert {CALLED.get(name, name) for name in OF_BREAKS} == {field.name for field in fields(Break)}
    assert set(OF_ORDERS) == {field.name for field in fields(OrderResult)}
    assert {*OF_BREAKS, *OF_ORDERS, "record", "pass", "taken_at"} == names


@pytest.mark.parametrize("name", DRIFTED)
def test_each_cell_of_a_break_says_what_the_reconciliation_found(
    drifted: dict[str, tuple[ReconciliationReport, SessionFacts]], name: str
) -> None:
    report, known = drifted[name]
    rows = [row for row in rows_of(recon_final(known)) if row["record"] == "break"]
    assert rows
    assert sorted(str([spelled(row[cell]) for cell in OF_BREAKS]) for row in rows) == sorted(
        str([spelled(getattr(found, CALLED.get(cell, cell))) for cell in OF_BREAKS]) for found in report.break_rows
    )
    assert {(row["pass"], row["taken_at"]) for row in rows} == {("first", AT)}
    assert rows_of(recon_single(known)) == rows_of(recon_final(known))
    assert report.summary.rstrip() in str(recon_summary(known))


def test_no_column_stays_empty_over_breaks_of_orders_fills_positions_and_cash(
    drifted: dict[str, tuple[ReconciliationReport, SessionFacts]],
) -> None:
    rows = [row for _, known in drifted.values() for row in rows_of(recon_final(known))]
    filled = {name for row in rows for name, value in row.items() if value is not None}
    assert filled == {column.name for column in RECON}


def test_each_cell_of_an_order_says_what_became_of_it(
    drifted: dict[str, tuple[ReconciliationReport, SessionFacts]],
) -> None:
    report, known = drifted["foreign trade on our symbol"]
    (found,), rows = report.order_rows, rows_of(recon_final(known))
    (row,) = (row for row in rows if row["record"] == "order")
    wanted = {name: spelled(getattr(found, name)) for name in OF_ORDERS}
    assert {name: spelled(row[name]) for name in OF_ORDERS} == wanted | {"side": "BUY"}
    assert [row[name] for name in OF_ORDERS].count(None) == 1, "its reason alone has nothing to say"
    assert {row[name] for name in OF_BREAKS if name not in OF_ORDERS} == {None}


def test_orders_come_first_and_breaks_behind_them(
    drifted: dict[str, tuple[ReconciliationReport, SessionFacts]],
) -> None:
    rows = rows_of(recon_final(drifted["foreign trade on our symbol"][1]))
    assert [row["record"] for row in rows] == ["order", "break", "break"]
    assert (rows[0]["side"], rows[0]["symbol"], rows[0]["state"]) == ("BUY", "AAA", "filled")


def test_each_pass_keeps_its_breaks_and_an_order_is_as_the_newest_pass_saw_it(lake: Lake) -> None:
    store_reconciliation(lake, World(orders=[]).report(), AT)
    store_reconciliation(lake, World(which=Pass.SECOND, first_at=AT).report(), LATER)
    known = facts(reconciled=stored_reconciliations(lake, "main", DAY, DAY)[DAY])
    single, final = rows_of(recon_single(known)), rows_of(recon_final(known))
    assert [(row["record"], row["pass"], row["taken_at"]) for row in single] == [
        ("order", "second", LATER), ("break", "first", AT),
    ]  # fmt: skip
    assert final == single[:1]
    summary = recon_summary(known)
    assert summary is not None
    assert [line for line in summary.splitlines() if "pass of" in line] == [
        "First pass of 2025-03-03 14:30:00 UTC", "Second pass of 2025-03-04 06:30:00 UTC",
    ]  # fmt: skip


def test_a_row_of_before_there_were_passes_is_exported_without_one(lake: Lake) -> None:
    day = DAY - timedelta(days=1)
    store_reconciliation(lake, replace(World(orders=[]).report(), session=day), AT)
    with lake.write() as cursor:
        for table in ("reconciliations", "breaks"):
            cursor.execute(f"UPDATE {table} SET pass = NULL WHERE session = ?", [day])
    known = facts(reconciled=stored_reconciliations(lake, "main", day, day)[day])
    assert {(row["record"], row["pass"]) for row in rows_of(recon_single(known))} == {("order", None), ("break", None)}
    assert str(recon_summary(known)).startswith("Reconciliation of 2025-03-03 14:30:00 UTC\n")


def without(rows: Any, name: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != name} for row in rows]


@pytest.mark.parametrize(
    ("table", "column"),
    [("breaks", "break_class"), ("breaks", "qty"), ("order_results", "fees"), ("reconciliations", "pass")],
)
def test_a_column_that_the_lake_has_not_got_is_an_error_and_no_empty_cell(
    drifted: dict[str, tuple[ReconciliationReport, SessionFacts]], table: str, column: str
) -> None:
    whole = drifted["foreign trade on our symbol"][1].reconciled[0]
    parts = {"reconciliations": [whole.header], "breaks": whole.breaks, "order_results": whole.order_results}
    parts[table] = without(parts[table], column)
    cut = Reconciled(parts["reconciliations"][0], parts["breaks"], parts["order_results"], whole.positions)
    with pytest.raises(DataError, match=f"The table {table} of the lake has no column {column}"):
        recon_final(facts(reconciled=[cut]))


def test_without_a_reconciliation_there_is_nothing() -> None:
    assert (recon_single(facts()), recon_final(facts()), recon_summary(facts())) == (None, None, None)
