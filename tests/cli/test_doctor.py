"""`scizor doctor`: OK and PROBLEM, what wrong variables mean, and the older keys."""

import os
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.cli import dates
from scizor_dagster.flow.desk import Desk
from scizor_dagster.sessions import TradingCalendar
from tests.cli.conftest import Answer, Scizor
from tests.projects import Project


def _details(answer: Answer) -> dict[str, tuple[bool, str]]:
    return {row["check"]: (row["ok"], row["detail"]) for row in answer.json["checks"]}


def test_a_sound_project_is_ok_and_nothing_is_created(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("doctor", "--json")
    assert answer.code == 0
    assert answer.json["ok"] is True
    assert answer.json["notes"] == []
    details = _details(answer)
    assert list(details) == [
        "python", "environment", "disk", "configuration", "strategies", "own strategies", "calendars", "universes",
        "providers", "accounts", "connections", "trading", "stores", "prices", "benchmarks", "notifications",
    ]  # fmt: skip
    assert details["universes"] == (True, "us: 6 symbols")
    assert details["providers"] == (True, "us: sample (raw, synthetic)")
    assert "none yet" in details["stores"][1]
    assert not fresh.home.exists()


def test_stores_and_prices_are_looked_at_where_there_are_some(scizor: Scizor, collected: Project) -> None:
    details = _details(scizor("doctor", "--json"))
    assert "ledger whole" in details["stores"][1]
    assert "newest 2025-02-14" in details["prices"][1]


def _without_ledger(project: Project) -> None:
    for path in project.home.glob("ledger.sqlite*"):
        path.unlink()


def _without_lake(project: Project) -> None:
    shutil.rmtree(project.home / "lake")


def test_a_lake_that_is_gone_is_a_problem_with_its_remedy_and_none_is_begun_in_its_place(
    scizor: Scizor, collected: Project
) -> None:
    _without_lake(collected)
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    ok, detail = _details(answer)["stores"]
    assert not ok
    assert f"{collected.home / 'lake'}" in detail
    assert "The lake is gone, and 1 session(s) were traded with it. Bring it back: scizor restore FOLDER" in detail
    assert "--only lake. Or collect the prices again: scizor collect history." in detail
    assert not (collected.home / "lake").exists()


def test_a_ledger_is_verified_also_where_the_lake_is_gone(scizor: Scizor, collected: Project) -> None:
    _without_lake(collected)
    with sqlite3.connect(collected.home / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE events SET payload = '{}' WHERE seq = 3")
    ok, detail = _details(scizor("doctor", "--json"))["stores"]
    assert not ok
    assert "Event 3 (" in detail


def test_a_ledger_that_is_gone_is_a_problem_and_none_is_begun_in_its_place(scizor: Scizor, collected: Project) -> None:
    _without_ledger(collected)
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    ok, detail = _details(answer)["stores"]
    assert not ok
    assert "The ledger is gone, and 1 session(s) were traded with it." in detail
    assert not list(collected.home.glob("ledger.sqlite*"))


def test_a_lake_that_has_seen_no_trade_needs_no_ledger_and_gets_none(scizor: Scizor, collected: Project) -> None:
    _without_ledger(collected)
    lake = Desk(collected.settings, dates.now).lake
    with lake.write() as cursor:
        cursor.execute("DELETE FROM order_results")
    lake.close()
    answer = scizor("doctor", "--json")
    ok, detail = _details(answer)["stores"]
    assert (answer.code, ok) == (0, True)
    assert "lake at snapshot " in detail
    assert detail.endswith(f"in {collected.home}, no ledger yet")
    assert not list(collected.home.glob("ledger.sqlite*"))


def test_a_ledger_that_has_seen_no_trade_needs_no_lake_and_gets_none(scizor: Scizor, fresh: Project) -> None:
    assert scizor("keys", "create", "reader", "--scope", "metrics", "--all-accounts", "--days", "1").code == 0
    answer = scizor("doctor", "--json")
    assert answer.code == 0
    assert _details(answer)["stores"] == (True, f"no lake yet, ledger whole in {fresh.settings.ledger_file}")
    assert not (fresh.home / "lake").exists()


def test_an_event_that_was_edited_afterwards_is_a_problem_named_by_its_number(
    scizor: Scizor, collected: Project
) -> None:
    with sqlite3.connect(collected.home / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE events SET payload = '{}' WHERE seq = 3")
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    ok, detail = _details(answer)["stores"]
    assert ok is False
    assert "Event 3 (" in detail
    assert "was changed after it was written" in detail


def test_a_damaged_ledger_is_a_problem_and_not_a_traceback(scizor: Scizor, collected: Project) -> None:
    for journal in collected.home.glob("ledger.sqlite-*"):
        journal.unlink()
    (collected.home / "ledger.sqlite").write_bytes(b"not a database, whatever the name says" * 100)
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    details = _details(answer)
    assert details["stores"][0] is False
    assert "not a database" in details["stores"][1]
    assert details["universes"][0] is True


def test_older_keys_are_listed_one_line_each(scizor: Scizor, fresh: Project) -> None:
    config = fresh.folder / "config.yaml"
    config.write_text(config.read_text() + "logging: {level: INFO}\npricing: {source: x}\n")
    answer = scizor("doctor")
    assert answer.code == 0
    notes = [line for line in answer.out.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2
    assert "logging has no effect: LOG_LEVEL sets the level" in notes[0]
    assert "pricing has no effect" in notes[1]
    assert len(scizor("doctor", "--json").json["notes"]) == 2


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DATABASE_URL", "mysql://localhost/x", "DATABASE_URL names no Postgres database"),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL is 'LOUD'; use one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ],
)
def test_a_wrong_variable_is_a_problem_that_is_explained(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    ok, detail = _details(answer)["environment"]
    assert ok is False
    assert expected in detail
    assert not fresh.home.exists()


def _no_configuration(project: Project) -> None:
    (project.folder / "config.yaml").unlink()


def _no_manifest(project: Project) -> None:
    (project.folder / "strategy_manifest.yaml").unlink()


def _no_universe(project: Project) -> None:
    (project.folder / "universe.csv").unlink()


@pytest.mark.parametrize(
    ("spoil", "check"),
    [(_no_configuration, "configuration"), (_no_manifest, "strategies"), (_no_universe, "universes")],
)
def test_a_missing_file_is_a_problem_of_its_own_check(scizor: Scizor, fresh: Project, spoil: Any, check: str) -> None:
    spoil(fresh)
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    assert _details(answer)[check][0] is False
    table = scizor("doctor")
    assert table.code == 1
    assert "PROBLEM" in table.out
    assert not fresh.home.exists()


def _with(project: Project, **sections: Any) -> None:
    path = project.folder / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections))


def test_who_is_told_is_named_and_nothing_is_sent(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nobody is told: a notice is a line in the log" in _details(scizor("doctor", "--json"))["notifications"][1]
    # Nobody listens at that port: a word to it would fail.
    monkeypatch.setenv("PHONE", "json://user:verysecret@127.0.0.1:9/verysecret")
    _with(fresh, notifications={"targets": ["${PHONE}"], "program": ["sh", "-c", "touch heard"]})
    assert _details(scizor("doctor", "--json"))["notifications"] == (
        True,
        "PHONE (json://***), program (program); scizor notify --test sends",
    )
    monkeypatch.setenv("PHONE", "tgram://verysecret")
    answer = scizor("doctor", "--json")
    ok, detail = _details(answer)["notifications"]
    assert (answer.code, ok) == (1, False)
    assert "PHONE (tgram://***): its address is none that Apprise knows" in detail
    assert "scizor notify --test" in detail
    assert "verysecret" not in answer.out + answer.err
    monkeypatch.delenv("PHONE")
    assert "the environment variable PHONE is unset" in _details(scizor("doctor", "--json"))["notifications"][1]
    assert not fresh.home.exists()


def test_a_benchmark_that_nothing_can_be_set_against_is_a_problem_with_its_remedy(
    scizor: Scizor, collected: Project
) -> None:
    config = yaml.safe_load((collected.folder / "config.yaml").read_text())
    said = {}
    for benchmark in ("SPY.ARCX", "AAPL.XNAS", "LATE.XNAS"):
        if benchmark == "LATE.XNAS":
            universe = collected.folder / "universe.csv"
            universe.write_text(universe.read_text() + "LATE,XNAS,LATE,USD,Technology,,XNAS\n")
        _with(collected, portfolios={"main": config["portfolios"]["main"] | {"benchmark": benchmark}})
        said[benchmark] = _details(scizor("doctor", "--json"))["benchmarks"]
    assert said["AAPL.XNAS"] == (True, "main: AAPL.XNAS")
    assert not said["SPY.ARCX"][0]
    assert "main: The benchmark SPY.ARCX is not in the universe of market 'us': add it to" in said["SPY.ARCX"][1]
    assert "Or correct portfolios.main.benchmark" in said["SPY.ARCX"][1]
    assert not said["LATE.XNAS"][0]
    assert "collect them: scizor collect history --market us" in said["LATE.XNAS"][1]


HEADER = "symbol,session,open,high,low,close,volume"
ROW = "AAPL,2025-01-02,10,11,9,10,1000"


def _with_prices(project: Project, **provider: Any) -> None:
    path = project.folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    files = {"type": "files", "path": "prices.csv", "format": "csv", "adjustment": "raw"}
    config["markets"]["us"]["provider"] = files | provider
    path.write_text(yaml.safe_dump(config))


def test_prices_that_can_be_read_are_ok(scizor: Scizor, fresh: Project) -> None:
    _with_prices(fresh)
    (fresh.folder / "prices.csv").write_text(f"{HEADER}\n{ROW}\n")
    answer = scizor("doctor", "--json")
    assert answer.code == 0
    assert _details(answer)["providers"] == (True, "us: files:prices.csv (raw), read for AAPL")


def test_one_file_per_symbol_is_read_as_well(scizor: Scizor, fresh: Project) -> None:
    _with_prices(fresh, path="prices", layout="per_symbol")
    (fresh.folder / "prices").mkdir()
    (fresh.folder / "prices" / "MSFT.csv").write_text(f"{HEADER}\n{ROW}\n".replace("AAPL", "MSFT"))
    assert _details(scizor("doctor", "--json"))["providers"] == (True, "us: files:prices (raw), read for MSFT")


@pytest.mark.parametrize(
    ("provider", "text", "expected"),
    [
        ({}, None, "The prices of market 'us' are not there"),
        ({}, "", "The file is empty"),
        ({}, "symbol,session,close\nAAPL,2025-01-02,10\n", "The file lacks the column(s) 'open' (for open)"),
        ({"columns": {"close": "Last"}}, f"{HEADER}\n{ROW}\n", "The file lacks the column(s) 'Last' (for close)"),
        ({"format": "parquet"}, f"{HEADER}\n{ROW}\n", "The file is declared as parquet"),
        ({}, f"{HEADER}\n{ROW}\n".replace(",", ";"), "The separator of the file seems to be ';'"),
        ({}, f"{HEADER}\n{ROW}\n".replace("AAPL", "ZZZ"), "hold none of its 6 symbols (AAPL, AMZN, GOOG, ...)"),
        ({}, f"{HEADER}\n{ROW}\n".replace("11", "eleven"), "'eleven' in column 'high' is not a number"),
        ({"layout": "per_symbol"}, f"{HEADER}\n{ROW}\n", "use `layout: long`"),
        ({"path": "."}, None, "use `layout: per_symbol`"),
        ({"path": ".", "layout": "per_symbol"}, None, "hold none of its 6 symbols"),
        ({"actions": "gone.csv"}, f"{HEADER}\n{ROW}\n", "gone.csv"),
        ({"actions": "universe.csv"}, f"{HEADER}\n{ROW}\n", "lacks the column(s) 'ex_session'"),
    ],
)
def test_prices_that_cannot_be_read_are_a_problem_that_is_named(
    scizor: Scizor, fresh: Project, provider: dict[str, Any], text: str | None, expected: str
) -> None:
    _with_prices(fresh, **provider)
    if text is not None:
        (fresh.folder / "prices.csv").write_text(text)
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    ok, detail = _details(answer)["providers"]
    assert (ok, expected in detail) == (False, True), detail
    assert not fresh.home.exists()


def test_a_home_that_is_a_file_is_a_problem(scizor: Scizor, fresh: Project) -> None:
    fresh.home.write_text("a file")
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    ok, detail = _details(answer)["disk"]
    assert (ok, f"{fresh.home}: The folder cannot be written: this is a file." in detail) == (False, True)
    assert "Set SCIZOR_HOME" in detail


@pytest.mark.parametrize("closed", ["home", "."])
def test_a_home_that_may_not_be_written_is_a_problem(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    folder, allowed = fresh.folder / closed, os.access
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and allowed(path, mode))
    answer = scizor("doctor", "--json")
    assert answer.code == 1
    assert _details(answer)["disk"] == (
        False,
        f"{folder}: The folder cannot be written. Set SCIZOR_HOME to a folder that you may write to.",
    )


def test_a_weight_file_and_a_mapping_that_are_not_there_yet_are_said(scizor: Scizor, fresh: Project) -> None:
    (fresh.folder / "weights.csv").unlink()
    mapping = {"file": "mapping.csv", "id_column": "gvkey", "symbol_column": "tic"}
    strategy = {"id": "weekly", "path": "weights.csv", "format": "csv", "mapping": mapping}
    (fresh.folder / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": [strategy]}))
    answer = scizor("doctor", "--json")
    ok, detail = _details(answer)["strategies"]
    assert (answer.code, ok) == (0, True)
    assert f"no weight file yet at {fresh.folder / 'weights.csv'}" in detail
    assert f"no mapping table yet at {fresh.folder / 'mapping.csv'}" in detail


def test_strategies_in_python_are_named_and_one_that_cannot_be_loaded_is_a_problem_with_its_line(
    scizor: Scizor, fresh: Project
) -> None:
    folder = fresh.folder / "strategies"
    assert _details(scizor("doctor", "--json"))["own strategies"] == (True, f"{folder}: own: none, records: none")
    folder.mkdir()
    (folder / "fine.py").write_text("def weights(prices):\n    return {}\n", encoding="utf-8")
    assert _details(scizor("doctor", "--json"))["own strategies"] == (True, f"{folder}: own: fine, records: none")
    (folder / "broken.py").write_text("def weights(prices)\n", encoding="utf-8")
    answer = scizor("doctor", "--json")
    ok, detail = _details(answer)["own strategies"]
    assert (answer.code, ok, f"{folder / 'broken.py'}:1: The strategy cannot be loaded" in detail) == (1, False, True)


@pytest.mark.parametrize(("days", "well"), [(366, True), (340, False)])
def test_a_calendar_that_ends_within_a_year_is_a_problem_long_before_it_stops_anything(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch, days: int, well: bool
) -> None:
    last = TradingCalendar("XNYS").last
    today = datetime.combine(last, datetime.min.time(), UTC) - timedelta(days=days)
    monkeypatch.setattr(dates, "now", lambda: today)
    ok, detail = _details(scizor("doctor", "--json"))["calendars"]
    assert ok is well
    assert well or f"us: Calendar XNYS ends on {last}; a year ahead is needed to plan. Update" in detail
