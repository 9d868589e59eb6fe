"""What the ledger tells at a glance: counts of orders, breaks and notices, and when something was done last."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.breaks import Looked, accept_break, record_breaks
from scizor_dagster.ledger.days import record_pass
from scizor_dagster.ledger.notices import MOST_ATTEMPTS, NoticeRow, begin, given_up, settle
from scizor_dagster.ledger.rows import intents_of
from scizor_dagster.ledger.states import IntentState as S
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.told import (
    OrderCount,
    last_entry_at,
    last_reconciled,
    notice_counts,
    open_break_counts,
    open_orders,
    orders_of_session,
)
from tests.execution.scenario import MONDAY, START, TUESDAY, order, plan_of
from tests.ledger.lived import a_break

LATER = START + timedelta(hours=1)


def admitted(ledger: Ledger, names: list[str], **plan: object) -> None:
    with ledger.transaction() as connection:
        made = replace(plan_of([order(name, "AAA", Side.SELL, "1") for name in names], session=MONDAY), **plan)
        batch = admit(connection, made, starting_cash=Decimal(0), now=START).batch
        for row in intents_of(connection, batch.batch_id)[1:]:
            intents.move(connection, row, S.EXPIRED, now=LATER)


def test_orders_are_counted_by_state_for_a_session_and_those_that_are_open_for_all_sessions(ledger: Ledger) -> None:
    admitted(ledger, ["a", "b", "c"])
    admitted(ledger, ["e"], portfolio="other")
    admitted(ledger, ["d"], session=TUESDAY)
    admitted(ledger, ["f"], account="real")
    with ledger.read() as connection:
        monday = orders_of_session(connection, "paper", "main", MONDAY)
        found = open_orders(connection, "paper")
        assert orders_of_session(connection, "paper", "none", MONDAY) == []
    assert monday == [OrderCount("paper", "main", S.EXPIRED, 2), OrderCount("paper", "main", S.READY, 1)]
    assert found == [OrderCount("paper", "main", S.READY, 2), OrderCount("paper", "other", S.READY, 1)]


def test_open_breaks_are_counted_by_what_they_lock_and_cleared_ones_are_not(ledger: Ledger) -> None:
    looked = Looked("paper", "main", MONDAY, ("positions",), ("positions",))
    rows = [a_break(break_id=name, locks=locks) for name, locks in (("a", "none"), ("b", "instrument"), ("c", "none"))]
    with ledger.transaction() as connection:
        record_breaks(connection, looked, [*rows, a_break(break_id="d", locks="portfolio")], now=LATER)
        accept_break(connection, "d", actor="ann", reason="known", now=LATER)
        assert open_break_counts(connection, "paper") == {"none": 2, "instrument": 1}
        assert open_break_counts(connection, "real") == {}


def test_the_last_reconciliation_is_the_newest_pass_of_any_session(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        assert last_reconciled(connection, "paper", "main") is None
        record_pass(connection, "paper", "main", MONDAY, second=False, closes=False, now=START)
        assert last_reconciled(connection, "paper", "main") == START
        record_pass(connection, "paper", "main", TUESDAY, second=False, closes=False, now=START + timedelta(days=1))
        record_pass(connection, "paper", "main", MONDAY, second=True, closes=True, now=START + timedelta(days=2))
        assert last_reconciled(connection, "paper", "main") == START + timedelta(days=2)
        assert last_reconciled(connection, "paper", "other") is None


def test_the_last_entry_of_an_account_is_found_behind_those_of_others(ledger: Ledger) -> None:
    admitted(ledger, ["a"])
    with ledger.transaction() as connection:
        record_pass(connection, "real", "main", MONDAY, second=False, closes=False, now=LATER)
        assert last_entry_at(connection, "paper") == START
        assert last_entry_at(connection, "real") == LATER
        assert last_entry_at(connection, "none") is None


def tried(ledger: Ledger, occasion: str, attempts: int, failure: str, *, cut_short: bool = False) -> None:
    """So many attempts at a notice, a day apart; the last is left as a death leaves it where it is `cut_short`."""
    notice = NoticeRow("halt", "portfolio main", occasion, "PHONE", "main halted", "by ann")
    with ledger.transaction() as connection:
        for number in range(attempts):
            now = START + timedelta(days=number)
            assert begin(connection, notice, now=now)
            if not cut_short or number < attempts - 1:
                settle(connection, notice, failure, now=now)


def counted(ledger: Ledger) -> dict[str, int]:
    """The notices that there are, by what became of them; as many are given up as the watchdog finds."""
    with ledger.read() as connection:
        found = notice_counts(connection)
        assert found["given_up"] == len(given_up(connection))
    assert set(found) == {"sending", "sent", "failed", "given_up", "missed"}
    return {state: count for state, count in found.items() if count}


def test_notices_are_counted_by_what_became_of_them(ledger: Ledger) -> None:
    assert counted(ledger) == {}
    tried(ledger, "taken", 1, "")
    tried(ledger, "failed", 1, "no answer")
    tried(ledger, "under way", 1, "", cut_short=True)
    tried(ledger, "given up", MOST_ATTEMPTS, "no answer")
    assert counted(ledger) == {"sending": 1, "sent": 1, "failed": 1, "given_up": 1}


def test_a_notice_whose_process_died_in_the_last_attempt_is_given_up_and_not_under_way(ledger: Ledger) -> None:
    tried(ledger, "died", MOST_ATTEMPTS, "no answer", cut_short=True)
    assert counted(ledger) == {"given_up": 1}


def test_what_was_given_up_is_missed_once_its_target_is_reached_again(ledger: Ledger) -> None:
    tried(ledger, "failed", MOST_ATTEMPTS, "no answer")
    tried(ledger, "died", MOST_ATTEMPTS, "no answer", cut_short=True)
    assert counted(ledger) == {"given_up": 2}
    test = NoticeRow("test", "portfolio main", "1", "PHONE", "a test", "by ann")
    with ledger.transaction() as connection:
        assert begin(connection, test, now=START + timedelta(days=30))
        settle(connection, test, "", now=START + timedelta(days=30))
    assert counted(ledger) == {"sent": 1, "missed": 2}
