"""`scizor signals`: the answers that a program reads, and the exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scizor_dagster.cli.signals import app
from scizor_dagster.errors import ConfigError, NotASession, SignalRefused
from tests.signals.builders import HEADER, csv_file

CONFIG = """\
markets:
  us:
    calendar: XNYS
    currency: USD
    first_session: 2021-01-04
    universes: [universe.csv]
    provider: {type: sample}
accounts:
  paper: {broker: paper, initial_cash: 1000.0}
portfolios:
  main: {market: us, account: paper, capital: {share: 0.5}, signals: {strategy: weekly}}
  bold:
    market: us
    account: paper
    capital: {share: 0.5}
    signals: {strategy: other, as_of: latest, max_age_sessions: 2}
    weights: {max_weight: unlimited}
risk:
  fractional_shares:
    enabled: true
    min_order_notional: 1.0
    quantity_precision: 4
    max_total_weight: 1.0
    adjust_for_overflow: true
  max_notional_per_order: unlimited
  max_share_per_order: unlimited
  max_total_notional: unlimited
  min_cash_buffer_pct: 0.0
execution: {}
weights: {max_weight: 0.5}
idempotency: {}
"""
MANIFEST = """\
strategies:
- {id: weekly, path: weights.csv, format: csv, on_unknown_id: quarantine}
- {id: other, path: weights.csv, format: csv, guards: {one_name: accept}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "strategy_manifest.yaml").write_text(MANIFEST)
    header = "symbol,mic,name,currency,sector,category,exchange"
    rows = ("AAPL,XNAS,Apple,USD,Tech,stock,NASDAQ", "MSFT,XNAS,Microsoft,USD,Tech,stock,NASDAQ")
    (tmp_path / "universe.csv").write_text("\n".join((header, *rows)) + "\n")
    monkeypatch.setenv("SCIZOR_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "home"))
    return tmp_path


def run(*arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, json.loads(result.stdout)


def test_a_good_file_is_accepted_with_exit_code_zero(home: Path) -> None:
    path = csv_file(home, "2024-01-02,AAPL,0.5", "2024-01-02,MSFT,0.25")
    code, body = run("check", str(path), "--strategy", "weekly")
    assert code == 0
    assert (body["status"], body["rows"], body["weight_sum"], body["violations"]) == ("accepted", 2, 0.75, [])
    assert body["portfolio"] == "main"
    assert run("check", "--strategy", "weekly") == (code, body)


def test_a_bad_file_is_refused_with_every_violation_and_exit_code_one(home: Path) -> None:
    path = csv_file(home, "2024-01-02,AAPL,0.6", "2024-01-02,MSFT,")
    code, body = run("check", str(path), "--strategy", "weekly")
    assert code == 1
    assert body["status"] == "refused"
    assert [(item["rule"], item["line"], item["column"], item["value"]) for item in body["violations"]] == [
        ("weight_above_maximum", 2, "target_weight", "0.6"),
        ("missing_weight", 3, "target_weight", ""),
    ]
    assert all(item["remedy"] for item in body["violations"])


def test_a_strategy_that_no_portfolio_follows_has_no_portfolio_s_limit_on_one_weight(home: Path) -> None:
    manifest = home / "more.yaml"
    manifest.write_text("strategies:\n- {id: lonely, path: weights.csv, format: csv}\n")
    path = csv_file(home, "2024-01-02,AAPL,0.6", "2024-01-02,MSFT,0.4")
    code, body = run("check", str(path), "--strategy", "lonely", "--manifest", str(manifest))
    assert (code, body["status"], body["portfolio"]) == (0, "accepted", None)
    assert run("check", str(path), "--strategy", "lonely", "--manifest", str(manifest), "--portfolio", "main")[0] == 1
    shown = CliRunner().invoke(app, ["check", str(path), "--strategy", "lonely", "--manifest", str(manifest)]).stdout
    assert "no portfolio follows the strategy" in shown.replace("\n", " ")


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (("ZZZZ,0.1",), [("unknown_id", 3, "ZZZZ")]),
        (("aapl,0.1",), [("case_twins", 3, "aapl")]),
        (("msft,0.1",), [("unknown_id", 3, "msft")]),
        (("CASH,0.1",), [("cash_row", 3, "CASH")]),
        (("Total,0.4",), [("total_row", 3, "Total")]),
        (("BRK.B,0.1", "BRK-B,0.1"), [("two_ids_one_instrument", 4, "BRK-B")]),
    ],
)
def test_what_only_the_universe_can_tell_is_refused_before_the_session(
    home: Path, rows: tuple[str, ...], found: list[tuple[str, int, str]]
) -> None:
    csv_file(home, "2024-01-02,AAPL,0.4", *(f"2024-01-02,{row}" for row in rows))
    code, body = run("check", "--strategy", "other")
    assert (code, body["status"]) == (1, "refused")
    assert [(item["rule"], item["line"], item["value"]) for item in body["violations"]] == found
    assert {(item["file"], item["column"]) for item in body["violations"]} == {("weights.csv", "asset_id")}


def test_in_a_wide_file_the_column_of_an_unknown_ticker_is_its_own(home: Path) -> None:
    csv_file(home, "2024-01-02,0.4,0.1,0.5", header="date,AAPL,ZZZZ,cash")
    for arguments in (("check", "--strategy", "other"), ("consolidate", "--portfolio", "bold", "--date", "2024-01-02")):
        code, body = run(*arguments)
        assert (code, [(item["rule"], item["line"], item["column"]) for item in body["violations"]]) == (
            1,
            [("unknown_id", 2, "ZZZZ")],
        )


def test_the_universe_s_spelling_and_case_are_named(home: Path) -> None:
    with (home / "universe.csv").open("a") as stream:
        stream.write("BRK-B,XNYS,Berkshire,USD,Finance,stock,NYSE\n")
    csv_file(home, "2024-01-02,BRK.B,0.4")
    assert run("check", "--strategy", "other")[0] == 0
    csv_file(home, "2024-01-02,brk-b,0.4")
    assert "which has 'BRK-B'" in run("check", "--strategy", "other")[1]["violations"][0]["problem"]


def test_a_ticker_that_the_universe_does_not_have_is_only_said_where_it_does_not_trade(home: Path) -> None:
    csv_file(home, "2024-01-02,ZZZZ,0.4", "2024-01-09,AAPL,0.4")
    code, body = run("check", "--strategy", "other")
    assert (code, [(item["rule"], item["line"]) for item in body["warnings"] if item["rule"] == "unknown_id"]) == (
        0,
        [("unknown_id", 2)],
    )


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("2024-01-02,CASH,0.1", "cash_row"),
        ("2024-01-02,USD cash,0.1", "cash_row"),
        ("2024-01-02,Grand Total,0.1", "total_row"),
        ("2024-01-02,BF-B,0.05\n2024-01-02,BF.B,0.05", "two_ids_one_instrument"),
        ("2024-01-02,CASY,0.1", None),
        ("2024-01-02,ZZZZ,0.1", None),
        ("2024-01-02,BF.B,0.05\n2024-01-02,BRK-B,0.05", None),
    ],
)
def test_without_a_universe_a_stranger_s_tickers_are_taken_and_what_is_no_asset_is_refused(
    home: Path, row: str, rule: str | None
) -> None:
    manifest = home / "theirs.yaml"
    manifest.write_text("strategies:\n- {id: theirs, path: weights.csv, format: csv}\n")
    path = csv_file(home, "2024-01-02,JPM,0.5", "2024-01-02,XOM,0.4", *row.split("\n"))
    code, body = run("check", str(path), "--strategy", "theirs", "--manifest", str(manifest))
    assert (code == 0, [item["rule"] for item in body["violations"]]) == (rule is None, [rule] if rule else [])


def test_a_file_that_names_another_account_or_portfolio_is_refused_without_being_told_to(home: Path) -> None:
    manifest = home / "theirs.yaml"
    manifest.write_text("strategies:\n- {id: theirs, path: weights.csv, format: csv}\n")
    for header, value, ours, theirs in (
        ("account", "paper", True, False),
        ("Account ID", "U9", False, False),
        ("portfolio", "main", True, False),
        ("portfolio", "theirs", False, True),
        ("portfolio", "growth", False, False),
        ("account", "", True, True),
    ):
        path = csv_file(home, f"2024-01-02,AAPL,0.4,{value}", header=f"{HEADER},{header}")
        assert (run("check", str(path), "--strategy", "weekly")[0] == 0) is ours
        code, body = run("check", str(path), "--strategy", "theirs", "--manifest", str(manifest))
        assert (code == 0) is theirs
        if not theirs:
            (item,) = body["violations"]
            assert (item["rule"], item["line"], item["column"], item["value"]) == ("wrong_owner", 2, header, value)
            assert f"require: {{{header}: '{value}'}}" in item["remedy"]


def test_the_rules_are_those_of_the_portfolio_that_selects_the_strategy(home: Path) -> None:
    csv_file(home, "2024-01-02,AAPL,0.6")
    assert run("check", "--strategy", "other")[0] == 0
    assert run("check", "--strategy", "other", "--portfolio", "main")[0] == 1


def test_the_session_asked_for_must_have_rows(home: Path) -> None:
    csv_file(home, "2024-01-02,AAPL,0.4", "2024-01-09,AAPL,0.3")
    assert run("check", "--strategy", "weekly", "--date", "2024-01-09")[1]["weight_sum"] == 0.3
    code, body = run("check", "--strategy", "weekly", "--date", "2024-01-04")
    assert (code, body["violations"][0]["rule"]) == (1, "no_rows_for_session")
    assert run("check", "--strategy", "other", "--date", "2024-01-04")[0] == 0


def test_another_manifest_may_say_how_the_file_is_read(home: Path) -> None:
    manifest = home / "m.yaml"
    manifest.write_text("strategies:\n- {id: mine, path: none.csv, format: csv, column_mapping: {day: trade_date}}\n")
    path = csv_file(home, "2024-01-02,AAPL,0.4", header=HEADER.replace("trade_date", "day"))
    assert run("check", str(path), "--strategy", "mine", "--manifest", str(manifest))[0] == 0


SHAPE = {
    "status", "strategy", "path", "file_hash", "rows", "rows_hash", "dates", "first_date", "last_date", "weight_sum",
    "violations", "warnings", "session", "session_rows", "portfolio",
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "rule", "file", "line"),
    [
        (("nope.csv", "--strategy", "weekly"), "file_missing", "nope.csv", None),
        ((".", "--strategy", "weekly"), "not_a_file", None, None),
        (("/dev/null", "--strategy", "weekly"), "not_a_file", "/dev/null", None),
        (("--strategy", "nope"), "strategy", "strategy_manifest.yaml", None),
        (("--strategy", "weekly", "--manifest", "nope.yaml"), "manifest", "nope.yaml", None),
        (("--strategy", "weekly", "--manifest", "broken.yaml"), "manifest", "broken.yaml", 2),
        (("--strategy", "weekly", "--portfolio", "nope"), "configuration", "config", None),
        (("--strategy", "weekly", "--date", "2024-01-06"), "configuration", None, None),
        (("--strategy", "weekly", "--date", "today"), "call", None, None),
    ],
)
def test_what_cannot_be_read_at_all_is_refused_in_the_shape_of_every_answer(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], rule: str, file: str | None, line: int
) -> None:
    monkeypatch.chdir(home)
    csv_file(home, "2024-01-02,AAPL,0.4")
    (home / "broken.yaml").write_text("strategies:\n- {id: weekly, path: w.csv, format: doc}\n")
    code, body = run("check", *arguments)
    assert (code, set(body), body["status"], body["rows"], body["weight_sum"]) == (2, SHAPE, "refused", 0, None)
    (found,) = body["violations"]
    assert (found["rule"], found["line"]) == (rule, line)
    assert file is None or found["file"].endswith(file)
    assert found["problem"]
    assert found["remedy"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("consolidate", "--portfolio", "nope", "--date", "2024-01-02"), ConfigError),
        (("consolidate", "--portfolio", "main", "--date", "2024-01-06"), NotASession),
    ],
)
def test_a_wrong_call_to_consolidate_ends_with_exit_code_two(
    home: Path, arguments: tuple[str, ...], error: type
) -> None:
    csv_file(home, "2024-01-02,AAPL,0.4")
    with pytest.raises(error) as caught:
        run(*arguments)
    assert caught.value.exit_code == 2


def test_consolidate_prints_targets_and_stores_nothing(home: Path) -> None:
    csv_file(home, "2024-01-02,AAPL,0.4", "2024-01-02,ZZZZ,0.01")
    code, body = run("consolidate", "--portfolio", "main", "--date", "2024-01-02")
    assert code == 0
    assert [(row["symbol"], row["instrument_id"], row["status"]) for row in body["targets"]] == [
        ("AAPL", "AAPL.XNAS", "ok"),
        ("ZZZZ", "", "unknown_id"),
    ]
    assert (body["weight_sum"], body["weight_set_aside"]) == (0.4, 0.01)
    assert (body["mode"], body["strategies"], body["weight_by_strategy"]) == ("select", ["weekly"], {"weekly": "0.4"})
    (origin,) = body["targets"][0].pop("attribution")
    assert (body["targets"][0]["target_weight"], body["targets"][0]["exact_weight"]) == (0.4, "0.4")
    assert len(origin.pop("file_hash")) == 64
    assert origin == {
        "strategy": "weekly", "asset_id": "AAPL", "line": 2, "weight_stated": "0.4", "contribution": "0.4",
    }  # fmt: skip
    assert not (home / "home").exists()


def test_consolidate_refuses_what_the_strategy_refuses(home: Path) -> None:
    csv_file(home, "2024-01-02,AAPL,0.4", "2024-01-02,ZZZZ,0.01")
    code, body = run("consolidate", "--portfolio", "bold", "--date", "2024-01-03")
    assert (code, body["status"]) == (1, "refused")
    assert [(item["rule"], item["line"]) for item in body["violations"]] == [("unknown_id", 3)]
    assert "universe of market us" in body["violations"][0]["problem"]


def test_consolidate_shows_each_strategy_s_part_in_a_blend_and_check_finds_its_portfolio(home: Path) -> None:
    blend = "{mode: blend, strategies: [{id: weekly, capital: 0.5}, {id: other, capital: 0.5}]}"
    config = CONFIG.replace("{strategy: other, as_of: latest, max_age_sessions: 2}", blend)
    (home / "config.yaml").write_text(config)
    (home / "strategy_manifest.yaml").write_text(MANIFEST.replace("other, path: weights", "other, path: more"))
    csv_file(home, "2024-01-02,AAPL,0.6").rename(home / "more.csv")
    csv_file(home, "2024-01-02,AAPL,0.3", "2024-01-02,MSFT,0.1")
    code, body = run("consolidate", "--portfolio", "bold", "--date", "2024-01-02")
    assert (code, body["strategies"], body["weight_by_strategy"]) == (
        0,
        ["weekly", "other"],
        {"other": "0.3", "weekly": "0.2"},
    )
    parts = {row["symbol"]: [(p["strategy"], p["contribution"]) for p in row["attribution"]] for row in body["targets"]}
    assert parts == {"AAPL": [("other", "0.3"), ("weekly", "0.15")], "MSFT": [("weekly", "0.05")]}
    assert run("check", "--strategy", "other")[1]["portfolio"] == "bold"
    shown = CliRunner().invoke(app, ["consolidate", "--portfolio", "bold", "--date", "2024-01-02"]).stdout
    assert "0.500000 of the capital (other 0.300000, weekly 0.200000)" in shown
    (home / "more.csv").unlink()
    with pytest.raises(SignalRefused, match="'other'"):
        run("consolidate", "--portfolio", "bold", "--date", "2024-01-02")


def test_consolidate_without_a_file_says_where_it_was_looked_for(home: Path) -> None:
    with pytest.raises(SignalRefused, match=r"weights\.csv.*cannot be read"):
        run("consolidate", "--portfolio", "main", "--date", "2024-01-02")


def test_a_person_sees_a_table_and_one_verdict(home: Path) -> None:
    csv_file(home, "2024-01-02,AAPL,0.4", "2024-01-02,ZZZZ,x")
    result = CliRunner().invoke(app, ["check", "--strategy", "weekly"])
    assert result.exit_code == 1
    assert "not_a_number" in result.stdout
    assert "refused: " in result.stdout
    csv_file(home, "2024-01-02,AAPL,0.4", "2024-01-02,ZZZZ,0")
    accepted = CliRunner().invoke(app, ["check", "--strategy", "weekly"])
    assert "accepted: " in accepted.stdout
    targets = CliRunner().invoke(app, ["consolidate", "--portfolio", "main", "--date", "2024-01-02"])
    assert targets.exit_code == 0
    assert "AAPL" in targets.stdout
    assert "2 targets" in targets.stdout
