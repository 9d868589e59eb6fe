"""What the assets of a market show of symbols that failed at their source."""

from datetime import date

import pandas as pd

from assets.market_rendering import history_metadata
from scizor_dagster.market_data.provider import FailureReason
from scizor_dagster.market_data.reports import FailedSymbol, HistoryReport


def test_symbols_that_failed_are_counted_and_named_with_the_words_of_the_source() -> None:
    report = HistoryReport(
        "us", "ibkr", "split", False, date(2026, 1, 15), (), (),
        failed=(FailedSymbol("AAA", FailureReason.NO_ANSWER, "no answer in time"),),
    )  # fmt: skip
    shown = history_metadata(report, pd.DataFrame(columns=["reason", "rows"]))
    assert (shown["failed"], shown["failed_symbols"]) == (1, "AAA (no_answer)")
    assert "no answer in time" in shown["failures"].value
