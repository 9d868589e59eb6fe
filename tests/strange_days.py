"""Days on which systems trade at the wrong time: written out, so that no calendar is compared with itself.

Hours are of the exchange's own wall clock; a day without any has no session. Sources: the exchanges' own notices
(nyse.com "Holidays and Trading Hours", asx.com.au "Trading calendar").
"""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

NEW_YORK, SYDNEY = ZoneInfo("America/New_York"), ZoneInfo("Australia/Sydney")
ZONES = {"XNYS": NEW_YORK, "XNAS": NEW_YORK, "XASX": SYDNEY}
FULL_US, HALF_US = (time(9, 30), time(16)), (time(9, 30), time(13))
FULL_AU, HALF_AU = (time(10), time(16)), (time(10), time(14, 10))
Hours = tuple[time, time] | None

IN_NEW_YORK: dict[date, Hours] = {
    date(2012, 10, 29): None,  # a hurricane
    date(2012, 10, 31): FULL_US,
    date(2018, 12, 5): None,  # a day of mourning
    date(2020, 2, 28): FULL_US,
    date(2020, 2, 29): None,  # a Saturday
    date(2021, 12, 31): FULL_US,  # 1 January was a Saturday, and no day was given for it
    date(2024, 2, 29): FULL_US,
    date(2024, 3, 8): FULL_US,
    date(2024, 3, 10): None,  # clocks go forward, on a Sunday
    date(2024, 3, 11): FULL_US,
    date(2024, 3, 29): None,  # Good Friday
    date(2024, 4, 8): FULL_US,  # Sydney has changed its clocks on the day before
    date(2024, 6, 19): None,
    date(2024, 7, 3): HALF_US,
    date(2024, 10, 7): FULL_US,
    date(2024, 11, 1): FULL_US,
    date(2024, 11, 4): FULL_US,  # clocks went back on the day before
    date(2024, 11, 28): None,
    date(2024, 11, 29): HALF_US,
    date(2024, 12, 24): HALF_US,
    date(2024, 12, 25): None,
    date(2024, 12, 31): FULL_US,
    date(2025, 1, 1): None,
    date(2025, 1, 9): None,  # a day of mourning that was announced ten days before
    date(2025, 1, 10): FULL_US,
}
IN_SYDNEY: dict[date, Hours] = {
    date(2022, 9, 22): None,  # a day of mourning
    date(2024, 2, 29): FULL_AU,
    date(2024, 3, 11): FULL_AU,  # New York has changed its clocks
    date(2024, 3, 29): None,
    date(2024, 4, 5): FULL_AU,
    date(2024, 4, 8): FULL_AU,  # clocks went back on the day before
    date(2024, 4, 25): None,
    date(2024, 10, 4): FULL_AU,
    date(2024, 10, 7): FULL_AU,  # clocks went forward on the day before
    date(2024, 12, 24): HALF_AU,
    date(2024, 12, 26): None,
    date(2024, 12, 31): HALF_AU,
    date(2025, 1, 1): None,
    date(2025, 1, 27): None,
}
DAYS: dict[str, dict[date, Hours]] = {"XNYS": IN_NEW_YORK, "XNAS": IN_NEW_YORK, "XASX": IN_SYDNEY}


def at(code: str, day: date, clock: time) -> datetime:
    """An instant by the wall clock of the exchange."""
    return datetime.combine(day, clock, ZONES[code])
