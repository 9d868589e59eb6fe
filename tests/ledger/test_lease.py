"""One holder at a time."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from scizor_dagster.errors import AccountBusy, LedgerError
from scizor_dagster.ledger.lease import lease, lease_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import leases
from tests.ledgers import another

START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
TTL = timedelta(minutes=2)


class Hand:
    """A clock whose hand the test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def _row(ledger: Ledger) -> sa.Row:
    with ledger.read() as connection:
        return connection.execute(sa.select(leases)).one()


def test_a_second_holder_is_told_who_has_the_account_and_until_when(ledger: Ledger) -> None:
    other = another(ledger)
    with (
        lease(ledger, "paper", "first", Hand(), TTL),
        pytest.raises(AccountBusy) as busy,
        lease(other, "paper", "second", Hand(), TTL),
    ):
        raise AssertionError("two holders")
    assert busy.value.holder == "first"
    assert busy.value.expires_at == (START + TTL).isoformat()
    other.close()


def test_another_account_is_not_busy(ledger: Ledger) -> None:
    with lease(ledger, "paper", "first", Hand(), TTL), lease(ledger, "other", "second", Hand(), TTL) as held:
        assert held.token == 1


def test_a_lease_that_was_given_back_can_be_taken_at_once_with_a_higher_number(ledger: Ledger) -> None:
    with lease(ledger, "paper", "first", Hand(), TTL) as first:
        pass
    with lease(ledger, "paper", "second", Hand(), TTL) as second:
        assert second.token == first.token + 1


def test_a_block_that_raises_gives_the_lease_back(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="inside"), lease(ledger, "paper", "first", Hand(), TTL):
        raise RuntimeError("inside")
    assert _row(ledger).holder is None


def test_an_expired_lease_is_taken_over_and_its_former_holder_can_write_no_more(ledger: Ledger) -> None:
    hand = Hand()
    with lease(ledger, "paper", "stopped", hand, TTL) as stopped:
        hand.now = START + TTL
        with lease(ledger, "paper", "second", hand, TTL) as second:
            with pytest.raises(LedgerError, match="lost"), ledger.transaction() as connection:
                stopped.guard(connection)
            with ledger.transaction() as connection:
                second.guard(connection)
    # The former holder's end must not give back what is not its own any more.
    assert _row(ledger).token == second.token


def test_work_renews_the_lease_and_an_expired_one_that_nobody_took_is_still_good(ledger: Ledger) -> None:
    hand = Hand()
    with lease(ledger, "paper", "slow", hand, TTL) as held:
        hand.now = START + 3 * TTL
        with ledger.transaction() as connection:
            held.guard(connection)
        assert _row(ledger).expires_at == START + 4 * TTL


def _leave_behind(ledger: Ledger, *, advisory: bool) -> None:
    values = {
        "account": "paper",
        "holder": "dead",
        "token": 7,
        "expires_at": START + TTL,
        "advisory": advisory,
    }
    with ledger.transaction() as connection:
        connection.execute(leases.insert().values(**values))


def test_a_holder_that_died_is_known_by_its_process_lock_and_not_waited_for(ledger: Ledger) -> None:
    _leave_behind(ledger, advisory=True)
    with lease(ledger, "paper", "second", Hand(), TTL) as held:
        assert held.token == 8
    with ledger.read() as connection:
        kinds = connection.exec_driver_sql("SELECT kind FROM events").scalars().all()
    assert kinds == ["lease_taken_over"]


def test_a_holder_without_the_process_lock_is_waited_for_until_its_lease_expires(ledger: Ledger) -> None:
    _leave_behind(ledger, advisory=False)
    with pytest.raises(AccountBusy), lease(ledger, "paper", "second", Hand(), TTL):
        raise AssertionError("taken too early")


def test_a_process_lock_that_cannot_be_had_never_stands_in_for_the_row(ledger: Ledger) -> None:
    other = another(ledger)
    with other.process_lock("lease-paper") as held, lease(ledger, "paper", "second", Hand(), TTL):
        assert held
        assert _row(ledger).advisory is False
    other.close()


def test_process_locks_of_different_names_are_had_side_by_side_and_end_with_their_block(ledger: Ledger) -> None:
    other = another(ledger)
    for _ in range(2):
        with ledger.process_lock("one") as one, other.process_lock("two") as two:
            assert (one, two) == (True, True)
            with other.process_lock("one") as again:
                assert not again
    other.close()


def test_who_only_looks_sees_whether_the_account_is_free_held_or_abandoned(ledger: Ledger) -> None:
    def look(now: datetime) -> tuple[str | None, bool, bool]:
        with ledger.read() as connection:
            row = lease_of(connection, "paper")
        assert row is not None
        return row.holder, row.held(now), row.abandoned(now)

    with ledger.read() as connection:
        assert lease_of(connection, "paper") is None
    with lease(ledger, "paper", "first", Hand(), TTL):
        assert look(START + TTL - timedelta(microseconds=1)) == ("first", True, False)
        assert look(START + TTL) == ("first", False, True)
    assert look(START) == look(START + TTL) == (None, False, False)
