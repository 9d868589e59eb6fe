"""Strategies in Python from the command line: records, backtests, and the look for the future."""

from pathlib import Path

import pytest
import yaml

from scizor_dagster.flow.desk import Desk
from scizor_dagster.market_data.reading import close_matrix
from tests.cli.conftest import LAST_COLLECTED, Scizor
from tests.projects import FIRST_SESSION, SYMBOLS, Project

SPAN = ("--from", "2025-01-20", "--to", "2025-02-10")
CHEAT = """
import pandas as pd
FRAME = pd.read_csv({path!r}, index_col=0, parse_dates=True)

def weights(prices):
    later = FRAME[FRAME.index > str(prices.last)]
    return {{str(later.iloc[0].idxmax()): 0.9}}
"""


def name_function(folder: Path, **entry: object) -> None:
    manifest = folder / "strategy_manifest.yaml"
    entries = yaml.safe_load(manifest.read_text())["strategies"]
    manifest.write_text(yaml.safe_dump({"strategies": [*entries, {"id": "own", **entry}]}))


def test_a_record_is_created_shown_updated_listed_and_deleted(scizor: Scizor, fresh: Project) -> None:
    told = ("--reason", "a try", "--by", "ann")
    made = scizor("strategy", "create", "fast", "--function", "momentum", "--parameter", "lookback=20",
                  "--parameter", "skip=2", "--rebalance", "weekly", "--description", "short", *told)  # fmt: skip
    assert (made.code, made.out[:19]) == (0, "record fast: create"), made.err
    updated = scizor("strategy", "update", "fast", "--parameter", "symbols=[AAPL, MSFT]", *told, "--json").json
    shown = scizor("strategy", "show", "fast", "--json").json
    assert shown["version"] == updated["record"]["version"]
    values = {row["parameter"]: row["value"] for row in shown["parameters"]}
    assert (values["lookback"], values["symbols"], shown["rebalance"]) == (20, ["AAPL", "MSFT"], "weekly")
    assert (shown["name"], shown["function"]) == ("fast", "momentum")
    assert shown["history"][0]["parameters"]["symbols"] == []
    assert "['AAPL', 'MSFT']" in scizor("strategy", "show", "fast").out
    assert [row["action"] for row in shown["history"]] == ["created", "updated"]
    code = {row["name"]: row for row in scizor("strategy", "list", "--json").json["code"]}
    assert (code["fast"]["function"], code["fast"]["about"]) == ("momentum", "short")
    assert code["risk_parity"]["usable"]
    assert scizor("strategy", "delete", "fast", *told).code == 0
    assert scizor("strategy", "show", "fast").code == 2
    assert scizor("strategy", "delete", "fast", *told).code == 1


def test_a_strategy_shows_its_parameters_bounds_and_code(scizor: Scizor, fresh: Project) -> None:
    shown = scizor("strategy", "show", "equal_weight", "--source")
    assert "invested" in shown.out
    assert "class EqualWeight:" in shown.out
    without = scizor("strategy", "show", "file_weights").out
    assert ("none without parameters" in without, "required" in without) == (True, True)
    name_function(fresh.folder, function="equal_weight", parameters={"invested": 0.5}, rebalance="monthly")
    entry = scizor("strategy", "show", "own", "--json").json
    assert (entry["name"], entry["function"], entry["rebalance"]) == ("own", "equal_weight", "monthly")
    file = scizor("strategy", "show", "weekly")
    assert (file.code, "is a weight file" in file.sentence, "signals check" in file.sentence) == (2, True, True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("create", "Fast", "--function", "momentum"), "'Fast' is no name of a record"),
        (("create", "fast", "--function", "momentun"), "There is no strategy 'momentun'"),
        (("create", "fast", "--function", "momentum", "--parameter", "top"), "'top' is not NAME=VALUE"),
        (("create", "fast", "--function", "momentum", "--parameter", "top=1", "--parameter", "top=2"), "stands twice"),
        (("create", "fast", "--function", "momentum", "--parameter", "top=[1"), "cannot be read"),
        (("create", "fast", "--function", "momentum", "--parameter", "top=0"), "top (0)"),
        (("create", "fast", "--function", "momentum", "--reason", " "), "The reason is empty"),
    ],
)
def test_a_record_that_cannot_be_is_refused_and_says_why(
    scizor: Scizor, fresh: Project, arguments: tuple, named: str
) -> None:
    reason = () if "--reason" in arguments else ("--reason", "a try")
    refused = scizor("strategy", *arguments, *reason)
    assert refused.code == 2
    assert named in " ".join(refused.err.split())


def test_a_backtest_runs_a_strategy_in_python_by_its_name_and_by_its_entry(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A dozen sessions are run sooner than compiled.
    monkeypatch.setenv("SCIZOR_KERNEL", "python")
    parameters = ("--set", "lookback=5", "--set", "skip=0", "--set", "top=2")
    ran = scizor("backtest", "run", "--strategy", "momentum", *parameters, "--rebalance", "weekly", *SPAN, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["weights"].startswith("strategy momentum (shipped), version ")
    assert ran.json["last_session"] == "2025-02-10"
    name_function(
        collected.folder, function="momentum", parameters={"lookback": 5, "skip": 0, "top": 2}, rebalance="weekly"
    )
    again = scizor("backtest", "run", "--strategy", "own", *SPAN, "--json").json
    assert (again["equity"], again["weights"]) == (ran.json["equity"], ran.json["weights"])
    odd = scizor("backtest", "run", "--strategy", "weekly", "--set", "top=2", *SPAN)
    assert odd.code == 2
    assert "of a strategy in Python" in odd.err


def test_a_strategy_that_knows_the_future_is_found_and_one_that_does_not_is_clean(
    scizor: Scizor, collected: Project
) -> None:
    clean = scizor("backtest", "run", "--strategy", "equal_weight", "--check-lookahead")
    assert (clean.code, "no decision before it changed" in clean.out) == (0, True), clean.err
    desk = Desk.from_environment(collected.environment, lambda: None)  # type: ignore[arg-type,return-value]
    close_matrix(desk.lake, "us", SYMBOLS, FIRST_SESSION, LAST_COLLECTED).to_csv(collected.folder / "prices.csv")
    desk.lake.close()
    (collected.folder / "strategies").mkdir()
    (collected.folder / "strategies" / "cheat.py").write_text(CHEAT.format(path=str(collected.folder / "prices.csv")))
    found = scizor("backtest", "run", "--strategy", "cheat", "--check-lookahead", "--json")
    assert found.code == 1
    (finding,) = found.json["findings"]
    assert finding["proven"]
    assert finding["session"] == "2025-01-02"
    assert finding["future"] == "2025-01-03"
    file = scizor("backtest", "run", "--strategy", "weekly", "--check-lookahead")
    assert file.code == 2
    assert "Weights of a file cannot be checked" in file.err
