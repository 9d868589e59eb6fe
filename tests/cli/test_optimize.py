"""`scizor backtest optimize`: what is said of a search, what is kept of it, and how it ends."""

from datetime import date
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import typer
import yaml

from scizor_dagster.backtest import storage
from scizor_dagster.backtest.search import kept
from scizor_dagster.cli import backtest
from scizor_dagster.cli.searches import named
from scizor_dagster.errors import InputError
from scizor_dagster.flow import optimizing
from scizor_dagster.flow.desk import Desk
from tests.cli.conftest import Scizor
from tests.market_data.support import XNYS
from tests.projects import Project

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 7, 31))
CALL = ("backtest", "optimize", "moving_average_cross", "--prices", "p.csv", "--calendar", "XNYS", "--workers", "1")
SPACE = ("--param", "fast=2,5", "--param", "slow=4,20,30")


@pytest.fixture(autouse=True)
def _as_it_stands(monkeypatch):
    monkeypatch.setenv("SCIZOR_KERNEL", "python")


@pytest.fixture
def files(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a file of prices that walk at random, and nothing in its home."""
    monkeypatch.chdir(fresh.folder)
    moves = np.random.default_rng(4).normal(0.0, 0.01, (len(SESSIONS), 2))
    closes = np.round(100 * np.exp(np.cumsum(moves, axis=0)), 2)
    rows = [f"{day},{first},{second}" for day, (first, second) in zip(SESSIONS, closes, strict=True)]
    (fresh.folder / "p.csv").write_text("\n".join(["date,AAPL,MSFT", *rows]) + "\n", encoding="utf-8")
    return fresh


def test_a_search_says_its_best_and_that_it_is_luck_and_runs_nothing_twice(scizor: Scizor, files: Project) -> None:
    answer = scizor(*CALL, *SPACE, "--heat", "fast,slow", "--png", "map.png")
    assert answer.code == 0
    assert "6 sets of moving_average_cross: 5 run now, 0 known from before, 0 failed, 1 that the strategy" in answer.out
    assert "The best by sharpe" in answer.out
    assert "sharpe by slow (down) and fast (across)" in answer.out
    assert "NO BETTER THAN LUCK" in answer.out
    assert (files.folder / "map.png").read_bytes().startswith(b"\x89PNG")
    again = scizor(*CALL, *SPACE, "--json").json
    assert (again["sets"], again["computed"], again["refused"]) == (6, 0, 1)
    assert again["best"][0]["score"] == max(row["score"] for row in again["best"])
    assert again["verdict"]["is_luck"] is True
    assert again["verdict"]["sessions"] == len(SESSIONS) - 30


def test_a_search_is_listed_shown_drawn_and_deleted_with_its_trials(scizor: Scizor, files: Project) -> None:
    assert "No backtest is kept" in scizor("backtest", "list").out
    made = scizor(*CALL, *SPACE, "--heat", "slow,fast", "--png", "map.png", "--json").json
    short = made["search_id"][:12]
    wider = scizor(*CALL, "--param", "fast=2", "--param", "slow=20,30,40", "--objective", "cagr", "--json").json
    assert wider["computed"] == 1
    listed = scizor("backtest", "list", "--json").json["searches"]
    assert [row["search_id"] for row in listed] == [wider["search_id"], made["search_id"]]
    assert {row["trials"] for row in listed} == {6}
    assert all(word in scizor("backtest", "list").out for word in ("Searches", short, "no better than luck"))
    shown = scizor("backtest", "show", short, "--json").json
    assert {name: shown[name] for name in ("best", "verdict", "map", "objective")} == {
        name: made[name] for name in ("best", "verdict", "map", "objective")
    }
    assert shown["map"]["across"] == "slow"
    assert shown["picture"] == str(files.folder / "map.png")
    said = scizor("backtest", "show", short, "--png", "again.png").out
    assert all(
        word in said for word in ("The best by sharpe", "by fast (down) and slow (across)", "NO BETTER", "map.png")
    )
    assert (files.folder / "again.png").read_bytes() == (files.folder / "map.png").read_bytes()
    assert scizor("backtest", "show", "moving_average_cross", "--json").json["search_id"] == wider["search_id"]
    for wrong in (("--symbol", "AAPL", "--date", "2024-01-03"), ("--html", "page.html"), ("--png", "map.jpg")):
        assert scizor("backtest", "show", short, *wrong).code == 2
    assert scizor("backtest", "show", wider["search_id"], "--png", "none.png").code == 2
    assert scizor("backtest", "delete", short, "--json").code == 2
    # The other search of the same problem has these trials too.
    assert scizor("backtest", "delete", short, "--yes", "--json").json["trials"] == 0
    assert "and 6 trials" in scizor("backtest", "delete", wider["search_id"], "--yes").out
    assert scizor("backtest", "list", "--json").json["searches"] == []
    assert scizor(*CALL, *SPACE, "--json").json["computed"] == 5


def test_an_id_that_several_kept_backtests_and_searches_begin_with_names_none_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backtests = [SimpleNamespace(backtest_id=name) for name in ("ab1", "ab2", "cd1")]
    searches = [SimpleNamespace(search_id=name) for name in ("ab3", "cd2")]
    monkeypatch.setattr(storage, "list_backtests", lambda lake: backtests)
    monkeypatch.setattr(kept, "list_searches", lambda lake: searches)
    desk = cast(Desk, SimpleNamespace(lake=None))
    for name, message in (("AB", "3 backtests and searches begin with 'AB': ab1, ab2, ab3"), ("cd", "2 backtests and")):
        with pytest.raises(InputError, match=message):
            named(desk, name)


def test_a_search_that_was_ended_is_listed_as_unfinished_and_deleted(
    scizor: Scizor, files: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(optimizing, "verdict_of", interrupted)
        assert scizor(*CALL, *SPACE).code == 130
    [row] = scizor("backtest", "list", "--json").json["searches"]
    assert (row["finished"], row["trials"], row["strategy"]) == (False, 5, "moving_average_cross")
    assert "unfinished: the same command goes on" in scizor("backtest", "list").out
    assert "of which 5 trials are kept" in scizor("backtest", "show", row["search_id"][:8]).out
    assert scizor("backtest", "show", row["search_id"][:8], "--png", "map.png").code == 2
    assert scizor("backtest", "delete", row["search_id"][:8], "--yes").code == 0
    assert scizor("backtest", "list", "--json").json["searches"] == []
    assert scizor("backtest", "show", row["search_id"][:8]).code == 2


def test_a_walk_forward_says_what_each_window_chose_and_what_came_of_it(scizor: Scizor, files: Project) -> None:
    walk = ("--train", "50", "--test", "20", "--purge", "5")
    answer = scizor(*CALL, *SPACE, *walk, "--no-store", "--json")
    assert answer.code == 0
    windows = answer.json["walk_forward"]["windows"]
    assert [window["test"][0][0] for window in windows] == [str(SESSIONS[30 + 55 + 20 * at]) for at in range(4)]
    assert all(set(window["parameters"]) == {"fast", "slow"} for window in windows)
    assert answer.json["walk_forward"]["sessions"] == len(SESSIONS) - 85
    said = scizor(*CALL, *SPACE, *walk, "--no-store").out
    assert "Chosen on the sessions before" in said
    assert "Out of sample, 61 sessions" in said
    assert not files.home.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--param", "fats=2,5"), "Did you mean fast?"),
        (("--param", "fast=2,5", "--set", "slwo=3"), "Did you mean slow?"),
        (("--param", "fast=2,5", "--set", "fast=3"), "given twice"),
        (("--param", "fast=2,5", "--train", "50"), "rain and test go together"),
        (("--param", "fast=2,5", "--method", "magic"), "method 'magic'"),
        (("--param", "fast=2,5", "--method", "random"), "--trials N"),
        (("--param", "fast=2,5", "--heat", "fast"), "--heat fast,slow"),
        (("--param", "fast=2,5", "--png", "map.jpg"), "ends with .png"),
        (("--param", "fast=2,5", "--png", "map.png"), "no map of fewer than two parameters"),
        (("--param", "fast=2,5", "--heat", "fast,slow"), "Use two of: fast."),
        (("--param", "fast=2,5", "--anchored"), "nchored is of a walk forward"),
        (("--param", "fast=2,5", "--embargo", "3"), "embargo is of folds"),
        (("--param", "fast=2,5", "--purge", "3"), "urge stands between training and test"),
        (("--param", "fast=2,5", "--impact-bps", "5"), "Impact and participation need volumes"),
        (("--param", "fast=2,5", "--train", "500", "--test", "10"), "Give shorter windows"),
        (("--param", "fast=0,5"), "fast does not take 0"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_written(
    scizor: Scizor, files: Project, options: tuple[str, ...], words: str
) -> None:
    answer = scizor(*CALL, "--set", "slow=30", *options)
    assert (answer.code, words in answer.err) == (2, True), answer.err
    assert not (files.home / "lake").exists()


def test_a_set_of_a_search_is_the_backtest_of_its_parameters(scizor: Scizor, files: Project) -> None:
    costs = ("--commission-bps", "5", "--from", "2024-03-01", "--rebalance", "weekly")
    row = scizor(*CALL, "--param", "fast=5", "--param", "slow=20", *costs, "--no-store", "--json").json["best"][0]
    options = ("--strategy", "moving_average_cross", "--set", "fast=5", "--set", "slow=20", *CALL[3:-2], *costs)
    alone = scizor("backtest", "run", *options, "--no-store", "--json").json
    assert row["equity"] == pytest.approx(float(alone["equity"]), rel=1e-12)
    assert row["costs"] == pytest.approx(alone["figures"]["commission"])
    assert row["costs"] > 0


def test_a_search_takes_every_option_of_a_run_that_is_not_about_its_weights_or_its_page(
    scizor: Scizor, files: Project
) -> None:
    commands = typer.main.get_command(backtest.app).commands  # type: ignore[attr-defined]
    named = {
        name: {option for parameter in commands[name].params for option in parameter.opts if option.startswith("--")}
        for name in ("run", "optimize")
    }
    of_a_run = {"--strategy", "--weights", "--check-lookahead", "--stored", "--dated", "--unknown-ids", "--benchmark"}
    assert named["run"] - named["optimize"] == of_a_run | {"--name", "--positions", "--html"}
    costs = ("--commission-bps", "5", "--commission-maximum-bps", "9", "--cash-rate", "0.04", "--debit-rate", "0.06")
    charged = scizor(*CALL, *SPACE, *costs, "--borrow-rate", "0.01", "--no-store", "--json").json
    free = scizor(*CALL, *SPACE, "--no-store", "--json").json
    assert charged["best"][0]["score"] != free["best"][0]["score"]


def test_an_entry_of_the_manifest_is_searched_from_its_own_parameters_and_rhythm(
    scizor: Scizor, files: Project
) -> None:
    entry = {"id": "own", "function": "moving_average_cross", "parameters": {"fast": 3}, "rebalance": "weekly"}
    manifest = files.folder / "strategy_manifest.yaml"
    entries = yaml.safe_load(manifest.read_text())["strategies"]
    manifest.write_text(yaml.safe_dump({"strategies": [*entries, entry]}))
    rest = (
        "--prices",
        "p.csv",
        "--calendar",
        "XNYS",
        "--workers",
        "1",
        "--param",
        "slow=20,30",
        "--no-store",
        "--json",
    )
    own = scizor("backtest", "optimize", "own", *rest)
    assert own.code == 0, own.err
    named = scizor("backtest", "optimize", "moving_average_cross", "--set", "fast=3", "--rebalance", "weekly", *rest)
    assert [row["score"] for row in own.json["best"]] == [row["score"] for row in named.json["best"]]
    weights = scizor("backtest", "optimize", "weekly", *rest)
    assert (weights.code, "is a weight file" in weights.json["problem"]) == (2, True)
