"""What errors say: whole sentences, and a remedy that shows what was refused."""

import pickle
from datetime import date

import pytest

from scizor_dagster.errors import AccountBusy, ScizorError, SignalRefused
from scizor_dagster.signals.report import Violation

NO_ROWS = Violation(
    "no_rows_for_session",
    "The file has no rows that trade in session 2025-02-04; the nearest are 2025-02-03.",
    "Deliver the session's weights, use one of these, or set signals.as_of to latest.",
    value="2025-02-04",
)
NOT_A_NUMBER = Violation("not_a_number", "The weight is not a number.", "Write one.", line=3, value="x")


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("It broke.", "It broke. Mend it."),
        ("It broke", "It broke. Mend it."),
        ("It broke (by hand)", "It broke (by hand). Mend it."),
        ("It broke: a cause with its own stop..", "It broke: a cause with its own stop. Mend it."),
        ("Cause one.. Cause two.", "Cause one. Cause two. Mend it."),
        ("Wait ...", "Wait ... Mend it."),
        ("The file ../prices.csv is bad.", "The file ../prices.csv is bad. Mend it."),
    ],
)
def test_problem_and_remedy_are_two_sentences_with_one_full_stop_each(problem: str, said: str) -> None:
    assert str(ScizorError(problem, remedy="Mend it.")) == said


def test_a_file_without_the_session_is_not_to_be_mended_and_the_check_names_the_date() -> None:
    error = SignalRefused("weekly", "/signals/weights.csv", [NO_ROWS])
    assert "Mend" not in error.remedy
    assert "Deliver the session's weights, use one of these" in error.remedy
    assert error.remedy.endswith("scizor signals check /signals/weights.csv --strategy weekly --date 2025-02-04")


def test_a_file_with_a_bad_row_is_to_be_mended() -> None:
    for violations in ([NOT_A_NUMBER], [NOT_A_NUMBER, NO_ROWS]):
        assert SignalRefused("weekly", "w.csv", violations).remedy.startswith("Mend the file")
    alone = SignalRefused("weekly", "w.csv", [NOT_A_NUMBER])
    assert alone.remedy.endswith("scizor signals check w.csv --strategy weekly")


def test_the_session_of_the_report_is_the_one_to_check() -> None:
    class Report:
        session = date(2025, 2, 10)

    error = SignalRefused("weekly", "my weights.csv", [NOT_A_NUMBER], report=Report())
    assert error.remedy.endswith("scizor signals check 'my weights.csv' --strategy weekly --date 2025-02-10")


@pytest.mark.parametrize("error", [AccountBusy("paper", "host:1", "12:00"), SignalRefused("weekly", "w", [NO_ROWS])])
def test_an_error_that_a_process_sends_home_is_there_as_it_was(error: ScizorError) -> None:
    sent = pickle.loads(pickle.dumps(error))
    assert (type(sent), str(sent), sent.args) == (type(error), str(error), error.args)
    assert vars(sent) == vars(error)
