"""One symbol that fails beside others: what is stored, what is said, and when the source itself has failed."""

from datetime import date

import pytest

from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.absences import Absence, absences
from scizor_dagster.market_data.collect import collect_session
from scizor_dagster.market_data.provider import FailureReason, SymbolFailure
from scizor_dagster.market_data.symbol_failures import require_answers
from tests.market_data.support import NOW, XNYS, flat_bars, market, rows
from tests.market_data.test_fallback import MeteredSource

DAYS = XNYS.sessions(date(2024, 2, 26), date(2024, 3, 1))
SYMBOLS = ("AAA", "BBB", "CCC")
ERROR = SymbolFailure(FailureReason.REFUSED_QUESTION, "321: Error validating request")
LATE = SymbolFailure(FailureReason.NO_ANSWER, "no answer in time")


def _tracked(lake: Lake) -> None:
    with lake.write() as cursor:
        for symbol in SYMBOLS:
            cursor.execute(
                "INSERT INTO symbols (market, symbol, instrument_id, mic, currency, lot, tick, fractionable, "
                "shortable, tradable, verified, source, fetched_at) "
                "VALUES ('us', ?, ?, 'XNAS', 'USD', 1, 0.01, true, true, true, true, 'one', ?)",
                [symbol, f"{symbol}.XNAS", NOW],
            )


def test_a_symbol_that_fails_leaves_the_others_be_is_named_and_is_asked_again(lake: Lake) -> None:
    _tracked(lake)
    source = MeteredSource("one", flat_bars(("AAA", "CCC"), DAYS))
    source.failed = {"BBB": ERROR}
    question = (lake, "us", market(DAYS[0]), source, XNYS, SYMBOLS, DAYS[-1], NOW)
    report = collect_session(*question, first=DAYS[0])
    assert (report.inserted, report.missing) == (10, ("BBB",))
    assert [(item.symbol, item.reason, item.words) for item in report.failed] == [("BBB", ERROR.reason, ERROR.words)]
    assert rows(lake, "SELECT symbol FROM absent_bars") == []
    missing = absences(lake, "us", DAYS)
    assert set(zip(missing["symbol"], missing["reason"], missing["detail"], strict=True)) == {
        ("BBB", Absence.SOURCE_ERROR, "refused_question: 321: Error validating request")
    }
    source.failed, source.bars = {}, flat_bars(SYMBOLS, DAYS[:-1])
    assert collect_session(*question).failed == ()
    missing = absences(lake, "us", DAYS)
    assert missing["reason"].tolist() == [*[Absence.SOURCE_ERROR] * 4, Absence.NO_BAR_AT_SOURCE]
    collect_session(*question, first=DAYS[0])
    assert rows(lake, "SELECT count(*) FROM failed_questions") == [(0,)]
    assert absences(lake, "us", DAYS)["reason"].tolist() == [Absence.NO_BAR_AT_SOURCE]


def test_a_collection_of_which_every_symbol_failed_is_an_error_and_keeps_why(lake: Lake) -> None:
    source = MeteredSource("one", flat_bars((), DAYS))
    source.failed = dict.fromkeys(SYMBOLS, LATE)
    with pytest.raises(BrokerUnavailable, match=r"one has given no bars of any of 3 symbol\(s\); of AAA it says"):
        collect_session(lake, "us", market(DAYS[0]), source, XNYS, SYMBOLS, DAYS[-1], NOW)
    assert rows(lake, "SELECT symbol, reason FROM failed_questions ORDER BY symbol") == [
        (symbol, "no_answer") for symbol in SYMBOLS
    ]


@pytest.mark.parametrize(
    ("said", "fails"),
    [
        ("EEEEE", True),
        ("EEEE", False),
        ("EELEEE", False),
        (".....EEEEE", True),
        ("......EEEEE", False),
        ("EE.EEE", False),
        ("AAAAAA", False),
        ("EEEAEEE", False),
    ],
)
def test_a_source_has_failed_where_at_least_five_in_a_row_and_half_of_all_fail_alike(said: str, fails: bool) -> None:
    """E: an error, L: another one, A: several contracts, which is no fault of the source's; a dot is an answer."""
    kinds = {"E": ERROR, "L": LATE, "A": SymbolFailure(FailureReason.AMBIGUOUS, "names 2 contracts")}
    asked = [f"S{number}" for number in range(len(said))]
    failed = {symbol: kinds[word] for symbol, word in zip(asked, said, strict=True) if word != "."}
    if not fails:
        require_answers("one", asked, failed)
        return
    with pytest.raises(BrokerUnavailable, match=r"one has failed for 5 symbols in a row, of .* 321: Error validating"):
        require_answers("one", asked, failed)
