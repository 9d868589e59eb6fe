"""Bad input: one sentence with its remedy, exit code 2, and nothing written."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Scizor
from tests.projects import Project, small_project, write_weights

Spoil = Callable[[Project], None]
RUN = ("run", "--date", "2025-02-03")
DAILY = ("collect", "daily", "--date", "2025-02-03")
HISTORY = ("collect", "history")
RECONCILE = ("reconcile", "--date", "2025-02-03")
COMMANDS = (RUN, DAILY, HISTORY, RECONCILE)


def _config(section: str, **values: object) -> Spoil:
    def spoil(project: Project) -> None:
        small_project(project.folder, **{section: values})

    return spoil


def _market(**values: object) -> Spoil:
    return _config("markets", us=values)


def _remove(name: str) -> Spoil:
    return lambda project: (project.folder / name).unlink()


def _unknown_key(project: Project) -> None:
    path = project.folder / "config.yaml"
    path.write_text(path.read_text() + "colour: red\n")


def _other_strategy(project: Project) -> None:
    manifest = {"strategies": [{"id": "other", "path": "weights.csv", "format": "csv"}]}
    (project.folder / "strategy_manifest.yaml").write_text(yaml.safe_dump(manifest))


SPOILT_FOR_EVERY_COMMAND: dict[str, tuple[Spoil, str]] = {
    "an_unknown_key": (_unknown_key, "config.yaml:{line}: colour: 'colour' is not a known key"),
    "no_configuration": (_remove("config.yaml"), "config.yaml"),
    "a_market_without_a_calendar": (_market(calendar=None), "markets.us.calendar"),
    "an_unknown_calendar": (_market(calendar="XXXX"), "'XXXX' is not a calendar of exchange_calendars."),
    "a_calendar_without_a_trading_day": (_market(calendar="CMES"), "do not open and close on one day"),
    "no_universe_file": (_remove("universe.csv"), "universe.csv: The file does not exist"),
    "a_nan_limit": (_config("risk", max_total_notional=float("nan")), "max_total_notional"),
    "a_missing_limit": (_config("risk", max_total_notional=None), "max_total_notional"),
}


def _no_traceback(text: str) -> bool:
    return "Traceback" not in text


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("case", SPOILT_FOR_EVERY_COMMAND)
def test_a_configuration_that_cannot_be_used_stops_every_command_before_it_writes(
    scizor: Scizor, fresh: Project, case: str, command: tuple[str, ...]
) -> None:
    spoil, expected = SPOILT_FOR_EVERY_COMMAND[case]
    spoil(fresh)
    config = fresh.folder / "config.yaml"
    lines = len(config.read_text().splitlines()) if config.exists() else 0
    answer = scizor(*command)
    assert answer.code == 2
    assert expected.format(line=lines) in answer.sentence
    assert _no_traceback(answer.err)
    assert answer.out == ""
    assert not fresh.home.exists()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_url_that_is_no_postgres_is_refused(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///hush.sqlite")
    answer = scizor(*command)
    assert answer.code == 2
    assert "DATABASE_URL names no Postgres database. Set it to postgresql://" in answer.sentence
    assert "hush" not in answer.err
    assert not fresh.home.exists()


WRONG_CALLS: dict[str, tuple[tuple[str, ...], str]] = {
    "run_on_a_saturday": (
        ("run", "--date", "2026-11-21"),
        "2026-11-21 is not a session of XNYS. Use 2026-11-20 or 2026-11-23.",
    ),
    "run_on_thanksgiving": (("run", "--date", "2026-11-26"), "Use 2026-11-25 or 2026-11-27."),
    "run_on_no_date": (("run", "--date", "tomorrow"), "--date: 'tomorrow' is not a date. Write it as YYYY-MM-DD."),
    "run_on_an_empty_date": (("run", "--date", ""), "'' is not a date."),
    "run_before_the_market": (("run", "--date", "2024-12-31"), "before the market's first session, 2025-01-02"),
    "run_beyond_the_calendar": (("run", "--date", "2999-01-04"), "Use a date within the calendar."),
    "run_of_nobody": (("run", "--portfolio", "nobody"), "There is no portfolio 'nobody'. Use one of: main."),
    "daily_of_no_market": (("collect", "daily", "--market", "mars"), "There is no market 'mars'. Use one of: us."),
    "daily_on_a_sunday": (("collect", "daily", "--date", "2025-02-02"), "Use 2025-01-31 or 2025-02-03."),
    "daily_before_the_market": (("collect", "daily", "--date", "2024-12-31"), "first session, 2025-01-02"),
    "history_of_no_market": (("collect", "history", "--market", "mars"), "There is no market 'mars'."),
    "history_from_too_early": (("collect", "history", "--start-date", "2010-01-01"), "first session, 2025-01-02"),
    "history_from_no_date": (("collect", "history", "--start-date", "0"), "--start-date: '0' is not a date."),
    "history_to_the_future": (("collect", "history", "--end-date", "2999-01-01"), "2999-01-01 is ahead"),
    "history_backwards": (
        ("collect", "history", "--start-date", "2026-01-05", "--end-date", "2025-06-02"),
        "2026-01-05 is after 2025-06-02: there is nothing to collect.",
    ),
    "history_of_no_symbol": (("collect", "history", "NOPE", "AAPL"), "NOPE: not in the universe of market 'us'."),
    "run_on_a_date_without_dashes": (("run", "--date", "20250203"), "'20250203' is not a date."),
    "daily_on_a_date_without_dashes": (("collect", "daily", "--date", "20250203"), "'20250203' is not a date."),
    "history_to_a_date_without_dashes": (("collect", "history", "--end-date", "20250203"), "is not a date."),
    "reconcile_on_a_date_by_week": (("reconcile", "--date", "2025-W06-1"), "'2025-W06-1' is not a date."),
    "check_on_a_date_without_dashes": (
        ("signals", "check", "--strategy", "weekly", "--date", "20250203"),
        "'20250203' is not a date.",
    ),
    "history_to_no_date": (("collect", "history", "--end-date", "x"), "--end-date: 'x' is not a date."),
    "history_to_too_early": (("collect", "history", "--end-date", "2024-05-01"), "first session, 2025-01-02"),
    "reconcile_of_nobody": (("reconcile", "--portfolio", "nobody"), "There is no portfolio 'nobody'."),
    "reconcile_on_a_sunday": (("reconcile", "--date", "2025-02-02"), "is not a session of XNYS"),
    "signals_of_no_strategy": (("signals", "check", "--strategy", "none"), "There is no strategy 'none'."),
    "signals_of_no_file": (("signals", "check", "nope.csv", "--strategy", "weekly"), "nope.csv"),
    "targets_on_a_sunday": (
        ("signals", "consolidate", "--portfolio", "main", "--date", "2025-02-02"),
        "is not a session of XNYS",
    ),
}


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_a_wrong_call_ends_with_one_sentence_and_writes_nothing(scizor: Scizor, fresh: Project, case: str) -> None:
    arguments, expected = WRONG_CALLS[case]
    answer = scizor(*arguments)
    assert answer.code == 2
    assert expected in answer.sentence
    assert _no_traceback(answer.err)
    assert answer.out == ""
    assert not fresh.home.exists()


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_a_program_gets_the_same_refusal_as_one_json_object(scizor: Scizor, fresh: Project, case: str) -> None:
    arguments, _ = WRONG_CALLS[case]
    answer = scizor(*arguments, "--json")
    assert answer.code == 2
    if arguments[:2] == ("signals", "check"):
        # In the shape of every answer about a weight file.
        assert (answer.json["status"], answer.json["rows"]) == ("refused", 0)
        (said,) = answer.json["violations"]
    else:
        said = answer.json
        assert set(said) == {"error", "problem", "where", "remedy"}
    assert said["problem"]
    assert said["remedy"]
    assert not fresh.home.exists()


def test_an_unknown_strategy_names_those_there_are(scizor: Scizor, fresh: Project) -> None:
    _other_strategy(fresh)
    for command in (RUN, RECONCILE):
        answer = scizor(*command)
        assert (answer.code, "There is no strategy 'weekly'. Use one of: other." in answer.sentence) == (2, True)
    assert not fresh.home.exists()


def test_a_missing_weight_file_stops_a_run_before_it_writes(scizor: Scizor, fresh: Project) -> None:
    (fresh.folder / "weights.csv").unlink()
    answer = scizor(*RUN)
    assert answer.code == 2
    assert f"{fresh.folder / 'weights.csv'}: Strategy 'weekly': there is no such file." in answer.sentence
    assert "strategy manifest" in answer.sentence
    assert not fresh.home.exists()


def test_missing_prices_stop_a_collection_before_it_writes(scizor: Scizor, fresh: Project) -> None:
    provider = {"type": "files", "path": "prices.parquet", "adjustment": "raw"}
    _market(provider=None)(fresh)
    config = yaml.safe_load((fresh.folder / "config.yaml").read_text())
    config["markets"]["us"]["provider"] = provider
    (fresh.folder / "config.yaml").write_text(yaml.safe_dump(config))
    for command in (DAILY, HISTORY):
        answer = scizor(*command)
        assert answer.code == 2
        assert f"{fresh.folder / 'prices.parquet'}: The prices of market 'us' are not there." in answer.sentence
    assert not fresh.home.exists()


@pytest.mark.parametrize(("layout", "is_folder"), [("long", True), ("per_symbol", False)])
def test_prices_of_the_other_layout_stop_a_collection_before_it_writes(
    scizor: Scizor, fresh: Project, layout: str, is_folder: bool
) -> None:
    prices = fresh.folder / "prices"
    prices.mkdir() if is_folder else prices.write_text("symbol")
    config = yaml.safe_load((fresh.folder / "config.yaml").read_text())
    config["markets"]["us"]["provider"] = {"type": "files", "path": "prices", "adjustment": "raw", "layout": layout}
    (fresh.folder / "config.yaml").write_text(yaml.safe_dump(config))
    other = "per_symbol" if is_folder else "long"
    for command in (DAILY, HISTORY):
        answer = scizor(*command)
        assert answer.code == 2
        assert f"use `layout: {other}`" in answer.sentence
    assert not fresh.home.exists()


def test_a_session_that_trades_still_is_not_collected(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime

    monkeypatch.setattr("scizor_dagster.cli.dates.now", lambda: datetime(2026, 11, 20, 18, tzinfo=UTC))
    answer = scizor("collect", "daily", "--date", "2026-11-20")
    assert answer.code == 1
    assert "Session 2026-11-20 of XNYS has not closed, or its closing prices are not final yet." in answer.sentence
    assert "Run again from 2026-11-20 21:20 UTC on" in answer.sentence
    assert not fresh.home.exists()


def test_a_session_of_another_day_ahead_is_neither_run_nor_collected(scizor: Scizor, fresh: Project) -> None:
    from datetime import timedelta

    from scizor_dagster.cli.dates import now
    from scizor_dagster.sessions import TradingCalendar

    ahead = TradingCalendar("XNYS").next_session(now().date() + timedelta(days=3))
    for command in (("run",), ("reconcile",), ("collect", "daily")):
        answer = scizor(*command, "--date", ahead)
        assert (answer.code, f"Session {ahead} is ahead" in answer.sentence) == (2, True)
    assert not fresh.home.exists()


def test_a_home_that_cannot_be_written_is_named(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = fresh.folder / "a_file"
    taken.write_text("not a folder")
    monkeypatch.setenv("SCIZOR_HOME", str(taken))
    answer = scizor(*RUN)
    assert answer.code == 2
    assert f"{taken}: The folder cannot be written: this is a file." in answer.sentence
    assert "Set SCIZOR_HOME" in answer.sentence
    assert taken.read_text() == "not a folder"


@pytest.mark.parametrize(
    "arguments", [("run", "--nope"), ("collect", "history", "--start", "x"), ("fly",), ("plan",)], ids=" ".join
)
def test_an_option_that_is_none_is_refused_for_people_and_for_programs(
    scizor: Scizor, fresh: Project, arguments: tuple[str, ...]
) -> None:
    said = scizor(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert "--help" in said.err or "-h" in said.err
    read = scizor(*arguments, "--json")
    assert read.code == 2
    assert read.json["error"] == "UsageError"
    assert read.json["remedy"].endswith("--help.")
    assert not fresh.home.exists()


@pytest.mark.parametrize("equity", ["0", "-5", "nan", "NaN", "inf", "-Infinity", "much", ""])
def test_an_equity_that_is_no_amount_plans_nothing(scizor: Scizor, fresh: Project, equity: str) -> None:
    answer = scizor(*_plan_call(fresh.folder, equity=equity))
    assert answer.code == 2
    assert f"--equity: '{equity}' is no amount." in answer.sentence
    assert not (fresh.folder / "out").exists()


@pytest.mark.parametrize("missing", ["targets", "prices", "positions"])
def test_a_missing_file_plans_nothing_and_is_named(scizor: Scizor, fresh: Project, missing: str) -> None:
    call = _plan_call(fresh.folder)
    (fresh.folder / f"{missing}.csv").unlink()
    answer = scizor(*call, "--json")
    assert answer.code == 2
    assert f"{missing}.csv" in str(answer.json["where"])
    assert not (fresh.folder / "out").exists()


def test_a_trade_date_that_is_none_plans_nothing(scizor: Scizor, fresh: Project) -> None:
    answer = scizor(*_plan_call(fresh.folder), "--date", "2025-13-01")
    assert (answer.code, "--date: '2025-13-01' is not a date." in answer.sentence) == (2, True)
    assert not (fresh.folder / "out").exists()


def test_the_files_of_the_bad_plans_make_a_good_one(scizor: Scizor, fresh: Project) -> None:
    answer = scizor(*_plan_call(fresh.folder), "--json")
    assert answer.code == 0
    assert answer.json["orders"] == 1
    assert (fresh.folder / "out" / "planned_orders.csv").is_file()
    assert not fresh.home.exists()


def _plan_call(folder: Path, equity: str = "10000") -> tuple[str, ...]:
    from datetime import date

    write_weights(folder / "targets.csv", {date(2025, 2, 3): {"AAPL": 0.5}})
    header = (folder / "targets.csv").read_text().replace("asset_id", "symbol")
    (folder / "targets.csv").write_text(header)
    (folder / "prices.csv").write_text("symbol,price\nAAPL,100\n")
    (folder / "positions.csv").write_text("symbol,qty\n")
    files = [(f"--{name}", str(folder / f"{name}.csv")) for name in ("targets", "prices", "positions")]
    options = [*files, ("--equity", equity), ("--out", str(folder / "out"))]
    return ("plan", *(word for option in options for word in option))
