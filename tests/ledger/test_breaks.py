"""Open breaks and closed days in the ledger: what opens, what clears, what a person takes as it is."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from scizor_dagster.errors import InputError
from scizor_dagster.ledger.breaks import (
    BreakRow,
    Looked,
    accept_break,
    accepted_breaks,
    breaks_by_id,
    open_breaks,
    record_breaks,
)
from scizor_dagster.ledger.days import day_of, is_closed, record_pass, unclosed_days
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from scizor_dagster.ledger.verification import verify
from tests.execution.scenario import MONDAY, START, TUESDAY
from tests.ledger.lived import a_break

STAGES = ("orders", "fills", "positions", "cash")
MONDAYS = Looked("paper", "main", MONDAY, STAGES, ("positions", "cash"))
LATER = START + timedelta(hours=1)


def of_monday(**changes: object) -> BreakRow:
    return a_break(**{"break_id": "of-monday", "portfolio": "main", "stage": "fills", **changes})


def record(ledger: Ledger, looked: Looked, *rows: BreakRow) -> tuple[list[str], list[str]]:
    with ledger.transaction() as connection:
        opened, cleared = record_breaks(connection, looked, rows, now=LATER)
    return [row.break_id for row in opened], [row.break_id for row in cleared]


def test_a_break_is_opened_once_and_clears_when_it_is_not_found_any_more(ledger: Ledger) -> None:
    assert record(ledger, MONDAYS, a_break()) == (["0123456789ab"], [])
    assert record(ledger, MONDAYS, a_break()) == ([], [])
    assert record(ledger, MONDAYS) == ([], ["0123456789ab"])
    with ledger.read() as connection:
        assert open_breaks(connection, "paper") == []
        (row,) = breaks_by_id(connection, ["0123456789ab"])
        assert (row.cleared_at, row.cleared_by, row.clear_reason) == (LATER, "machine", "the parties agree again")
        assert verify(connection) == []


def test_a_break_that_is_found_again_is_as_it_is_seen_now_and_opened_as_it_was(ledger: Ledger) -> None:
    record(ledger, MONDAYS, a_break(value=None))
    assert record(ledger, MONDAYS, a_break(value=Decimal(210), locks="none", cause="a split", found_in="second")) == (
        [],
        [],
    )
    with ledger.read() as connection:
        (row,) = open_breaks(connection, "paper")
        assert verify(connection) == []
    assert (row.value, row.locks, row.cause) == (Decimal(210), "none", "a split")
    assert (row.found_in, row.opened_at) == ("first", START)


def test_a_value_that_was_known_stays_where_none_is_known_and_what_is_the_same_writes_nothing(ledger: Ledger) -> None:
    record(ledger, MONDAYS, a_break())
    written = sa.select(sa.func.count()).select_from(events)
    with ledger.read() as connection:
        before = connection.execute(written).scalar_one()
    record(ledger, MONDAYS, a_break(value=None))
    with ledger.read() as connection:
        (row,) = open_breaks(connection, "paper")
        assert connection.execute(written).scalar_one() == before
    assert row.value == a_break().value


def test_what_is_at_work_is_cleared_neither_for_the_account_nor_what_is_in_doubt_for_a_session(ledger: Ledger) -> None:
    record(ledger, MONDAYS, a_break(), of_monday())
    assert record(ledger, replace(MONDAYS, at_work={"AAA"}, but={"AAA"})) == ([], [])
    assert record(ledger, replace(MONDAYS, at_work={"AAA"}, why="gone")) == ([], ["of-monday"])
    with ledger.read() as connection:
        (row,) = breaks_by_id(connection, ["of-monday"])
    assert row.clear_reason == "gone"


def test_a_break_that_had_agreed_and_does_not_any_more_is_opened_anew(ledger: Ledger) -> None:
    record(ledger, MONDAYS, a_break())
    record(ledger, MONDAYS)
    assert record(ledger, MONDAYS, a_break(cause="again")) == (["0123456789ab"], [])
    with ledger.read() as connection:
        (row,) = open_breaks(connection, "paper")
        assert (row.cause, row.cleared_by) == ("again", None)
        assert verify(connection) == []


@pytest.mark.parametrize(
    ("looked", "cleared"),
    [
        (MONDAYS, True),
        (Looked("paper", "main", TUESDAY, STAGES, STAGES), False),
        (Looked("paper", "other", MONDAY, STAGES, STAGES), False),
        (Looked("paper", "main", MONDAY, ("orders",), STAGES), False),
        (Looked("real", "main", MONDAY, STAGES, STAGES), False),
    ],
)
def test_a_break_of_a_session_clears_by_that_session_and_portfolio_alone(
    ledger: Ledger, looked: Looked, cleared: bool
) -> None:
    record(ledger, MONDAYS, of_monday())
    assert record(ledger, looked) == ([], ["of-monday"] if cleared else [])


def test_a_break_of_the_account_clears_by_whoever_has_compared_its_stage(ledger: Ledger) -> None:
    record(ledger, MONDAYS, a_break())
    assert record(ledger, Looked("paper", "other", TUESDAY, STAGES, ("cash",))) == ([], [])
    assert record(ledger, Looked("paper", "other", TUESDAY, (), ("positions",))) == ([], ["0123456789ab"])


def test_what_a_person_has_accepted_is_not_opened_again(ledger: Ledger) -> None:
    record(ledger, MONDAYS, a_break())
    with ledger.transaction() as connection:
        row = accept_break(connection, "0123456789ab", actor="ann", reason="mine", now=LATER)
    assert (row.cleared_by, row.clear_reason) == ("ann", "mine")
    assert record(ledger, MONDAYS, a_break()) == ([], [])
    with ledger.read() as connection:
        assert (open_breaks(connection, "paper"), verify(connection)) == ([], [])
        assert accepted_breaks(connection, "paper") == {"0123456789ab": "ann: mine"}


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("nothing", "mine", "There is no such break"),
        ("0123456789ab", " ", "needs a reason"),
        ("of-monday", "mine", "The break is not open: the parties agree again"),
    ],
)
def test_only_an_open_break_is_accepted_and_with_a_reason(ledger: Ledger, name: str, reason: str, words: str) -> None:
    record(ledger, MONDAYS, a_break(), of_monday())
    record(ledger, MONDAYS, a_break())
    with ledger.transaction() as connection, pytest.raises(InputError, match=words) as refused:
        accept_break(connection, name, actor="ann", reason=reason, now=LATER)
    assert refused.value.where == f"break {name}"


def test_a_day_is_closed_by_its_second_pass_once_and_stays_closed(ledger: Ledger) -> None:
    key = ("paper", "main", MONDAY)
    with ledger.transaction() as connection:
        assert (day_of(connection, *key), is_closed(connection, *key)) == (None, False)
        first = record_pass(connection, *key, second=False, closes=False, now=START)
        assert (first.first_at, first.second_at, first.closed_at) == (START, None, None)
        record_pass(connection, *key, second=True, closes=False, now=START)
        assert [row.session for row in unclosed_days(connection, "paper", "main", MONDAY, TUESDAY)] == [MONDAY]
        closed = record_pass(connection, *key, second=True, closes=True, now=LATER)
        again = record_pass(connection, *key, second=True, closes=True, now=LATER + timedelta(hours=1))
        assert (closed.closed_at, again.closed_at, again.second_at) == (LATER, LATER, LATER + timedelta(hours=1))
        assert (day_of(connection, *key), is_closed(connection, *key)) == (again, True)
        assert unclosed_days(connection, "paper", "main", MONDAY, TUESDAY) == []
        assert verify(connection) == []
