"""Strategies that are paused and stopped: what becomes of their positions, and of those that share them."""

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.errors import DataError, InputError, LedgerError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.lifecycle import change_state, running_strategies
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session, take_signals
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.flow.watch import WatchingDesk
from scizor_dagster.flow.watch_inputs import Due, weights_due
from scizor_dagster.flow.weight_files import concerns, missing_files, weight_sessions
from scizor_dagster.ledger.strategies import known_strategies
from scizor_dagster.planning.frames import read_inputs
from scizor_dagster.planning.model import Plan, Reason
from tests.flow.desks import FIRST, SECOND, collected
from tests.flow.test_blend import opened
from tests.projects import write_weights

TREND = {FIRST: {"AAPL": 0.5, "MSFT": 0.4}, SECOND: {"NVDA": 0.5, "MSFT": 0.2}}
VALUE = {FIRST: {"1": 0.4, "2": 0.4}, SECOND: {"1": 0.2, "2": 0.5}}
TABLE = "asset_id,symbol\n1,MSFT\n2,GOOG\n"


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two strategies that share MSFT, after their first session."""
    folder = tmp_path_factory.mktemp("traded")
    collected(folder).lake.close()
    write_weights(folder / "trend.csv", TREND)
    write_weights(folder / "value.csv", VALUE)
    (folder / "ids.csv").write_text(TABLE)
    desk = opened(folder)
    planned(desk, FIRST)
    trade_session(desk, "main", FIRST, "run")
    desk.lake.close()
    desk.ledger.close()
    return folder


@pytest.fixture
def desk(traded: Path, tmp_path: Path) -> Desk:
    shutil.copytree(traded, tmp_path, dirs_exist_ok=True)
    return opened(tmp_path)


def planned(desk: Desk, session: date = SECOND) -> Plan:
    consolidate_session(desk, "main", session)
    return plan_session(desk, "main", session).plan


def change(desk: Desk, action: str, strategy: str = "trend", *, liquidate: bool = False) -> None:
    change_state(desk, ["main"], strategy, action, liquidate=liquidate, actor="jo", reason="a look at it")


def reasons(plan: Plan) -> dict[str, Reason]:
    return {line.symbol: line.reason for line in plan.lines}


def weights(plan: Plan) -> dict[str, Decimal]:
    return {line.symbol: line.target_weight.normalize() for line in plan.lines}


def test_strategies_that_nobody_has_started_run(desk: Desk) -> None:
    assert running_strategies(desk, "main") == ("trend", "value")
    plan = planned(desk)
    assert weights(plan) == {"AAPL": 0, "GOOG": D("0.2"), "MSFT": D("0.2"), "NVDA": D("0.3")}
    assert not any("Strategy" in note for note in plan.notes)


def D(text: str) -> Decimal:
    return Decimal(text)


@pytest.mark.parametrize("action", ["pause", "stop"])
def test_the_positions_of_an_idle_strategy_are_left_alone_and_the_others_trade(desk: Desk, action: str) -> None:
    change(desk, action)
    (desk.config.folder / "trend.csv").unlink()
    plan = planned(desk)
    # Of MSFT it keeps the 0.24 that it wanted last, beside what the other one wants now.
    assert weights(plan) == {"AAPL": D("0.3"), "GOOG": D("0.2"), "MSFT": D("0.32")}
    assert reasons(plan)["AAPL"] is Reason.STRATEGY_IDLE
    assert {order.symbol for order in plan.orders} == {"GOOG", "MSFT"}
    (said,) = (note for note in plan.notes if "Strategy trend" in note)
    assert said.endswith("by jo: a look at it.")
    archive = read_inputs(desk.lake, plan.plan_id)
    assert archive is not None
    assert archive.plan() == plan


def test_an_idle_strategy_keeps_what_it_had_from_session_to_session(desk: Desk) -> None:
    change(desk, "pause")
    planned(desk)
    trade_session(desk, "main", SECOND, "run")
    third = date(2025, 3, 17)
    write_weights(desk.config.folder / "value.csv", {third: {"1": 0.2, "2": 0.5}})
    assert weights(planned(desk, third)) == {"AAPL": D("0.3"), "GOOG": D("0.2"), "MSFT": D("0.32")}


def test_a_strategy_that_is_stopped_to_be_sold_has_targets_of_zero(desk: Desk) -> None:
    change(desk, "stop", liquidate=True)
    assert concerns(desk, "main", date(2025, 3, 5)), "selling waits for no file"
    plan = planned(desk)
    assert weights(plan) == {"AAPL": 0, "GOOG": D("0.2"), "MSFT": D("0.08")}
    assert reasons(plan)["AAPL"] is Reason.LIQUIDATE
    trade_session(desk, "main", SECOND, "run")
    assert not concerns(desk, "main", date(2025, 3, 11))


def test_the_only_strategy_of_a_portfolio_leaves_everything_as_it_is_when_it_rests(desk: Desk) -> None:
    for name in ("trend", "value"):
        change(desk, "pause", name)
    plan = planned(desk)
    assert plan.orders == ()
    assert set(reasons(plan).values()) == {Reason.STRATEGY_IDLE}
    assert weight_sessions(desk, "main") == frozenset()
    assert not concerns(desk, "main", SECOND)


def test_a_strategy_that_is_resumed_is_read_again(desk: Desk) -> None:
    change(desk, "pause")
    planned(desk)
    change(desk, "resume")
    assert weights(planned(desk))["NVDA"] == D("0.3")


@pytest.mark.parametrize("first", [None, "pause"])
def test_targets_from_before_a_change_of_state_are_not_planned_from(desk: Desk, first: str | None) -> None:
    if first is not None:
        change(desk, first)
    consolidate_session(desk, "main", SECOND)
    change(desk, "pause" if first is None else "resume")
    with pytest.raises(DataError, match=r"was started, paused or stopped since.*scizor run"):
        plan_session(desk, "main", SECOND)


def test_a_plan_from_before_a_change_of_state_is_not_sent(desk: Desk) -> None:
    planned(desk)
    change(desk, "pause")
    with pytest.raises(DataError, match="scizor run --portfolio main --date 2025-03-10"):
        trade_session(desk, "main", SECOND, "run")


def test_a_session_that_is_admitted_stays_as_it_is(desk: Desk) -> None:
    change(desk, "pause")
    assert plan_session(desk, "main", FIRST).kept
    assert reasons(plan_session(desk, "main", FIRST).plan)["AAPL"] is Reason.OPEN


def test_the_file_of_an_idle_strategy_is_neither_read_nor_missed(desk: Desk) -> None:
    change(desk, "pause")
    (desk.config.folder / "trend.csv").unlink()
    assert missing_files(desk, "main") == ()
    taken = take_signals(desk, "main", SECOND, "trend")
    assert taken.rows.empty
    assert "is paused since" in taken.warnings[0]


def test_the_watchdog_waits_for_the_sale_of_what_a_stopped_strategy_has_and_for_nothing_of_one_that_rests(
    desk: Desk,
) -> None:
    write_weights(Path(desk.manifest.strategy("value").path), {FIRST: VALUE[FIRST]})
    watching = WatchingDesk(desk.settings, desk.machine_clock)
    change(desk, "pause")
    change(desk, "pause", "value")
    assert weights_due(watching, "main", SECOND) == Due(weights=False, findings=())
    change(desk, "stop", liquidate=True)
    assert weights_due(watching, "main", SECOND) == Due(weights=True, findings=())


def test_the_watchdog_misses_nothing_of_a_session_between_those_that_the_files_name(desk: Desk) -> None:
    for name, weights in (("trend", TREND), ("value", VALUE)):
        write_weights(Path(desk.manifest.strategy(name).path), {FIRST: weights[FIRST]})
    consolidate_session(desk, "main", FIRST)
    between = desk.calendar("us").next_session(FIRST)
    watching = WatchingDesk(desk.settings, desk.machine_clock)
    assert weights_due(watching, "main", between) == Due(weights=False, findings=())
    long_after = weights_due(watching, "main", date(2025, 3, 21))
    assert (long_after.weights, [row.kind for row in long_after.findings]) == (False, ["weights_refused"] * 2)
    assert all("14 sessions ago; 5 are allowed" in row.problem for row in long_after.findings)


@pytest.mark.parametrize(
    ("before", "action", "kind", "words"),
    [
        ((), "resume", InputError, "'resume' is for one that is paused"),
        ((), "start", InputError, "'start' is for one that is stopped"),
        (("pause",), "pause", InputError, "'pause' is for one that is running"),
        (("stop",), "pause", InputError, "'pause' is for one that is running"),
        (("stop",), "stop", LedgerError, "is stopped already"),
    ],
)
def test_each_step_leads_from_one_state_to_another(desk: Desk, before, action, kind, words) -> None:
    for step in before:
        change(desk, step)
    with pytest.raises(kind, match=words):
        change(desk, action)


def test_a_portfolio_is_asked_only_about_strategies_that_it_follows(desk: Desk) -> None:
    with pytest.raises(InputError, match=r"does not follow strategy 'weekly'.*trend, value"):
        change(desk, "pause", "weekly")


def test_the_ledger_knows_which_strategies_there_were_and_in_which_form(desk: Desk) -> None:
    planned(desk)
    with desk.ledger.read() as connection:
        found = {row.strategy: row for row in known_strategies(connection)}
    assert sorted(found) == ["trend", "value"]
    assert (found["trend"].portfolios, found["trend"].weights_dated) == ("main", "trade_session")
    assert found["trend"].path.endswith("trend.csv")
    assert found["trend"].manifest_hash != found["value"].manifest_hash
