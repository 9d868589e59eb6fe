"""`halt`, `reduce`, `resume`, `limits` and `risk`: what a person says about risk, and what is answered."""

from __future__ import annotations

from decimal import Decimal

import pytest

from scizor_dagster.cli.actor import actor_of
from scizor_dagster.errors import InputError
from scizor_dagster.ledger.breaks import Looked, record_breaks
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.acceptance import is_accepted
from scizor_dagster.risk.locks import DueLock, store_locks
from scizor_dagster.risk.trading_state import states_of
from tests.cli.conftest import NEXT, TRADED, Scizor
from tests.execution.scenario import START
from tests.ledger.lived import a_break
from tests.projects import Project


def states(project: Project) -> list[tuple[str | None, str, str, str, bool]]:
    ledger = Ledger.open(project.settings.ledger_url)
    with ledger.read() as connection:
        rows = states_of(connection, "paper")
    ledger.close()
    return [(row.portfolio, row.state.value, row.reason, row.actor, row.cancel_open) for row in rows]


def test_halt_reduce_and_resume_are_rows_and_the_doctor_shows_the_one_in_force(
    scizor: Scizor, collected: Project
) -> None:
    assert scizor("halt", "--portfolio", "main", "--reason", "odd prices", "--by", "ann").code == 0
    trading = {check["check"]: check for check in scizor("doctor", "--json").json["checks"]}["trading"]
    assert trading["ok"]
    assert "main: halted by ann: odd prices, limits" in trading["detail"]
    assert "from the defaults, for risk.limits is not set" in trading["detail"]
    answer = scizor("reduce", "--account", "paper", "--reason", "a look", "--by", "ann", "--cancel-open", "--json")
    assert answer.json == {
        "accounts": ["paper"],
        "portfolio": None,
        "state": "reducing",
        "by": "ann",
        "until": None,
        "note": "",
        "canceled": 0,
        "not_canceled": [],
        "not_asked": [],
    }
    assert (
        "portfolio main on account paper: active"
        in scizor("resume", "--portfolio", "main", "--reason", "mended", "--by", "ann").out
    )
    assert states(collected) == [
        ("main", "halted", "odd prices", "ann", False),
        (None, "reducing", "a look", "ann", True),
        ("main", "active", "mended", "ann", False),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Neither an account nor a portfolio is named"),
        (("--portfolio", "nope"), "There is no portfolio 'nope'"),
        (("--account", "nope"), "There is no account 'nope'"),
        (("--portfolio", "main", "--account", "other"), "trades on account 'paper', not on 'other'"),
        (("--portfolio", "main", "--until", "tomorrow"), "'tomorrow' is no time with its zone"),
        (("--portfolio", "main", "--until", "2030-01-01T10:00"), "is no time with its zone"),
        (("--portfolio", "main", "--until", "2020-01-01T10:00+00:00"), "has passed"),
        (("--portfolio", "main", "--by", "scizor"), "is no person's name"),
    ],
)
def test_a_halt_that_is_not_clear_is_refused_before_anything_is_written(
    scizor: Scizor, fresh: Project, arguments: tuple[str, ...], sentence: str
) -> None:
    answer = scizor("halt", "--reason", "why", *arguments)
    assert (answer.code, sentence in answer.sentence) == (2, True), answer
    assert not fresh.home.exists()


def test_a_halt_without_a_reason_is_refused(scizor: Scizor, fresh: Project) -> None:
    assert scizor("halt", "--portfolio", "main").code == 2
    assert "The reason is empty" in scizor("halt", "--portfolio", "main", "--reason", " ").sentence
    assert not fresh.home.exists()


def test_the_limits_in_force_are_shown_without_making_a_store(scizor: Scizor, fresh: Project) -> None:
    found = scizor("limits", "--json").json
    assert (found["limits"]["max_leverage"], found["limits"]["max_gross_value"]) == ("2", "unlimited")
    assert len(found["hash"]) == 64
    assert "max_notional_per_order" in scizor("limits").out
    assert scizor("risk", "locks", "--json").json == {"portfolio": "main", "locks": [], "open_breaks": []}
    assert scizor("risk", "events", "--json").json == {"portfolio": "main", "events": []}
    assert scizor("risk", "unlock", "abc", "--reason", "why").code == 2
    assert not fresh.home.exists()


def test_every_verdict_of_a_session_can_be_read(scizor: Scizor, collected: Project) -> None:
    assert scizor("risk", "events", "--date", str(TRADED), "--json").json["events"] == []
    passed = scizor("risk", "events", "--date", str(TRADED), "--passed", "--json").json["events"]
    assert {event["verdict"] for event in passed} == {"passed"}
    assert "max_leverage" in passed[0]["checked"]
    assert "passed" in scizor("risk", "events", "--passed").out


def test_a_lock_is_shown_and_lifted_once(scizor: Scizor, collected: Project) -> None:
    ledger = Ledger.open(collected.settings.ledger_url)
    with ledger.transaction() as connection:
        due = DueLock("AAPL", "cooldown", "closed with a loss", NEXT, NEXT)
        (lock_id,) = store_locks(connection, "paper", "main", [due], now=START)
    ledger.close()
    (lock,) = scizor("risk", "locks", "--json").json["locks"]
    assert (lock["lock_id"], lock["symbol"], lock["lifted_by"]) == (lock_id, "AAPL", None)
    assert scizor("risk", "unlock", lock_id, "--reason", "a transfer", "--by", "ann").code == 0
    assert scizor("risk", "locks", "--json").json["locks"][0]["lifted_by"] == "ann"
    again = scizor("risk", "unlock", lock_id, "--reason", "a transfer", "--by", "ann", "--json")
    assert (again.code, "lifted before, by ann" in again.json["problem"]) == (2, True)


def test_the_equity_before_a_session_is_accepted_once_and_by_its_amount(scizor: Scizor, collected: Project) -> None:
    call = ("risk", "accept-equity", "--session", NEXT, "--reason", "a merger", "--by", "ann", "--json")
    shown = scizor(*call)
    assert (shown.code, shown.json["where"]) == (2, "--equity")
    assert f"The equity before {NEXT} is " in shown.json["problem"]
    assert "and the one before that was 100," in shown.json["problem"]
    amount = shown.json["remedy"].split()[-1].rstrip(".")
    for wrong in (str(Decimal(amount) + 1), "much", "NaN"):
        refused = scizor(*call, "--equity", wrong)
        assert (refused.code, amount in refused.json["remedy"]) == (2, True)
    answers = [scizor(*call, "--equity", text).json for text in (f"{Decimal(amount):,}", amount)]
    assert [(answer["new"], answer["equity"]) for answer in answers] == [(True, amount), (False, amount)]
    ledger = Ledger.open(collected.settings.ledger_url)
    with ledger.read() as connection:
        assert is_accepted(connection, "paper", "main", NEXT, Decimal(amount))
        assert not is_accepted(connection, "paper", "main", NEXT, Decimal(amount) + 1)
    ledger.close()
    assert scizor("risk", "accept-equity", "--session", "2025-02-09", "--reason", "x", "--by", "ann").code == 2


def test_an_equity_that_is_not_known_cannot_be_accepted(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("risk", "accept-equity", "--session", NEXT, "--reason", "x", "--by", "ann")
    assert (answer.code, "is not known. Collect the prices first." in answer.sentence) == (2, True)
    assert not fresh.home.exists()


def test_a_name_that_is_empty_or_too_long_is_nobodys() -> None:
    assert actor_of(" ann ") == "ann"
    for wrong in ("", "x" * 65, "scizor"):
        with pytest.raises(InputError):
            actor_of(wrong)


def test_open_breaks_of_the_account_stand_beside_the_locks_with_whose_they_are_and_what_clears_them(
    scizor: Scizor, collected: Project
) -> None:
    ledger = Ledger.open(collected.settings.ledger_url)
    with ledger.transaction() as connection:
        row = a_break(portfolio="other", found_in="second")
        record_breaks(connection, Looked("paper", "other", row.session, (), ()), [row], now=START)
    ledger.close()
    answer = scizor("risk", "locks")
    for words in ("Open breaks of account paper", "portfolio other", "nothing explains 2"):
        assert words in answer.out, answer
    (shown,) = scizor("risk", "locks", "--json").json["open_breaks"]
    assert shown["clear"] == "scizor reconcile --portfolio other --date 2026-03-02"
