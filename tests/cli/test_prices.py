"""`scizor prices`: what is out and why, and a person's word for one bar."""

import pandas as pd

from scizor_dagster.cli import dates
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.tables import append_rows
from tests.cli.conftest import Scizor
from tests.projects import Project


def test_a_quarantined_bar_is_listed_and_accepted(scizor: Scizor, fresh: Project) -> None:
    desk = Desk(fresh.settings, dates.now)
    day = desk.calendar("us").last_settled(dates.now()).isoformat()
    prices = dict.fromkeys(("open", "high", "low", "close"), 12.5)
    row = {"market": "us", "symbol": "AAPL", "session": pd.Timestamp(day), **prices, "volume": 1.0}
    with desk.lake.write() as cursor:
        kept = {"reason": "price_jump", "detail": "why", "source": "t", "fetched_at": dates.now()}
        append_rows(cursor, "quarantined_bars", pd.DataFrame([row | kept]))
    desk.lake.close()
    (listed,) = scizor("prices", "quarantined", "--json").json["quarantined"]
    assert (listed["symbol"], listed["session"], listed["reason"]) == ("AAPL", day, "price_jump")
    refused = scizor("prices", "accept", "MSFT", "--date", day, "--reason", "x")
    assert refused.code == 2
    assert "no quarantined bar" in refused.sentence
    answer = scizor("prices", "accept", "AAPL", "--date", day, "--reason", "special dividend", "--json")
    assert (answer.code, answer.json["close"]) == (0, 12.5)
    assert answer.json["next"] == f"scizor collect daily --market us --date {day}"


def test_a_day_without_a_session_is_refused(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("prices", "accept", "AAPL", "--date", "2025-02-15", "--reason", "x")
    assert answer.code == 2
    assert "not a session" in answer.sentence
