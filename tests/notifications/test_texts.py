"""What each event says: what, where, since when, and what to do next, in a few lines."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from scizor_dagster.notifications import texts
from scizor_dagster.notifications.notice import MOST_TEXT, MOST_TITLE, Notice, digest, notice, shortened
from scizor_dagster.notifications.texts import Day, FailedRun

FRIDAY = date(2026, 11, 20)
AT = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)
RUN = FailedRun(
    "rebalance", "0123456789abcdef", "2026-11-20", "main", "main__planned_orders", "prices.csv:7: AAPL has no price."
)
DAY = Day(
    portfolio="main", session=FRIDAY, currency="USD", planned=12, filled=11, working=0, refused=1, held_back=0,
    breaks=0, equity=98412.1, earned=412.1, gain=0.0042, paid=3.2,
)  # fmt: skip


def key(item: Notice) -> tuple[str, str, str]:
    return item.event, item.subject, item.occasion


def test_a_failed_run_says_why_and_how_to_go_on() -> None:
    said = texts.run_failed(RUN)
    assert (said.event, said.title) == ("run_failed", "rebalance 2026-11-20 failed")
    assert said.text.splitlines() == [
        "Step main__planned_orders.",
        "prices.csv:7: AAPL has no price.",
        "See run 01234567 in Dagster. Then: scizor run --portfolio main --date 2026-11-20.",
    ]


def test_a_run_without_portfolio_step_or_words_says_what_is_known() -> None:
    said = texts.run_failed(FailedRun("maintain", "0123456789"))
    assert said.title == "maintain failed"
    assert said.text == "It ended without a word; its process may have died.\nSee run 01234567 in Dagster."


def test_a_run_that_fails_again_in_the_same_words_is_the_same_fact_and_another_cause_or_session_is_none() -> None:
    first = texts.run_failed(replace(RUN, problem="No price at 14:31, attempt 1."))
    again = replace(RUN, run_id="another", problem="No price at 14:36, attempt 2.")
    assert key(texts.run_failed(again)) == key(first)
    for other in (replace(again, problem="No weights."), replace(again, partition="2026-11-23")):
        assert key(texts.run_failed(other)) != key(first)


@pytest.mark.parametrize("partition", ["", "2026"])
def test_a_run_for_no_session_that_fails_another_day_is_told_again(partition: str) -> None:
    run = FailedRun("maintain", "0123456789", partition, problem="The disk is full.", day=FRIDAY)
    first = key(texts.run_failed(run))
    assert key(texts.run_failed(replace(run, run_id="another"))) == first
    assert key(texts.run_failed(replace(run, day=FRIDAY + timedelta(days=1)))) != first
    of_a_session = replace(RUN, day=FRIDAY)
    assert key(texts.run_failed(of_a_session)) == key(texts.run_failed(replace(of_a_session, day=date(2026, 11, 23))))


def test_weights_that_wait_for_a_person_are_no_failure() -> None:
    said = texts.run_failed(replace(RUN, held=True, problem="The weights are held. Approve: scizor signals approve x."))
    assert (said.event, said.title) == ("held_for_human", "main 2026-11-20: weights wait for you")
    assert "scizor signals approve x" in said.text


def test_a_plan_that_waits_says_how_to_release_it() -> None:
    said = texts.plan_waits("main", FRIDAY, "abcdef0123456789", 3)
    assert (said.event, said.title) == ("held_for_human", "main 2026-11-20: a plan waits for you")
    assert "Plan abcdef012345 has 3 order(s)" in said.text
    assert said.text.endswith("scizor approve abcdef012345. Then: scizor run --portfolio main --date 2026-11-20.")


def test_an_unknown_outcome_names_the_frozen_instruments_and_where_to_look() -> None:
    said = texts.outcome_unknown("main", FRIDAY, {f"o{n}": f"S{n}" for n in range(7)})
    assert (said.event, said.title) == ("held_for_human", "main 2026-11-20: 7 order(s) of unknown outcome")
    assert "S0, S1, S2, S3, S4 and 2 more" in said.text
    assert said.text.endswith("scizor run --portfolio main --date 2026-11-20.")


def test_breaks_name_what_differs_and_the_same_ones_are_the_same_fact() -> None:
    row = {"kind": "position", "symbol": "AAPL", "client_order_id": None, "expected": "10", "found": "9"}
    said = texts.broken("main", FRIDAY, [row])
    assert (said.event, said.title) == ("break", "main 2026-11-20: 1 unexplained break(s)")
    assert "position AAPL: expected 10, found 9" in said.text
    assert said.text.endswith("scizor reconcile --portfolio main --date 2026-11-20.")
    assert key(texts.broken("main", FRIDAY, [{**row, "found": "8"}])) == key(said)
    many = [{**row, "symbol": f"S{n}"} for n in range(9)]
    assert "and 4 more" in texts.broken("main", FRIDAY, many).text
    assert key(texts.broken("main", FRIDAY, many)) != key(said)


def test_a_halt_says_by_whom_and_why_and_how_to_resume() -> None:
    said = texts.stopped("paper", None, "halted", "loss stop", "lost 6 %", at=AT, until=None, cancel_open=True)
    assert (said.event, said.title) == ("halt", "paper is halted")
    assert "By loss stop at 2026-11-20T14:05+00:00: lost 6 %" in said.text
    assert "No order goes out; open orders are cancelled." in said.text
    assert said.text.endswith("scizor resume --account paper --reason TEXT.")
    until = texts.stopped("paper", "main", "reducing", "ann", "a look", at=AT, until=AT, cancel_open=False)
    assert until.title == "main is reducing"
    assert "until 2026-11-20T14:05+00:00" in until.text
    assert "Only orders that close positions go out." in until.text
    assert until.text.endswith("scizor resume --portfolio main --reason TEXT.")


def test_the_watchdog_says_each_finding_with_its_remedy_and_the_same_ones_are_the_same_fact() -> None:
    silent = {"kind": "daemon_silent", "portfolio": None, "account": None, "problem": "Silent.", "remedy": "Start it."}
    untraded = {**silent, "kind": "not_admitted", "portfolio": "main", "problem": "Not traded.", "remedy": "Trade it."}
    said = texts.watchdog_found([silent, untraded], ["main"], AT)
    assert said.title == "Watchdog: 2 finding(s), daemon_silent, not_admitted"
    assert said.text.splitlines() == [
        "- Silent. Start it.", "- main: Not traded. Trade it.", "See them all: scizor watchdog.",
    ]  # fmt: skip
    assert key(texts.watchdog_found([untraded, silent], ["main"], AT + timedelta(hours=1))) == key(said)
    assert key(texts.watchdog_found([untraded], ["main"], AT)) != key(said)
    assert key(texts.watchdog_found([silent, untraded], ["main"], AT + timedelta(days=1))) != key(said)
    assert "and 2 more" in texts.watchdog_found([{**silent, "problem": str(n)} for n in range(7)], [], AT).text


def test_all_is_well_is_said_each_time_anew() -> None:
    said = texts.all_well(["main", "bold"], AT)
    assert (said.event, said.title) == ("all_well", "All is well with main, bold")
    assert key(said) != key(texts.all_well(["main", "bold"], AT.replace(minute=6)))


def test_a_day_says_what_was_decided_done_broken_earned_and_paid() -> None:
    said = texts.daily_summary(DAY)
    assert (said.event, said.subject, said.occasion) == ("daily_summary", "portfolio main", "2026-11-20")
    assert said.title == "main 2026-11-20: +412.10 USD (+0.42%)"
    assert said.text.splitlines() == [
        "Decided: 12 order(s).",
        "Done: 11 filled, 1 refused.",
        "Broken: nothing.",
        "Earned: +412.10 USD (+0.42%); equity 98,412.10 USD.",
        "Paid: 3.20 USD in fees.",
        "Look: scizor reconcile --portfolio main --date 2026-11-20.",
    ]


def test_a_day_without_orders_or_trouble_asks_for_nothing() -> None:
    said = texts.daily_summary(replace(DAY, planned=0, filled=0, refused=0, synthetic=True))
    assert said.text.splitlines()[0] == "Decided: no order."
    assert "Done" not in said.text
    assert "Prices are made up." in said.text
    assert said.text.endswith("Nothing to do.")


def test_a_day_of_which_little_is_known_says_so() -> None:
    said = texts.daily_summary(replace(DAY, breaks=None, earned=None, gain=None, waits=True, working=1, held_back=2))
    assert said.title == "main 2026-11-20: not known"
    assert "Broken: not reconciled." in said.text
    assert "Done: 11 filled, 1 working, 1 refused, 2 held back." in said.text
    assert said.text.endswith("Its plan waits for you: scizor approve main.")
    assert "Broken: 2 unexplained break(s)." in texts.daily_summary(replace(DAY, breaks=2)).text


def test_a_long_story_is_cut_and_what_to_do_is_not() -> None:
    said = notice("halt", "s" * 200, "o" * 200, "t " * 200, "x" * 5000, "Do this.")
    title, text = shortened(said.title, said.text)
    assert len(title) <= MOST_TITLE
    assert len(text) <= MOST_TEXT
    assert text.endswith("...\nDo this.")
    assert (len(said.subject), len(said.occasion)) == (128, 128)


def test_facts_that_differ_in_numbers_alone_are_told_apart_only_where_numbers_count() -> None:
    assert digest("a 1") != digest("a 2")
    assert digest("a 1", numbers=False) == digest("a 22", numbers=False)
    assert digest("a", "b") != digest("ab")
