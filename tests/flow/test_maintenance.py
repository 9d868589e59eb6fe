"""Plans after a clean-up: made again to the same bytes for as long as what they were made from is kept."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.maintenance import maintain_lake
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.replaying import replay_sessions
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.planning.frames import read_plan
from tests.flow.desks import FIRST, NOW, SECOND, add_action, collected, trade


def years_later(desk: Desk, years: int) -> Desk:
    return Desk(desk.settings, lambda: NOW + timedelta(days=366 * years))


def replay(desk: Desk, session: date) -> bool:
    """Whether the plan made again is the stored one, byte for byte."""
    (found,) = replay_sessions(desk, "main", session, session).sessions
    return found.equal


def change(desk: Desk, statement: str, *values: object) -> None:
    with desk.lake.write() as cursor:
        cursor.execute(statement, list(values))


def test_a_plan_is_made_again_to_the_same_bytes_after_everything_old_has_gone(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    trade(desk, FIRST)
    consolidate_session(desk, "main", SECOND)
    plan = plan_session(desk, "main", SECOND).plan
    snapshot = desk.lake.snapshot()
    # Prices are restated and an action appears: the lake as it is now would give another plan.
    change(desk, "UPDATE bars SET close = close * 2, high = high * 2 WHERE market = 'us'")
    add_action(desk, "AAPL", SECOND, "split", 2.0)
    report = maintain_lake(years_later(desk, 2), grace=timedelta(0))
    assert report.kept == ()
    assert report.deleted > 0
    with desk.lake.read() as cursor:
        numbers = {row[0] for row in cursor.execute("SELECT snapshot_id FROM lake.snapshots()").fetchall()}
    assert snapshot not in numbers
    assert replay(desk, SECOND)
    assert replay(desk, FIRST)
    assert read_plan(desk.lake, "main", SECOND) == plan


def test_the_state_that_a_plan_without_inputs_has_read_stays_for_the_years_of_the_audit(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    consolidate_session(desk, "main", FIRST)
    plan_session(desk, "main", FIRST)
    change(desk, "DELETE FROM plan_inputs")
    with desk.lake.read() as cursor:
        cited = cursor.execute("SELECT lake_snapshot FROM plans").fetchone()[0]
    assert maintain_lake(years_later(desk, 6), grace=timedelta(0)).kept == (cited,)
    with desk.lake.read() as cursor:
        bars = f"SELECT count(*) FROM bars AT (VERSION => {cited})"
        assert cursor.execute(bars).fetchone()[0] > 0
    with pytest.raises(InputError, match="no inputs beside it"):
        replay(desk, FIRST)
    assert maintain_lake(years_later(desk, 8), grace=timedelta(0)).kept == ()


def test_inputs_go_when_the_years_of_the_audit_are_over(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    consolidate_session(desk, "main", FIRST)
    plan_session(desk, "main", FIRST)
    maintain_lake(years_later(desk, 6))
    assert replay(desk, FIRST)
    maintain_lake(years_later(desk, 8))
    with pytest.raises(InputError, match="no inputs beside it"):
        replay(desk, FIRST)
    with pytest.raises(InputError, match="has no plan for"):
        replay(desk, SECOND)
