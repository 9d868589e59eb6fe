"""`run`, `reconcile` and `collect` on a home with prices: what they answer, and what a second call does."""

import sqlite3
from typing import Any

import pytest

from scizor_dagster.cli.instance import JobRunner, RunFailed
from scizor_dagster.flow.trades import SCHEDULED_FOR
from tests.cli.conftest import LAST_COLLECTED, NEXT, TRADED, UNNAMED, Scizor
from tests.projects import Project, write_weights


def _sent(project: Project) -> list[Any]:
    """Every order that the exchange has ever seen."""
    with sqlite3.connect(project.home / "ledger.sqlite") as connection:
        return connection.execute("SELECT * FROM paper_orders ORDER BY client_order_id").fetchall()


def test_a_session_is_run_and_reconciled_with_exit_code_zero(scizor: Scizor, collected: Project) -> None:
    before = len(_sent(collected))
    answer = scizor("run", "--date", NEXT, "--once", "--json")
    assert answer.code == 0
    assert answer.json["state"] == "reconciled"
    assert (answer.json["breaks"], answer.json["working"], answer.json["failed_checks"]) == (0, 0, [])
    assert answer.json["filled"] == answer.json["orders"] > 0
    assert answer.json["synthetic"] is True
    assert len(_sent(collected)) == before + answer.json["orders"]


def test_running_a_session_again_sends_nothing(scizor: Scizor, collected: Project) -> None:
    sent = _sent(collected)
    assert sent
    again = scizor("run", "--date", TRADED, "--json")
    assert again.code == 0
    assert again.json["state"] == "reconciled"
    assert _sent(collected) == sent


def test_a_session_that_the_file_does_not_name_is_refused_by_rule(scizor: Scizor, collected: Project) -> None:
    sent = _sent(collected)
    answer = scizor("run", "--date", UNNAMED, "--once")
    assert answer.code == 1
    assert f"no_rows_for_session (value '{UNNAMED}')" in answer.sentence
    assert f"the nearest are {TRADED} and {NEXT}" in answer.sentence
    assert "scizor signals check" in answer.sentence
    assert "Traceback" not in answer.err
    assert _sent(collected) == sent


def test_a_bad_weight_is_refused_by_line(scizor: Scizor, collected: Project) -> None:
    write_weights(collected.folder / "weights.csv", {NEXT: {"AAPL": 0.3, "MSFT": float("nan")}})
    answer = scizor("run", "--date", NEXT, "--once", "--json")
    assert answer.code == 1
    assert answer.json["error"] == "RunFailed"
    assert "line 3" in answer.json["problem"]
    assert "job rebalance" in answer.json["where"]


def test_a_plan_without_prices_of_the_day_before_is_refused_with_the_command_that_helps(
    scizor: Scizor, collected: Project
) -> None:
    from datetime import date

    unpriced = date(2025, 2, 20)
    write_weights(collected.folder / "weights.csv", {unpriced: {"AAPL": 0.3}})
    answer = scizor("run", "--date", unpriced, "--once")
    assert answer.code == 1
    assert "scizor collect daily --market us --date 2025-02-19" in answer.sentence


def test_a_clean_session_reconciles_with_exit_code_zero_in_a_run_that_the_ui_shows(
    scizor: Scizor, collected: Project
) -> None:
    import dagster as dg

    answer = scizor("reconcile", "--date", TRADED, "--json")
    assert (answer.code, answer.json["breaks"], answer.json["state"]) == (0, 0, "reconciled")
    with dg.DagsterInstance.from_config(str(collected.settings.dagster_home)) as instance:
        run = instance.get_run_by_id(answer.json["run_id"])
        assert run is not None
        assert (run.job_name, run.status) == ("reconcile", dg.DagsterRunStatus.SUCCESS)
        assert run.tags["dagster/partition"] == TRADED.isoformat()


def test_a_fill_that_the_broker_does_not_know_is_a_break_with_exit_code_one(scizor: Scizor, collected: Project) -> None:
    with sqlite3.connect(collected.home / "ledger.sqlite") as connection:
        symbol, quantity = connection.execute("SELECT symbol, qty FROM trades ORDER BY fill_id LIMIT 1").fetchone()
        connection.execute(
            "UPDATE trades SET qty = ? WHERE fill_id = (SELECT min(fill_id) FROM trades)",
            [f"{float(quantity) + 1:.9f}"],
        )
    answer = scizor("reconcile", "--date", TRADED, "--json")
    assert answer.code == 1
    assert answer.json["breaks"] > 0
    assert symbol in {row["symbol"] for row in answer.json["break_rows"]}
    assert all(row["remedy"] for row in answer.json["break_rows"])
    assert answer.json["failed_checks"] == ["main/reconciliations:no_unexplained_breaks"]


def test_nothing_is_sent_in_the_session_after_a_break(scizor: Scizor, collected: Project) -> None:
    sent = _sent(collected)
    with sqlite3.connect(collected.home / "ledger.sqlite") as connection:
        connection.execute("UPDATE paper_positions SET qty = '1' WHERE symbol = (SELECT min(symbol) FROM positions)")
    table = scizor("reconcile", "--date", TRADED)
    assert table.code == 1
    assert "Breaks" in table.out
    assert "check did not pass: main/reconciliations:no_unexplained_breaks" in table.out
    answer = scizor("run", "--date", NEXT, "--once")
    assert answer.code == 1
    assert "Plan, ledger and broker do not agree: open breaks are worth" in answer.sentence
    assert _sent(collected) == sent


def test_one_session_is_collected_and_collecting_it_again_inserts_nothing(scizor: Scizor, collected: Project) -> None:
    day = "2025-02-18"
    first = scizor("collect", "daily", "--date", day, "--json")
    assert first.code == 0
    assert first.json["assets"]["us/daily_prices"]["inserted"] == 6
    again = scizor("collect", "daily", "--date", day, "--json")
    assert (again.code, again.json["assets"]["us/daily_prices"]["inserted"]) == (0, 0)


def test_history_fills_gaps_and_a_second_call_finds_none(scizor: Scizor, collected: Project) -> None:
    call = ("collect", "history", "--start-date", "2025-01-02", "--end-date", "2025-02-28", "--json")
    first = scizor(*call)
    assert first.code == 0
    report = first.json["assets"]["us/historical_chunks"]
    assert (report["inserted"] > 0, report["gaps_left"], report["through"]) == (True, 0, "2025-02-28")
    assert scizor(*call).json["assets"]["us/historical_chunks"]["inserted"] == 0
    assert LAST_COLLECTED.isoformat() < "2025-02-28"


def test_a_command_runs_the_job_of_its_market_or_portfolio(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scizor_dagster.cli.instance import RunOutcome
    from tests.jobs.support import two_of_each

    two_of_each(fresh.folder)
    asked = []

    def record(self: JobRunner, job: str, **_: object) -> RunOutcome:
        asked.append(job)
        return RunOutcome("0" * 32, True, {}, ())

    monkeypatch.setattr(JobRunner, "run", record)
    scizor("collect", "daily", "--market", "asx", "--date", "2025-02-03", "--json")
    scizor("collect", "history", "--market", "us", "--json")
    scizor("reconcile", "--portfolio", "bold", "--date", "2025-02-03", "--json")
    scizor("run", "--portfolio", "bold", "--date", "2025-02-03", "--json")
    assert asked == ["collect_daily_asx", "collect_history", "reconcile_bold", "rebalance_bold"]


def test_a_run_that_starts_long_after_its_tick_sends_nothing(scizor: Scizor, collected: Project) -> None:
    sent = _sent(collected)
    with JobRunner.open(collected.settings) as runner, pytest.raises(RunFailed, match="minutes late") as failed:
        runner.run("rebalance", partition=NEXT.isoformat(), tags={SCHEDULED_FOR: "2025-02-10T14:00:00+00:00"})
    assert failed.value.exit_code == 1
    assert _sent(collected) == sent


def test_a_price_file_that_only_the_run_can_judge_ends_with_exit_code_two(scizor: Scizor, fresh: Project) -> None:
    (fresh.folder / "prices.csv").write_text("symbol,session,open,high,low,volume\nAAPL,2025-02-03,1,1,1,1\n")
    config = fresh.folder / "config.yaml"
    provider = "type: files\n      path: prices.csv\n      format: csv\n      adjustment: raw"
    config.write_text(config.read_text().replace("type: sample", provider))
    answer = scizor("collect", "daily", "--date", "2025-02-03", "--json")
    assert answer.code == 2
    assert answer.json["error"] == "RunFailed"
    assert "prices.csv" in answer.json["problem"]
    assert "close" in answer.json["problem"]


def test_a_day_of_the_run_configuration_that_is_no_date_is_bad_input(scizor: Scizor, collected: Project) -> None:
    config = {"ops": {"us__historical_chunks": {"config": {"through": "soon"}}}}
    with JobRunner.open(collected.settings) as runner, pytest.raises(RunFailed, match="'soon' is not a date") as failed:
        runner.run("collect_history", partition_range=("2025", "2025"), config=config)
    assert failed.value.exit_code == 2
    assert "Write it as YYYY-MM-DD" in str(failed.value)
