"""Rates between currencies: which are believed, of made-up faults and of real ones."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scizor_dagster.errors import InputError
from scizor_dagster.market_data.rates import Rate, age_in_weekdays, check_rates, read_rates

NOW = datetime(2025, 3, 12, 20, tzinfo=UTC)
MONDAY = date(2025, 3, 3)


def judged(*rows: tuple[date, float], inverse: dict[date, float] | None = None, max_jump: float = 1.1):
    rates = [Rate(day, rate, "test") for day, rate in rows]
    return check_rates(rates, NOW, max_jump=max_jump, inverse=inverse or {}, max_difference=0.005)


def reason_of(*rows: tuple[date, float], **options) -> list[tuple[date, str]]:
    return [(row.session, row.reason) for row in judged(*rows, **options).refused]


def test_each_fault_of_a_rate_is_named() -> None:
    day = date(2025, 3, 4)
    assert reason_of((MONDAY, 0.62), (day, 0.63)) == []
    assert reason_of((MONDAY, 0.62), (day, 62.0)) == [(day, "rate_jump")]
    assert reason_of((MONDAY, 0.0), (day, float("nan"))) == [(MONDAY, "bad_rate"), (day, "bad_rate")]
    assert reason_of((date(2025, 3, 8), 0.62)) == [(date(2025, 3, 8), "weekend")]
    assert reason_of((NOW.date(), 0.62)) == [(NOW.date(), "day_not_over")]
    assert reason_of((day, 0.62), (day, 0.63)) == [(day, "conflicting_duplicate")] * 2
    assert reason_of((day, 0.62), inverse={day: 1 / 0.62}) == []
    assert reason_of((day, 0.62), inverse={day: 1 / 0.66}) == [(day, "inverse_disagrees")]


def test_one_wrong_rate_does_not_take_the_next_ones_along() -> None:
    days = [date(2025, 3, day) for day in (3, 4, 5)]
    checked = judged((days[0], 0.62), (days[1], 6.2), (days[2], 0.63))
    assert [row.session for row in checked.good] == [days[0], days[2]]


@given(st.permutations([(date(2025, 3, day), 0.6 + day / 1000) for day in (3, 4, 5, 6, 7, 8, 10, 11)]))
def test_the_order_of_the_rows_does_not_matter(rows) -> None:
    checked = judged(*rows)
    assert checked == judged(*sorted(rows))
    assert [row.session.day for row in checked.good] == [3, 4, 5, 6, 7, 10, 11]


def test_a_weekend_does_not_age_a_rate() -> None:
    assert age_in_weekdays(date(2025, 3, 7), date(2025, 3, 9)) == 0
    assert age_in_weekdays(date(2025, 3, 7), date(2025, 3, 11)) == 2
    assert age_in_weekdays(MONDAY, MONDAY) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("day,rate\n2025-03-03,0.62\n", "lacks the column"),
        ("date,rate\n03/03/2025,0.62\n", r"not a day and a rate"),
        ("date,rate\n2025-03-03,n/a\n", "not a day and a rate"),
    ],
)
def test_a_file_that_holds_something_else_is_refused_by_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_rates(file, "date", "rate")


def test_the_real_rates_of_fifteen_years_are_believed_and_a_planted_fault_is_not(reference_data: Path) -> None:
    file = reference_data / "fx_audusd" / "AUDUSD=X_daily_2010_2024.csv"
    rates = read_rates(file, "timestamp", "close_price")
    checked = check_rates(rates, NOW, max_jump=1.1, inverse={}, max_difference=0.005)
    assert len(rates) > 3800
    assert checked.refused == ()
    assert len(checked.good) == len(rates)
    wrong = rates[2000]
    planted = [*rates[:2000], Rate(wrong.session, 1 / wrong.rate, wrong.where), *rates[2001:]]
    found = check_rates(planted, NOW, max_jump=1.1, inverse={}, max_difference=0.005).refused
    assert [(row.session, row.reason) for row in found] == [(wrong.session, "rate_jump")]
