"""The watchdog over days and states: what it says, when, and above all when it says nothing."""

import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.cli.dagster_state import DAEMONS, DagsterState
from scizor_dagster.cli.watchdog import look_at
from scizor_dagster.errors import LedgerError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.lifecycle import change_state
from scizor_dagster.flow.signals import take_signals
from scizor_dagster.flow.watch import Watch, WatchingDesk
from scizor_dagster.ledger.arming import arm
from scizor_dagster.ledger.states import IntentState as S
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.batches import leave_batch, leave_lease, store_reconciliation
from tests.jobs.test_schedules import store_bar
from tests.projects import STRATEGY, Project, project_at, small_project, write_weights

NEW_YORK = ZoneInfo("America/New_York")
WEDNESDAY, THURSDAY, FRIDAY, MONDAY = (date(2026, 11, day) for day in (18, 19, 20, 23))
BEFORE_HOLIDAY, HOLIDAY, HALF_DAY = date(2026, 11, 25), date(2026, 11, 26), date(2026, 11, 27)
FILLED = {"AAPL": S.FILLED, "MSFT": S.EXPIRED}


def at(clock: str, day: date = FRIDAY) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK)


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = small_project(tmp_path_factory.mktemp("watched"))
    desk = desk_of(project)
    leave_batch(desk, THURSDAY, FILLED)
    store_reconciliation(desk, THURSDAY, at("08:30"))
    desk.lake.close()
    desk.ledger.close()
    store_bar(project, THURSDAY)
    return project.folder


@pytest.fixture
def project(_template: Path, tmp_path: Path) -> Project:
    """Thursday was traded, ended, and reconciled twice; its prices are there, and the file names Friday too."""
    shutil.copytree(_template, tmp_path / "project")
    project = project_at(tmp_path / "project")
    weights(project, THURSDAY, FRIDAY)
    return project


def weights(project: Project, *days: date, weight: float = 0.3) -> None:
    write_weights(project.folder / "weights.csv", {day: {"AAPL": weight} for day in days})


def desk_of(project: Project) -> Desk:
    return Desk(project.settings, lambda: datetime.now(UTC))


def trade(project: Project, session: date, states: dict[str, S] = FILLED, reconciled: datetime | None = None) -> None:
    desk = desk_of(project)
    leave_batch(desk, session, states, plan_id=str(session))
    store_bar(project, session)
    if reconciled is not None:
        store_reconciliation(desk, session, reconciled)
        desk.lake.close()


def watched(project: Project, now: datetime, state: DagsterState | None = None) -> Watch:
    watch = Watch()
    look_at(WatchingDesk(project.settings, lambda: now), ["main"], state, now, watch)
    return watch


def kinds(project: Project, now: datetime, state: DagsterState | None = None) -> list[str]:
    return [finding.kind for finding in watched(project, now, state).findings]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (at("20:00", THURSDAY), []),
        (at("08:59"), []),
        (at("09:44"), []),
        (at("09:45"), ["not_admitted"]),
        (at("15:00"), ["not_admitted"]),
        (at("18:59"), ["not_admitted"]),
        (at("19:00"), ["not_admitted", "prices_missing"]),
        (at("12:00", date(2026, 11, 21)), ["not_admitted", "prices_missing"]),
        (at("09:44", MONDAY), ["not_admitted", "prices_missing"]),
        (at("09:45", MONDAY), ["prices_missing"]),
    ],
    ids=str,
)
def test_a_session_with_weights_is_missed_from_a_quarter_of_an_hour_after_its_open_until_the_next_one(
    project: Project, now: datetime, expected: list[str]
) -> None:
    assert kinds(project, now) == expected


def test_a_day_that_the_weights_do_not_name_is_not_missed(project: Project) -> None:
    weights(project, THURSDAY)
    assert kinds(project, at("12:00")) == []


def test_a_finding_names_the_session_the_deadline_the_switch_and_the_command(project: Project) -> None:
    off = DagsterState({}, {"rebalance_before_open": False})
    [finding] = watched(project, at("10:00"), off).findings
    assert (finding.kind, finding.portfolio, finding.session) == ("not_admitted", "main", FRIDAY)
    assert "2026-11-20 was not traded" in finding.problem
    assert "by 2026-11-20T14:45:00+00:00" in finding.problem
    assert "The schedule rebalance_before_open is switched off." in finding.problem
    assert "scizor run --portfolio main --date 2026-11-20" in finding.remedy


def test_a_plan_that_was_made_and_not_executed_is_called_so(project: Project) -> None:
    desk = desk_of(project)
    with desk.lake.write() as cursor:
        names = [row[0] for row in cursor.execute("DESCRIBE plans").fetchall()]
        types = {row[0]: row[1] for row in cursor.execute("DESCRIBE plans").fetchall()}
        known = {"portfolio": "'main'", "session": f"DATE '{FRIDAY}'", "origin": "NULL"}
        blank = {name: "''" if types[name] == "VARCHAR" else "0" for name in names}
        blank |= {name: "now()" for name in names if "TIMESTAMP" in types[name]}
        blank |= {name: f"DATE '{THURSDAY}'" for name in names if types[name] == "DATE"}
        blank |= {name: "false" for name in names if types[name] == "BOOLEAN"}
        chosen = ", ".join(f"{(blank | known)[name]} AS {name}" for name in names)
        cursor.execute(f"INSERT INTO plans BY NAME SELECT {chosen}")
    desk.lake.close()
    assert kinds(project, at("10:00")) == ["plan_not_executed"]


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_on_a_holiday_there_is_nothing_to_say_at_any_hour(project: Project, hour: int) -> None:
    weights(project, BEFORE_HOLIDAY)
    trade(project, BEFORE_HOLIDAY, reconciled=at("18:00", BEFORE_HOLIDAY))
    assert watched(project, at(f"{hour:02d}:30", HOLIDAY)).findings == []


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (at("09:44", HALF_DAY), []),
        (at("13:30", HALF_DAY), []),
        # The schedules keep the hours of a regular day: orders that wait for prices end at 18:00.
        (at("17:59", HALF_DAY), []),
        (at("18:59", HALF_DAY), []),
        (at("19:00", HALF_DAY), ["unfinished", "not_reconciled"]),
    ],
    ids=str,
)
def test_orders_of_a_day_that_closes_early_have_the_hours_of_a_regular_one(
    project: Project, now: datetime, expected: list[str]
) -> None:
    weights(project, HALF_DAY)
    desk = desk_of(project)
    store_reconciliation(desk, THURSDAY, at("08:30", HALF_DAY))
    desk.lake.close()
    trade(project, HALF_DAY, {"AAPL": S.WORKING, "MSFT": S.HELD})
    assert kinds(project, now) == expected


def test_an_unfinished_session_counts_its_orders_and_stays_until_it_ends(project: Project) -> None:
    trade(project, FRIDAY, {"AAPL": S.WORKING, "MSFT": S.HELD, "NVDA": S.FILLED}, reconciled=at("18:00"))
    [finding] = watched(project, at("19:00")).findings
    assert finding.kind == "unfinished"
    assert "(1 held, 1 working)" in finding.problem
    assert "unfinished" in kinds(project, at("08:00", MONDAY))


def test_exits_of_a_bracket_may_stay_open_for_days(project: Project) -> None:
    desk = desk_of(project)
    leave_batch(desk, FRIDAY, {"AAPL": S.FILLED}, exits_open=True, plan_id="b")
    store_bar(project, FRIDAY)
    store_reconciliation(desk, FRIDAY, at("18:00"))
    assert kinds(project, at("12:00", date(2026, 11, 21))) == []


@pytest.mark.parametrize("state", [S.UNKNOWN, S.SENDING])
def test_an_order_in_doubt_is_said_at_once_unless_a_run_is_at_it(project: Project, state: S) -> None:
    trade(project, FRIDAY, {"AAPL": state, "MSFT": S.WORKING})
    leave_lease(desk_of(project), "host:1:run", at("09:52"))
    assert kinds(project, at("09:50")) == []
    found = watched(project, at("09:53")).findings
    assert [item.kind for item in found] == ["frozen", "stale_lease"]
    assert "AAPL" in found[0].problem
    assert "MSFT" not in found[0].problem
    assert "host:1:run has left account paper" in found[1].problem


def test_a_run_that_died_over_its_orders_is_said_and_one_that_gave_the_account_back_is_not(project: Project) -> None:
    trade(project, FRIDAY, {"AAPL": S.WORKING})
    leave_lease(desk_of(project), "host:1:run", at("09:31"))
    assert kinds(project, at("10:00")) == ["stale_lease"]
    leave_lease(desk_of(project), None, at("09:31"))
    assert kinds(project, at("10:00")) == []


@pytest.mark.parametrize(
    ("reconciled", "now", "expected"),
    [
        (None, at("18:59"), []),
        (None, at("19:00"), ["not_reconciled"]),
        # A run of the morning reconciles what it has just sent: that is not the end of the session.
        (at("09:01"), at("19:00"), ["not_reconciled"]),
        (at("18:01"), at("19:00"), []),
        (at("18:01"), at("09:44", MONDAY), []),
        (at("18:01"), at("09:45", MONDAY), ["second_reconciliation_missing"]),
        (at("08:16", MONDAY), at("09:45", MONDAY), []),
        (at("08:16", MONDAY), at("12:00", BEFORE_HOLIDAY), []),
    ],
    ids=str,
)
def test_a_traded_session_is_reconciled_after_its_close_and_again_on_the_next_morning(
    project: Project, reconciled: datetime | None, now: datetime, expected: list[str]
) -> None:
    trade(project, FRIDAY, reconciled=reconciled)
    for day in (MONDAY, date(2026, 11, 24)):
        store_bar(project, day)
    assert kinds(project, now) == expected


def test_breaks_are_said_because_nothing_is_sent_after_them(project: Project) -> None:
    trade(project, FRIDAY, reconciled=at("18:00"))
    store_reconciliation(desk_of(project), FRIDAY, at("18:00"), breaks=2)
    [finding] = watched(project, at("20:00")).findings
    assert (finding.kind, "2 unexplained break(s)" in finding.problem) == ("breaks", True)


def test_a_session_without_any_order_needs_no_reconciliation(project: Project) -> None:
    trade(project, FRIDAY, {})
    assert kinds(project, at("20:00")) == []


def test_weights_that_are_missing_or_refused_are_said_before_the_open_and_after_it(project: Project) -> None:
    (project.folder / "weights.csv").unlink()
    assert kinds(project, at("06:00")) == ["weights_missing"]
    assert kinds(project, at("10:00")) == ["weights_missing"]
    weights(project, FRIDAY, weight=float("nan"))
    assert kinds(project, at("06:00")) == ["weights_refused"]
    assert kinds(project, at("10:00")) == ["weights_refused"]


def deliver(project: Project, *days: date) -> None:
    """One file for all of the days, taken in for each of them."""
    weights(project, *days)
    desk = desk_of(project)
    for day in days:
        take_signals(desk, "main", day, "weekly")
    desk.lake.close()


def test_weekly_weights_are_not_stale_between_two_rebalances_and_are_said_when_the_next_one_is_missing(
    project: Project,
) -> None:
    deliver(project, *(date(2026, 11, day) for day in (2, 9, 16)))
    store_bar(project, FRIDAY)
    for now in (at("06:00"), at("12:00"), at("12:00", date(2026, 11, 22))):
        assert kinds(project, now) == [], now
    for clock in ("06:00", "12:00"):
        [finding] = watched(project, at(clock, MONDAY)).findings
        assert (finding.kind, finding.session) == ("weights_refused", MONDAY)
        assert "no rows for session 2026-11-23, and the same content as taken for 2026-11-16" in finding.problem
    weights(project, date(2026, 11, 16), MONDAY)
    assert kinds(project, at("12:00", MONDAY)) == ["not_admitted"], "delivered, and the rebalance was missed"


def test_weights_of_few_rebalances_are_stale_once_they_are_older_than_the_portfolio_allows(project: Project) -> None:
    deliver(project, date(2026, 11, 13), date(2026, 11, 16))
    store_bar(project, MONDAY)
    store_reconciliation(desk_of(project), THURSDAY, at("08:30", MONDAY))
    assert kinds(project, at("12:00")) == []
    assert kinds(project, at("12:00", MONDAY)) == [], "five sessions old, as signals.max_age_sessions allows"
    assert kinds(project, at("12:00", date(2026, 11, 24))) == ["weights_refused"]


def test_daily_weights_are_stale_on_the_first_day_that_lacks_them(project: Project) -> None:
    for day in (16, 17, 18, 20):
        deliver(project, date(2026, 11, day))
    trade(project, FRIDAY, reconciled=at("08:30", MONDAY))
    for clock in ("06:00", "12:00"):
        assert kinds(project, at(clock, MONDAY)) == ["weights_refused"]


def test_weights_that_wait_for_a_person_are_said_with_the_command_that_approves_them(project: Project) -> None:
    weights(project, FRIDAY, weight=0.0)
    [finding] = watched(project, at("06:00")).findings
    assert finding.kind == "weights_held"
    assert "scizor signals approve" in finding.remedy


def test_once_the_session_is_admitted_the_file_no_longer_matters(project: Project) -> None:
    trade(project, FRIDAY, {"AAPL": S.WORKING})
    (project.folder / "weights.csv").unlink()
    assert kinds(project, at("10:00")) == []


def test_what_a_person_has_halted_is_not_missed_and_is_noted(project: Project) -> None:
    _stop(project, TradingState.HALTED, "me")
    watch = watched(project, at("10:00"))
    assert watch.findings == []
    assert any("did not trade 2026-11-20: it is halted by me: enough" in note for note in watch.notes)


@pytest.mark.parametrize("action", ["pause", "stop"])
def test_the_file_of_a_strategy_that_rests_is_nothing_to_speak_of(project: Project, action: str) -> None:
    (project.folder / "weights.csv").unlink()
    desk = desk_of(project)
    change_state(desk, ["main"], STRATEGY, action, liquidate=False, actor="me", reason="no file comes any more")
    assert kinds(project, at("06:00")) == []
    assert kinds(project, at("10:00")) == []


def test_what_the_machine_has_stopped_is_a_finding(project: Project) -> None:
    _stop(project, TradingState.REDUCING, "scizor")
    assert kinds(project, at("08:30")) == ["stopped"]


def test_a_portfolio_that_has_never_traded_has_missed_nothing_of_the_past(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    weights(project, FRIDAY)
    watch = watched(project, at("12:00", date(2026, 11, 21)))
    assert [item.kind for item in watch.findings] == ["prices_missing"]
    assert "Portfolio main has not traded yet." in watch.notes
    assert kinds(project, at("10:00")) == ["not_admitted", "prices_missing"]
    assert not project.home.exists()


def test_an_account_with_real_money_whose_permission_has_expired_is_said_while_weights_are_due(tmp_path: Path) -> None:
    live = {
        "broker": "alpaca", "environment": "live", "account_id": "932473521", "key_id": "${A}", "secret_key": "${B}",
    }  # fmt: skip
    project = small_project(tmp_path, accounts={"paper": live})
    weights(project, FRIDAY, MONDAY)
    trade(project, FRIDAY, reconciled=at("08:20", MONDAY))
    desk = desk_of(project)
    assert kinds(project, at("08:30", MONDAY)) == ["not_armed"]
    with desk.ledger.transaction() as connection:
        identity = BrokerIdentity("alpaca", "live", "932473521")
        arm(
            connection, "paper", "main", identity, until=at("09:00", MONDAY), max_notional=Decimal(5000),
            currency="USD", actor="me", reason="", now=at("08:00"),
        )  # fmt: skip
    assert kinds(project, at("08:30", MONDAY)) == []
    [finding] = watched(project, at("09:00", MONDAY)).findings
    assert "its arming expired at 2026-11-23T14:00:00+00:00" in finding.problem
    weights(project, FRIDAY)
    assert kinds(project, at("09:00", MONDAY)) == []


@pytest.mark.parametrize(
    ("minutes", "on", "expected"),
    [(4, True, []), (6, True, ["daemon_silent"]), (6, False, []), (None, True, ["daemon_silent"])],
)
def test_a_daemon_that_is_silent_is_said_where_something_is_switched_on(
    project: Project, minutes: int | None, on: bool, expected: list[str]
) -> None:
    now = at("08:30")
    beats = {} if minutes is None else dict.fromkeys(DAEMONS, now - timedelta(minutes=minutes))
    assert kinds(project, now, DagsterState(beats, {"rebalance_before_open": on})) == expected


def test_one_daemon_that_died_alone_is_enough(project: Project) -> None:
    now = at("08:30")
    beats = dict.fromkeys(DAEMONS, now) | {"SENSOR": now - timedelta(hours=1)}
    assert kinds(project, now, DagsterState(beats, {"late_fills": True})) == ["daemon_silent"]


@pytest.mark.parametrize("store", ["ledger.sqlite", "lake/catalog.sqlite"])
def test_a_store_that_cannot_be_read_is_a_finding_and_keeps_no_other_one_away(project: Project, store: str) -> None:
    (project.home / store).write_bytes(b"no database at all" * 1000)
    found = watched(project, at("10:00")).findings
    assert found
    assert {item.kind for item in found} <= {"unreadable", "prices_missing", "not_admitted"}
    assert "unreadable" in {item.kind for item in found}
    assert all(item.problem and item.remedy for item in found)


def test_a_ledger_on_a_server_that_the_environment_does_not_name_is_no_portfolio_that_never_traded(
    project: Project,
) -> None:
    for file in project.home.glob("ledger.sqlite*"):
        file.unlink()
    project.settings.server_note.write_text("Postgres db.example:5432/scizor\n")
    watch = watched(project, at("10:00"))
    assert "unreadable" in {item.kind for item in watch.findings}
    assert all("DATABASE_URL is not set" in item.problem for item in watch.findings if item.kind == "unreadable")
    assert "Portfolio main has not traded yet." not in watch.notes


def test_looking_changes_no_byte_of_the_ledger_and_cannot(project: Project) -> None:
    before = (project.home / "ledger.sqlite").read_bytes()
    watched(project, at("10:00"))
    assert (project.home / "ledger.sqlite").read_bytes() == before
    desk = WatchingDesk(project.settings, lambda: at("10:00"))
    with pytest.raises(LedgerError, match="opened to read"), desk.ledger.transaction() as connection:
        set_state(connection, "paper", None, TradingState.HALTED, reason="x", actor="me", now=at("10:00"))


def _stop(project: Project, state: TradingState, actor: str) -> None:
    desk = desk_of(project)
    with desk.ledger.transaction() as connection:
        set_state(connection, "paper", "main", state, reason="enough", actor=actor, now=at("08:00"))
