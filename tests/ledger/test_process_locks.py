"""A lock that lives as long as its process: one holder at a time, by its name, and free at once when it is let go."""

import sqlalchemy as sa

from scizor_dagster.ledger.store import Ledger
from tests.ledgers import another


def test_a_lock_has_one_holder_and_is_free_when_that_one_lets_it_go(ledger: Ledger) -> None:
    other = another(ledger)
    with ledger.process_lock("lease-paper") as held:
        assert held is True
        with other.process_lock("lease-paper") as taken:
            assert taken is False
    with other.process_lock("lease-paper") as taken:
        assert taken is True
    other.close()


def test_locks_of_other_names_do_not_stand_in_each_others_way(ledger: Ledger) -> None:
    other = another(ledger)
    with ledger.process_lock("lease-paper") as held, other.process_lock("lease-live") as taken:
        assert (held, taken) == (True, True)
    other.close()


def test_whoever_was_refused_a_lock_leaves_it_with_its_holder(ledger: Ledger) -> None:
    other = another(ledger)
    with ledger.process_lock("lease-paper"):
        for _ in range(2):
            with other.process_lock("lease-paper") as taken:
                assert taken is False
        with ledger.read() as connection:
            assert connection.execute(sa.select(1)).scalar_one() == 1
    other.close()
