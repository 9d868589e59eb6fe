"""Rates between currencies: which are believed, of made-up faults and of real ones."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scizor_dagster.errors import InputError
from scizor_dagster.market_data.rates import Rate, age_in_weekdays, check_rates, read_rates

NOW = datetime(2025, 3, 12, 20, tzinfo=UTC)
MONDAY = date(2025, 3, 3)


def judged(*rows: tuple[date, float], inverse: dict[date, float] | None = None, max_jump: float = 1.1, **known):
    rates = [Rate(day, rate, "test") for day, rate in rows]
    return check_rates(rates, NOW, max_jump=max_jump, inverse=inverse or {}, max_difference=0.005, **known)


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


def weekdays(first: date, *rates: float) -> list[tuple[date, float]]:
    days = [day for offset in range(40) if (day := first + timedelta(days=offset)).weekday() < 5]
    return list(zip(days, rates, strict=False))


def believed(*rows: tuple[date, float], **options) -> list[float]:
    return [row.rate for row in judged(*rows, **options).good]


def test_a_rate_is_judged_beside_what_is_stored_even_where_the_file_has_no_other() -> None:
    day = date(2025, 3, 4)
    assert reason_of((day, 65.0), stored={MONDAY: 0.65}) == [(day, "rate_jump")]
    assert reason_of((day, 0.66), stored={MONDAY: 0.65}) == []
    assert reason_of((MONDAY, 0.62), (day, 65.0), stored={MONDAY: 0.62, date(2025, 2, 28): 0.61}) == [
        (day, "rate_jump")
    ]


def test_a_wrong_first_rate_is_out_and_takes_no_other_along() -> None:
    rows = weekdays(MONDAY, 65.0, 0.65, 0.651, 0.652, 0.653)
    assert believed(*rows) == [0.65, 0.651, 0.652, 0.653]
    assert reason_of(*rows) == [(MONDAY, "rate_jump")]
    assert believed(*rows[:2]) == [0.65]
    assert believed(*weekdays(MONDAY, 0.65, 65.0)) == [0.65]
    assert believed(*rows, stored={rows[1][0]: 0.65}) == [0.65, 0.651, 0.652, 0.653], "nor once the others are stored"


def test_a_week_at_a_new_level_is_a_move_and_less_or_more_than_that_is_not() -> None:
    # The franc in January 2015, in francs for one euro.
    rows = weekdays(date(2015, 1, 12), 1.201, 1.201, 1.2, 1.03, 1.0, 0.995, 1.01, 1.02, 0.99)
    assert believed(*rows[:7]) == [1.201, 1.201, 1.2]
    assert [reason for _, reason in reason_of(*rows[:7])] == ["rate_jump"] * 4
    assert believed(*rows) == [rate for _, rate in rows]
    assert reason_of(*rows) == []
    back = weekdays(date(2015, 1, 12), 1.2, 1.2, 1.2, 1.03, 1.04, 1.2, 1.03, 1.04, 1.03, 1.2)
    assert believed(*back) == [1.2] * 5, "levels that do not last are no move"


@pytest.mark.parametrize("wrong", [65.0, 1 / 0.92, 0.0065])
def test_a_mistaken_unit_or_an_inverted_rate_never_becomes_a_move(wrong: float) -> None:
    level = 0.92 if wrong < 2 and wrong > 1 else 0.65
    rows = weekdays(MONDAY - timedelta(days=21), *[level] * 6, *[wrong] * 7)
    assert believed(*rows) == [level] * 6
    taken = believed(*rows, accepted={rows[6][0]: wrong})
    assert taken == [rate for _, rate in rows], "a person's word for the first is enough for those that agree with it"


def test_a_stored_rate_that_is_wrong_is_corrected_by_a_persons_word_alone() -> None:
    first, second = weekdays(MONDAY, 0.65, 0.652)
    stored = {MONDAY: 65.0}
    assert reason_of(first, second, stored=stored) == [(second[0], "rate_jump")]
    assert believed(first, second, stored=stored, accepted={MONDAY: 0.65}) == [0.65, 0.652]
    assert 0.652 not in believed(first, second, stored=stored, accepted={MONDAY: 0.64}), "the word is for another value"


def test_a_person_may_overrule_the_inverse_and_not_what_is_no_rate() -> None:
    day = date(2025, 3, 4)
    assert believed((day, 0.62), inverse={day: 1 / 0.66}, accepted={day: 0.62}) == [0.62]
    assert believed((date(2025, 3, 8), 0.62), accepted={date(2025, 3, 8): 0.62}) == []
    assert believed((day, -0.62), accepted={day: -0.62}) == []


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
        ("date,rate\n03/03/2025,0.62\n", "'03/03/2025' is not a day"),
        ("date,rate\n,0.62\n", "'' is not a day"),
    ],
)
def test_a_file_that_holds_something_else_is_refused_by_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_rates(file, "date", "rate")


@pytest.mark.parametrize(("text", "said"), [("", "blank"), (".", "."), ("n/a", "n/a")])
def test_a_day_without_a_rate_is_one_bad_rate_and_the_others_are_read(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(f"date,rate\n2025-03-03,0.62\n2025-03-04,{text}\n2025-03-05,0.63\n", encoding="utf-8")
    checked = check_rates(read_rates(file, "date", "rate"), NOW, max_jump=1.1, inverse={}, max_difference=0.005)
    assert [row.rate for row in checked.good] == [0.62, 0.63]
    assert [(row.reason, row.detail, row.where) for row in checked.refused] == [
        ("bad_rate", f"the rate is {said}", f"{file}:3")
    ]


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
