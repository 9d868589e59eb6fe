"""What people should know of, as the stores have it: nothing on a quiet day, and each fact as long as it is one."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from scizor_dagster.config import NotificationRules
from scizor_dagster.flow import notices
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.notices import due_notices
from scizor_dagster.flow.open_breaks import looked_findings, open_breaks_of
from scizor_dagster.ledger.breaks import Looked, record_breaks
from scizor_dagster.ledger.states import IntentState as S
from scizor_dagster.notifications.notice import Notice
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.batches import leave_batch, leave_lease, store_reconciliation
from tests.flow.test_watchdog import FILLED, FRIDAY, HOLIDAY, THURSDAY, at
from tests.ledger.lived import a_break
from tests.projects import Project, project_at, small_project

ALL = NotificationRules(events={"daily_summary": True}).is_on
DEFAULT = NotificationRules().is_on


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = small_project(tmp_path_factory.mktemp("noticed"))
    desk = desk_of(project)
    leave_batch(desk, THURSDAY, FILLED)
    store_reconciliation(desk, THURSDAY, at("08:30"))
    desk.lake.close()
    desk.ledger.close()
    return project.folder


@pytest.fixture
def desk(_template: Path, tmp_path: Path) -> Desk:
    """Thursday was traded and reconciled; nothing is open and nothing is wrong."""
    shutil.copytree(_template, tmp_path / "project")
    return desk_of(project_at(tmp_path / "project"))


def desk_of(project: Project) -> Desk:
    return Desk(project.settings, lambda: datetime.now(UTC))


NOON = at("12:00")


def due(desk: Desk, now: datetime = NOON, is_on: Callable[[str], bool] = ALL) -> list[Notice]:
    found, problems = due_notices(desk, now, is_on)
    assert problems == []
    return found


def set_stop(desk: Desk, portfolio: str | None, state: TradingState = TradingState.HALTED) -> None:
    with desk.ledger.transaction() as connection:
        set_state(connection, "paper", portfolio, state, reason="a look", actor="ann", now=at("10:00"))


def store_performance(desk: Desk, session: date, gain: float | None = 0.01) -> None:
    with desk.lake.write() as cursor:
        cursor.execute(
            "INSERT INTO performance BY NAME SELECT 'main' AS portfolio, ?::DATE AS session, 101000.0 AS equity, "
            "1000.0 AS cash, 100000.0 AS market_value, 0.0 AS flows, 3.5 AS fees, ? AS return, 0 AS unpriced, "
            "'raw' AS adjustment, true AS synthetic, 'test' AS source, ?::TIMESTAMPTZ AS fetched_at",
            [session, gain, at("18:00", session)],
        )  # fmt: skip


def store_break(desk: Desk, session: date, severity: str = "error", which: str | None = None) -> None:
    with desk.lake.write() as cursor:
        cursor.execute(
            "INSERT INTO breaks BY NAME SELECT 'main' AS portfolio, 'paper' AS account, ?::DATE AS session, "
            "'position' AS kind, 'AAPL' AS symbol, '10' AS expected, '9' AS found, ? AS severity, 'Look.' AS remedy, "
            "'test' AS source, ?::TIMESTAMPTZ AS fetched_at, ? AS pass",
            [session, severity, at("18:00", session), which],
        )  # fmt: skip


@pytest.mark.parametrize("is_on", [ALL, DEFAULT])
def test_on_a_quiet_day_there_is_nothing_to_tell(desk: Desk, is_on: Callable[[str], bool]) -> None:
    store_break(desk, THURSDAY, "warning")
    for now in (at("03:00"), at("12:00"), at("23:00"), at("12:00", HOLIDAY)):
        assert due(desk, now, is_on) == []


def test_where_nothing_ever_traded_looking_creates_nothing(tmp_path: Path) -> None:
    fresh = small_project(tmp_path)
    assert due(desk_of(fresh)) == []
    assert not fresh.home.exists()


def test_a_configuration_that_cannot_be_read_is_a_problem_and_no_error(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    desk_of(project).ledger.close()
    project.settings.config_path.write_text("markets: [", encoding="utf-8")
    found, problems = due_notices(desk_of(project), at("12:00"), ALL)
    assert found == []
    assert "not valid YAML" in problems[0]


def test_a_stop_is_due_while_it_lasts_and_one_of_the_account_once_for_all_its_portfolios(tmp_path: Path) -> None:
    market = {"market": "us", "account": "paper", "signals": {"mode": "select", "strategy": "weekly"}}
    halves = {"main": {"capital": {"share": 0.5}}, "bold": {**market, "capital": {"share": 0.5}}}
    desk = desk_of(small_project(tmp_path, portfolios=halves))
    set_stop(desk, None)
    [found] = due(desk)
    assert (found.event, found.subject, found.title) == ("halt", "account paper", "paper is halted")
    assert due(desk, at("15:00")) == [found]
    set_stop(desk, None, TradingState.ACTIVE)
    assert due(desk) == []
    set_stop(desk, "bold", TradingState.REDUCING)
    assert [(item.subject, item.title) for item in due(desk)] == [("portfolio bold", "bold is reducing")]
    assert due(desk, is_on=NotificationRules(events={"halt": False}).is_on) == []


def test_an_unknown_outcome_is_due_once_no_run_is_at_it(desk: Desk) -> None:
    leave_batch(desk, FRIDAY, {"AAPL": S.UNKNOWN, "MSFT": S.WORKING, "NVDA": S.SENDING}, plan_id="friday")
    leave_lease(desk, "a run", at("12:05"))
    assert due(desk) == []
    leave_lease(desk, None, at("12:05"), token=2)
    [found] = due(desk)
    assert (found.event, found.subject) == ("held_for_human", "orders of main")
    assert "AAPL, NVDA" in found.text
    assert "MSFT" not in found.text


def test_a_plan_that_waits_for_a_person_is_due_for_the_session_that_trades_now(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(_: Desk, portfolio: str, session: date) -> SimpleNamespace | None:
        return SimpleNamespace(plan_id="abcdef0123456789", orders=(1, 2)) if session == FRIDAY else None

    monkeypatch.setattr(notices, "awaiting_plan", waits)
    [found] = due(desk, at("09:10"))
    assert (found.event, found.subject, found.occasion) == ("held_for_human", "plan of main", "2026-11-20:abcdef012345")
    assert due(desk, at("17:00")) == []


def test_unexplained_breaks_of_the_last_traded_session_are_due(desk: Desk) -> None:
    store_break(desk, FRIDAY)
    assert due(desk) == []
    store_break(desk, THURSDAY)
    [found] = due(desk)
    assert (found.event, found.title) == ("break", "main 2026-11-19: 1 unexplained break(s)")


def test_what_the_newest_pass_does_not_find_any_more_is_not_due(desk: Desk) -> None:
    store_break(desk, THURSDAY, which="first")
    assert due(desk) == [], "the pass that is stored is another one"


def test_what_the_look_before_a_plan_has_found_is_due_until_it_agrees(desk: Desk) -> None:
    looked = Looked("paper", "main", FRIDAY, (), ("positions",))
    row = a_break(session=FRIDAY, found_in="look", opened_at=at("09:00"))
    with desk.ledger.transaction() as connection:
        record_breaks(connection, looked, [row, a_break(break_id="b")], now=at("09:00"))
    [found] = due(desk)
    assert (found.event, found.subject, found.title) == ("break", "account paper", "paper: 1 position(s) do not agree")
    assert "AAA: nothing explains 2\nSee them: scizor reconcile --portfolio main." in found.text
    [finding] = looked_findings(desk, "paper", "main")  # type: ignore[arg-type]
    assert (finding.kind, "do not trade: AAA" in finding.problem) == ("open_breaks", True)
    assert [(row["of"], row["found_in"], row["clear"]) for row in open_breaks_of(desk, "main")] == [
        ("the account", found_in, "scizor reconcile --portfolio main") for found_in in ("first", "look")
    ]
    with desk.ledger.transaction() as connection:
        record_breaks(connection, looked, [], now=at("09:10"))
    assert (due(desk), list(looked_findings(desk, "paper", "main"))) == ([], [])  # type: ignore[arg-type]


def test_the_summary_of_the_last_closed_session_is_due_once_it_is_measured_and_switched_on(desk: Desk) -> None:
    store_performance(desk, THURSDAY)
    assert due(desk, is_on=DEFAULT) == []
    [found] = due(desk)
    assert (found.event, found.occasion) == ("daily_summary", "2026-11-19")
    assert found.title == "main 2026-11-19: +1,000.00 USD (+1.00%)"
    assert "Decided: 1 order(s).\nDone: 1 filled.\nBroken: nothing." in found.text
    assert "Paid: 3.50 USD in fees." in found.text
    assert due(desk, at("17:00")) == []


def test_a_first_day_has_no_gain_and_says_so(desk: Desk) -> None:
    store_performance(desk, THURSDAY, None)
    assert due(desk)[0].title == "main 2026-11-19: not known"


def test_a_look_that_fails_keeps_no_other_one_away(desk: Desk) -> None:
    set_stop(desk, "main")
    desk.lake.close()
    (desk.settings.lake_folder / "catalog.sqlite").write_bytes(b"no database" * 1000)
    found, problems = due_notices(desk_of(project_at(desk.settings.config_path.parent)), at("12:00"), ALL)
    assert [item.event for item in found] == ["halt"]
    assert problems
    assert all(item.startswith("main: ") for item in problems)
