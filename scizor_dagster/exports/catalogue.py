"""The files of a session: their names, what each is made from, and why one may be missing.

What belongs here: the list. What does not: columns and rows (one module for each subject), writing (`flow.exporting`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from scizor_dagster.exports.facts import SessionFacts
from scizor_dagster.exports.orders import FILLED, LOG, execution_log, filled_orders
from scizor_dagster.exports.positions import CURRENT, END_OF_DAY, PRICES, current_positions, positions_eod, real_prices
from scizor_dagster.exports.reconciliations import RECON, recon_final, recon_single, recon_summary
from scizor_dagster.planning.output_files import LINES, ORDERS, plan_tables
from scizor_dagster.tabular.model import Column, Table
from scizor_dagster.tabular.writers import csv_bytes, parquet_bytes

NOT_PLANNED = "the session has no stored plan"
NOT_ADMITTED = "no plan of the session was admitted"
NOT_TRADED = "the ledger knows nothing of the portfolio by then"
NOT_RECONCILED = "the session was not reconciled"


class Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


_WRITERS: dict[Format, Callable[[Table], bytes]] = {Format.CSV: csv_bytes, Format.PARQUET: parquet_bytes}


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of a session.

    Attributes:
        name: Without date and ending, as `--only` takes it.
        dated: Whether the session stands in the file's name.
        made: From the facts; None where the stage that it tells of has not come.
        missing: Why there may be none.
        columns: Of its table; empty for a text.
    """

    name: str
    dated: bool
    made: Callable[[SessionFacts], Table | str | None]
    missing: str
    columns: tuple[Column, ...] = ()

    def file_names(self, session: date, formats: tuple[Format, ...]) -> tuple[str, ...]:
        stem = f"{self.name}_{session:%Y%m%d}" if self.dated else self.name
        return tuple(f"{stem}.{item}" for item in formats) if self.columns else (f"{stem}.txt",)


def _of_plan(name: str) -> Callable[[SessionFacts], Table | None]:
    return lambda facts: None if facts.plan is None else plan_tables(facts.plan)[name]


FILES = (
    ExportFile("planned_orders", False, _of_plan("planned_orders"), NOT_PLANNED, ORDERS),
    ExportFile("planned_orders_real", False, _of_plan("planned_orders_real"), NOT_PLANNED, ORDERS),
    ExportFile("rebalance_plan", False, _of_plan("rebalance_plan"), NOT_PLANNED, LINES),
    ExportFile("rebalance_plan_real", False, _of_plan("rebalance_plan_real"), NOT_PLANNED, LINES),
    ExportFile("real_prices", False, real_prices, NOT_PLANNED, PRICES),
    ExportFile("current_positions", False, current_positions, NOT_TRADED, CURRENT),
    ExportFile("execution_log", False, execution_log, NOT_ADMITTED, LOG),
    ExportFile("filled_orders", False, filled_orders, NOT_ADMITTED, FILLED),
    ExportFile("recon_single", True, recon_single, NOT_RECONCILED, RECON),
    ExportFile("recon_final", True, recon_final, NOT_RECONCILED, RECON),
    ExportFile("recon_summary", True, recon_summary, NOT_RECONCILED),
    ExportFile("positions_eod", True, positions_eod, NOT_RECONCILED, END_OF_DAY),
)
NAMES = tuple(file.name for file in FILES)


def contents(file: ExportFile, facts: SessionFacts, formats: tuple[Format, ...]) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the file in each format; nothing where its stage has not come."""
    made = file.made(facts)
    if made is None:
        return
    for name in file.file_names(facts.session, formats):
        if isinstance(made, str):
            yield name, made.encode()
        else:
            yield name, _WRITERS[Format(name.rpartition(".")[2])](made)
