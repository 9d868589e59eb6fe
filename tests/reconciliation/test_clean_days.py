"""A year in which nothing goes wrong raises nothing: both passes of every day agree, and every day is closed.

Two portfolios trade at the embedded exchange through splits, dividends, halts and delistings; brackets, shorts and
fractions among them. `make torture` goes through all 250 days, the suite through the first ones of the same history.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.ledger.breaks import open_breaks
from scizor_dagster.ledger.days import day_of
from scizor_dagster.ledger.rows import batches_of
from scizor_dagster.reconciliation.gather import read_broker, read_ledger
from scizor_dagster.reconciliation.looking import position_differences
from scizor_dagster.reconciliation.model import Measures, Pass, When
from scizor_dagster.reconciliation.reconcile import reconcile
from scizor_dagster.reconciliation.records import record_report
from tests.ledgers import sqlite_ledger
from tests.reconciliation.test_a_thousand_sessions import ACCOUNT, CALENDAR, DEPOSIT, FIRST, LAST, NAMES, Years

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
DAYS = 250 if TORTURE else 25
SEED = os.environ.get("SCIZOR_SEED", "7")


class CleanYears(Years):
    """Sessions without faults, each reconciled twice."""

    def compare(self, day: Any, plans: Any) -> None:
        view = read_broker(self.broker(), day)
        closes = {symbol: Close(price, day) for symbol, price in self.market.closes.items()}
        first_at = None
        for which in Pass:
            self.now += timedelta(hours=8)
            for name in NAMES:
                parts = {"account": ACCOUNT, "portfolio": name, "session": day}
                with self.ledger.transaction() as connection:
                    sides = read_ledger(connection, view, **parts, deposit=DEPOSIT), view
                    admitted = [plans[name]] if batches_of(connection, ACCOUNT, name, day) else []
                    when = When(which=which, first_at=first_at)
                    report = reconcile(admitted, *sides, **parts, closes=closes, when=when, measures=Measures())
                    assert report.break_rows == (), report.summary
                    recorded = record_report(connection, report, now=self.now)
                self.counts["orders filled"] += report.filled_count
                self.counts[f"{which} passes"] += 1
                assert (recorded.opened, recorded.cleared) == ((), ())
            first_at = self.now
        with self.ledger.read() as connection:
            assert open_breaks(connection, ACCOUNT) == []
            assert position_differences(connection, ACCOUNT, view.positions, closes, Measures()) == []
            days = [day_of(connection, ACCOUNT, name, day) for name in NAMES]
        self.counts["days closed"] += sum(row is not None and row.closed_at is not None for row in days)


@pytest.mark.timeout(3_600)
def test_clean_days_raise_nothing_and_are_all_closed(tmp_path: Path, record_property: Any) -> None:
    years = CleanYears(sqlite_ledger(tmp_path), SEED)
    for day in CALENDAR.sessions(FIRST, LAST)[:DAYS]:
        years.quiet_session(day)
    years.ledger.close()
    for name, count in sorted(years.counts.items()):
        record_property(name, count)
    assert years.counts["days closed"] == DAYS * len(NAMES)
    assert years.counts["orders filled"] > DAYS
