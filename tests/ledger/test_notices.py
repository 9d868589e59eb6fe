"""Who was told what: once for each target, and again after a failure, a bounded number of times."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.notices import MOST_ATTEMPTS, NoticeRow, NoticeState, begin, given_up, settle, to_try_again
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify

NOW = datetime(2026, 11, 20, 21, tzinfo=UTC)
HALT = NoticeRow("halt", "portfolio main", "2026-11-20", "PHONE", "main halted", "by ann", {"by": "ann", "of": ["a"]})


def _begin(ledger: Ledger, notice: NoticeRow = HALT, now: datetime = NOW) -> bool:
    with ledger.transaction() as connection:
        return begin(connection, notice, now=now)


def _settle(ledger: Ledger, failure: str = "", notice: NoticeRow = HALT, now: datetime = NOW) -> None:
    with ledger.transaction() as connection:
        settle(connection, notice, failure, now=now)


def _again(ledger: Ledger, now: datetime) -> list[NoticeRow]:
    with ledger.read() as connection:
        assert verify(connection) == []
        return to_try_again(connection, now)


def _given_up(ledger: Ledger) -> list[NoticeRow]:
    with ledger.read() as connection:
        return given_up(connection)


def _fail_until_the_end(ledger: Ledger, notice: NoticeRow = HALT, now: datetime = NOW) -> datetime:
    for _ in range(MOST_ATTEMPTS):
        assert _begin(ledger, notice, now)
        _settle(ledger, "no answer", notice, now)
        now += timedelta(days=1)
    return now


def test_what_was_told_is_never_begun_again(ledger: Ledger) -> None:
    assert _begin(ledger)
    _settle(ledger)
    assert not _begin(ledger, now=NOW + timedelta(days=30))
    assert _again(ledger, NOW + timedelta(days=30)) == []


@pytest.mark.parametrize("name", ["event", "subject", "occasion", "target"])
def test_another_fact_and_another_target_are_told_each(ledger: Ledger, name: str) -> None:
    assert _begin(ledger)
    _settle(ledger)
    assert _begin(ledger, replace(HALT, **{name: "another"}))


def test_a_failure_is_tried_again_as_it_was_said_after_pauses_that_grow(ledger: Ledger) -> None:
    _begin(ledger)
    _settle(ledger, "no answer")
    assert _again(ledger, NOW + timedelta(seconds=59)) == []
    assert not _begin(ledger, now=NOW + timedelta(seconds=59))
    later = NOW + timedelta(minutes=1)
    [found] = _again(ledger, later)
    assert (found.title, found.body, found.facts) == (HALT.title, HALT.body, HALT.facts)
    assert (found.state, found.attempts, found.reason, found.first_at) == (NoticeState.FAILED, 1, "no answer", NOW)
    assert _begin(ledger, now=later)
    _settle(ledger, "no answer", now=later)
    assert _again(ledger, later + timedelta(seconds=119)) == []
    assert [row.attempts for row in _again(ledger, later + timedelta(seconds=120))] == [2]


def test_an_attempt_that_a_death_cut_short_is_made_again(ledger: Ledger) -> None:
    _begin(ledger)
    assert [row.state for row in _again(ledger, NOW + timedelta(minutes=1))] == [NoticeState.SENDING]
    assert _begin(ledger, now=NOW + timedelta(minutes=1))


def test_a_clock_that_was_ahead_keeps_no_attempt_away(ledger: Ledger) -> None:
    _begin(ledger, now=NOW + timedelta(days=400))
    assert _begin(ledger)


def test_after_the_last_attempt_it_is_given_up_until_the_target_takes_something(ledger: Ledger) -> None:
    _begin(ledger, replace(HALT, event="break"))
    _settle(ledger, notice=replace(HALT, event="break"))
    now = _fail_until_the_end(ledger)
    assert not _begin(ledger, now=now)
    assert _again(ledger, now) == []
    assert [(row.event, row.target, row.attempts) for row in _given_up(ledger)] == [("halt", "PHONE", MOST_ATTEMPTS)]
    elsewhere = replace(HALT, target="MAIL")
    _begin(ledger, elsewhere, now)
    _settle(ledger, notice=elsewhere, now=now)
    assert [row.target for row in _given_up(ledger)] == ["PHONE"]
    test = replace(HALT, event="test")
    _begin(ledger, test, now)
    _settle(ledger, notice=test, now=now)
    assert _given_up(ledger) == []


def test_what_was_never_begun_is_not_settled(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no row"):
        _settle(ledger)
