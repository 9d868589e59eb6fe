"""Sessions, opens and closes equal an answer key that this project did not write."""

from datetime import UTC, date, datetime, timedelta

import exchange_calendars
import pandas as pd
import pytest

from scizor_dagster.errors import ConfigError, InputError, NotASession
from scizor_dagster.sessions import WELL_KNOWN, TradingCalendar, check_calendar

XNYS, XASX = TradingCalendar("XNYS"), TradingCalendar("XASX")


@pytest.mark.parametrize("calendar", [XNYS, XASX], ids=["xnys", "xasx"])
def test_every_session_open_and_close_equals_the_answer_key(reference_data, calendar):
    path = reference_data / "reference_calendars" / f"{calendar.code.lower()}.csv"
    key = pd.read_csv(path, index_col=0, parse_dates=[0, "open", "close"])
    first, last = key.index[0].date(), key.index[-1].date()
    sessions = calendar.sessions(first, last)
    assert sessions == [stamp.date() for stamp in key.index]
    assert len(sessions) > 8_000
    assert [calendar.open_at(day) for day in sessions] == key["open"].tolist()
    assert [calendar.close_at(day) for day in sessions] == key["close"].tolist()


def test_an_early_close_is_the_close():
    assert XNYS.close_at(date(2025, 11, 28)) == datetime(2025, 11, 28, 18, 0, tzinfo=UTC)
    assert XNYS.has_closed(date(2025, 11, 28), datetime(2025, 11, 28, 18, 0, tzinfo=UTC))
    assert not XNYS.has_closed(date(2025, 11, 28), datetime(2025, 11, 28, 17, 59, tzinfo=UTC))


def test_next_and_previous_step_over_weekends_and_holidays():
    assert XNYS.next_session(date(2024, 3, 28)) == date(2024, 4, 1)
    assert XNYS.previous_session(date(2024, 4, 1)) == date(2024, 3, 28)
    assert XNYS.next_session(date(2024, 3, 30)) == date(2024, 4, 1)
    assert XASX.next_session(date(2024, 3, 28)) == date(2024, 4, 2)
    assert XNYS.session_on_or_after(date(2024, 3, 29)) == date(2024, 4, 1)
    assert XNYS.session_on_or_before(date(2024, 3, 29)) == date(2024, 3, 28)


def test_the_last_closed_session_turns_at_the_close():
    before, after = datetime(2024, 7, 3, 16, 59, tzinfo=UTC), datetime(2024, 7, 3, 17, 0, tzinfo=UTC)
    assert (XNYS.last_closed(before), XNYS.last_closed(after)) == (date(2024, 7, 2), date(2024, 7, 3))
    assert (XNYS.current_session(before), XNYS.current_session(after)) == (date(2024, 7, 3), date(2024, 7, 5))


@pytest.mark.parametrize(
    ("calendar", "session", "final"),
    [
        (XNYS, date(2024, 7, 2), datetime(2024, 7, 2, 20, 20, tzinfo=UTC)),
        (XNYS, date(2024, 7, 3), datetime(2024, 7, 3, 17, 20, tzinfo=UTC)),
        (XASX, date(2024, 7, 2), datetime(2024, 7, 2, 6, 30, tzinfo=UTC)),
        (XASX, date(2024, 12, 24), datetime(2024, 12, 24, 3, 40, tzinfo=UTC)),
        (TradingCalendar("XLON"), date(2024, 7, 2), datetime(2024, 7, 2, 16, 0, tzinfo=UTC)),
        (TradingCalendar("XASX", timedelta(minutes=12)), date(2024, 7, 2), datetime(2024, 7, 2, 6, 12, tzinfo=UTC)),
    ],
    ids=["new york", "new york, early close", "sydney", "sydney, early close", "not known", "as configured"],
)
def test_prices_of_a_session_are_final_once_its_closing_auction_has_printed(calendar, session, final):
    before = final - timedelta(seconds=1)
    assert calendar.settled_at(session) == final
    assert (calendar.has_settled(session, before), calendar.has_settled(session, final)) == (False, True)
    assert calendar.last_settled(final) == session
    assert calendar.last_settled(before) == calendar.previous_session(session)
    assert calendar.last_closed(before) == session


def test_the_session_of_sydney_is_dated_in_sydney():
    evening_in_utc = datetime(2024, 7, 2, 22, 0, tzinfo=UTC)
    assert XASX.current_session(evening_in_utc) == date(2024, 7, 3)
    assert XASX.last_closed(evening_in_utc) == date(2024, 7, 2)


def test_weekday_holidays_and_sessions_make_up_all_weekdays():
    first, last = date(2025, 1, 1), date(2025, 12, 31)
    holidays = XNYS.weekday_holidays(first, last)
    assert {date(2025, 1, 1), date(2025, 1, 9), date(2025, 4, 18), date(2025, 12, 25)} <= set(holidays)
    weekdays = [day.date() for day in pd.bdate_range(first, last)]
    assert sorted(holidays + XNYS.sessions(first, last)) == weekdays


def test_a_date_that_is_no_session_names_its_neighbours():
    with pytest.raises(NotASession, match="2024-03-28 or 2024-04-01"):
        XNYS.require(date(2024, 3, 29))
    with pytest.raises(InputError, match="outside the calendar"):
        XNYS.session_on_or_after(date(1950, 1, 1))
    assert XNYS.require(date(2024, 3, 28)) == date(2024, 3, 28)


def test_an_unknown_calendar_is_a_configuration_error():
    with pytest.raises(ConfigError, match="'XXXX' is not a calendar"):
        TradingCalendar("XXXX")


def test_age_counts_sessions_and_not_days():
    assert XNYS.age_in_sessions(date(2024, 3, 28), date(2024, 4, 1)) == 1
    assert XNYS.age_in_sessions(date(2024, 4, 1), date(2024, 4, 1)) == 0
    assert XNYS.age_in_sessions(date(2024, 4, 2), date(2024, 4, 1)) == 0


@pytest.mark.parametrize("code", sorted(WELL_KNOWN))
def test_a_well_known_calendar_is_there_and_is_not_computed_to_know_it(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code in exchange_calendars.get_calendar_names()
    monkeypatch.setattr("scizor_dagster.sessions.TradingCalendar", None)
    check_calendar(code)


def test_any_other_calendar_is_computed_before_it_is_believed() -> None:
    check_calendar("XBKK")
    with pytest.raises(ConfigError, match="'XXXX' is not a calendar"):
        check_calendar("XXXX")
