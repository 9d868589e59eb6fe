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
from tests.execution.scenario import MONDAY, START, TUESDAY, D, adopt
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


def accepted(ledger: Ledger, *rows: BreakRow) -> None:
    """Rows that were found on Monday, and that ann takes as they are."""
    record(ledger, MONDAYS, *rows)
    with ledger.transaction() as connection:
        for row in rows:
            accept_break(connection, row.break_id, actor="ann", reason="mine", now=LATER)


def standing(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        assert verify(connection) == []
        return sorted(accepted_breaks(connection, "paper"))


def test_what_was_accepted_and_is_gone_is_opened_anew_when_it_returns(ledger: Ledger) -> None:
    accepted(ledger, a_break())
    assert record(ledger, replace(MONDAYS, accepted={"0123456789ab"})) == ([], [])
    assert standing(ledger) == ["0123456789ab"]
    assert record(ledger, MONDAYS) == ([], [])
    assert standing(ledger) == []
    with ledger.read() as connection:
        (row,) = breaks_by_id(connection, ["0123456789ab"])
        (ended,) = connection.execute(sa.select(events.c.payload).where(events.c.kind == "acceptance_ended")).scalars()
    assert row.clear_reason == "the parties agree again; accepted by ann before: mine"
    assert '"break_id":"0123456789ab"' in ended.replace(" ", "")
    assert record(ledger, MONDAYS, a_break()) == (["0123456789ab"], [])


@pytest.mark.parametrize(
    ("looked", "left"),
    [
        (replace(MONDAYS, at_work={"AAA"}), ["0123456789ab"]),
        (replace(MONDAYS, cash_differs=True), ["cash"]),
        (replace(MONDAYS, session=TUESDAY, of_account=("cash",)), ["0123456789ab", "of-monday"]),
        (replace(MONDAYS, session=TUESDAY), ["of-monday"]),
        (replace(MONDAYS, account="real"), ["0123456789ab", "cash", "of-monday"]),
    ],
)
def test_an_acceptance_ends_by_whoever_has_looked_at_it(ledger: Ledger, looked: Looked, left: list[str]) -> None:
    accepted(ledger, a_break(), a_break(break_id="cash", stage="cash", symbol=None), of_monday())
    record(ledger, looked)
    assert standing(ledger) == left


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


@pytest.mark.parametrize(
    ("owned", "qty", "words"),
    [
        ({"main": "100"}, "-100", "own 100 AAA, and the account holds 0: .*scizor adopt main AAA --qty=-100"),
        ({"main": "100"}, "-120", "own 100 AAA, and the account holds -20: .*--qty=-100"),
        ({"main": "30", "other": "70"}, "-50", "the account holds 50: .*scizor adopt other AAA --qty=-50"),
        ({"main": "-100"}, "40", "own -100 AAA, and the account holds -60: .*--qty=40"),
        ({"main": "-30", "other": "-70"}, "100", "holds 0: .*scizor adopt other AAA --qty=70"),
    ],
)
def test_shares_that_the_account_does_not_have_are_not_taken_as_they_are(
    ledger: Ledger, owned: dict[str, str], qty: str, words: str
) -> None:
    for portfolio, shares in owned.items():
        adopt(ledger, "AAA", shares, portfolio)
    record(ledger, MONDAYS, a_break(qty=D(qty)))
    with ledger.transaction() as connection, pytest.raises(InputError, match=words):
        accept_break(connection, "0123456789ab", actor="ann", reason="mine", now=LATER)


@pytest.mark.parametrize(
    ("owned", "changes"),
    [
        ("100", {"qty": D(20)}),
        ("-100", {"qty": D(-20)}),
        ("100", {"qty": D(0)}),
        ("100", {"qty": None}),
        ("100", {"qty": D(-20), "symbol": "BBB"}),
        ("100", {"qty": D(-20), "symbol": None}),
        ("100", {"qty": D(-20), "kind": "fill_differs"}),
    ],
)
def test_what_is_held_beside_and_what_is_no_position_is_taken_as_it_is(
    ledger: Ledger, owned: str, changes: dict[str, object]
) -> None:
    adopt(ledger, "AAA", owned)
    accepted(ledger, a_break(**changes))
    assert standing(ledger) == ["0123456789ab"]


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
