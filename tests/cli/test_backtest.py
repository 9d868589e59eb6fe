"""`scizor backtest`: what is said, what is kept, and how it ends."""

import re
import textwrap
from datetime import date
from pathlib import Path

import pytest
import typer

from scizor_dagster.cli import backtest
from scizor_dagster.flow import backtests
from tests.cli.conftest import Scizor
from tests.market_data.support import XNYS
from tests.projects import Project, write_weights

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 2, 29))
FILES = ("--weights", "w.csv", "--prices", "p.csv", "--calendar", "XNYS")


@pytest.fixture(autouse=True)
def _as_it_stands(monkeypatch):
    monkeypatch.setenv("SCIZOR_KERNEL", "python")


@pytest.fixture
def files(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a file of prices and one of weights, and nothing in its home; the folder is the current one."""
    monkeypatch.chdir(fresh.folder)
    rows = [f"{day},{100 + at},{50 - at / 10}" for at, day in enumerate(SESSIONS)]
    (fresh.folder / "p.csv").write_text("\n".join(["date,AAPL,MSFT", *rows]) + "\n", encoding="utf-8")
    write_weights(fresh.folder / "w.csv", {SESSIONS[1]: {"AAPL": 0.5, "MSFT": 0.4}, SESSIONS[20]: {"AAPL": 0.9}})
    return fresh


def test_files_are_run_kept_listed_shown_and_deleted(scizor: Scizor, files: Project) -> None:
    ran = scizor("backtest", "run", *FILES, "--name", "trend", "--html", "page.html", "--json")
    assert (ran.code, ran.json["fresh"], ran.json["stored"]) == (0, True, True)
    assert ran.json["request"]["name"] == "trend"
    assert ran.json["figures"]["total_return"] == pytest.approx(float(ran.json["equity"]) / 100_000 - 1)
    assert "What was paid" in (files.folder / "page.html").read_text(encoding="utf-8")
    short = ran.json["backtest_id"][:12]
    again = scizor("backtest", "run", *FILES, "--name", "trend")
    assert (again.code, "Nothing has changed since it was kept" in again.out) == (0, True)
    assert "no opens: orders fill at the close" in again.out
    assert [row["backtest_id"] for row in scizor("backtest", "list", "--json").json["backtests"]] == [
        ran.json["backtest_id"]
    ]
    assert short in scizor("backtest", "list").out
    shown = scizor("backtest", "show", short, "--json").json
    assert [row["month"] for row in shown["months"]] == ["2024-01-01", "2024-02-01"]
    assert "Months" in scizor("backtest", "show", "trend").out
    assert scizor("backtest", "delete", short, "--json").code == 2
    unnamed = scizor("backtest", "run", *FILES, "--json").json["backtest_id"]
    assert f"│ {unnamed[:12]} │ backtest │" in scizor("backtest", "list").out
    assert scizor("backtest", "show", "backtest", "--json").json["backtest_id"] == unnamed
    assert scizor("backtest", "delete", "backtest", "--yes").code == 0
    assert scizor("backtest", "delete", short, "--yes").code == 0
    assert "No backtest is kept" in scizor("backtest", "list").out


def test_the_page_of_the_documentation_followed_to_the_letter_says_what_it_says(
    scizor: Scizor, fresh: Project, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh.folder)
    text = (project_root / "docs" / "backtests.md").read_text(encoding="utf-8")
    blocks = [textwrap.dedent(found) for found in re.findall(r"(?:^    .*\n)+", text, flags=re.MULTILINE)]
    (prices,) = [block for block in blocks if block.startswith("date,")]
    (weights,) = [block for block in blocks if block.startswith("trade_date,")]
    (commands,) = [block for block in blocks if "--name first" in block]
    (said,) = [block for block in blocks if block.startswith("AAPL: ")]
    (fresh.folder / "prices.csv").write_text(prices, encoding="utf-8")
    (fresh.folder / "weights.csv").write_text(weights, encoding="utf-8")
    answers = [scizor(*command.split()[1:]) for command in commands.splitlines()]
    assert [answer.code for answer in answers] == [0, 0], [answer.err for answer in answers]
    assert answers[1].out == said


def test_every_option_of_a_run_is_in_the_documentation(project_root: Path) -> None:
    text = (project_root / "docs" / "backtests.md").read_text(encoding="utf-8")
    told = {f"--{name}" for name in re.findall(r"--([a-z-]+)", text)}
    told |= {f"--commission-{part}" for part in ("bps", "minimum", "maximum-bps")}
    command = typer.main.get_command(backtest.app).commands["run"]  # type: ignore[attr-defined]
    named = {option for parameter in command.params for option in parameter.opts}
    assert named - told <= {"--json", "--set", "--positions", "--store", "--help"}


def test_one_instrument_in_one_session_is_explained(scizor: Scizor, files: Project) -> None:
    name = scizor("backtest", "run", *FILES, "--commission-bps", "10", "--json").json["backtest_id"]
    day = str(SESSIONS[1])
    said = scizor("backtest", "show", name, "--symbol", "AAPL", "--date", day).out
    assert f"AAPL: the plan for {day} wants 50.0000% of equity; open." in said
    assert "Buy 500, from 0 to 500, sized at 100.00 USD." in said
    assert "Filled 500 at 101.00; it cost commission 50.50 (USD)." in said
    assert "Held at its close: 500 worth 50,500.00 USD." in said
    [trade] = scizor("backtest", "show", name, "--symbol", "AAPL", "--date", day, "--json").json["trades"]
    assert (trade["planned"], trade["filled"], trade["price"]) == (500 * 10**9, 500 * 10**9, 101.0)
    quiet = scizor("backtest", "show", name, "--symbol", "AAPL", "--date", str(SESSIONS[3])).out
    assert "No order in session" in quiet
    assert scizor("backtest", "show", name, "--symbol", "AAPL").code == 2
    assert scizor("backtest", "show", name, "--symbol", "AAPL", "--date", "2020-01-02").code == 2


def test_without_keeping_it_nothing_is_written(scizor: Scizor, files: Project) -> None:
    answer = scizor("backtest", "run", *FILES, "--no-store", "--json")
    assert (answer.code, answer.json["stored"]) == (0, False)
    assert not files.home.exists()


def test_an_interruption_ends_with_its_code_and_keeps_nothing(
    scizor: Scizor, files: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backtests, "run_backtest", interrupted)
    assert scizor("backtest", "run", *FILES).code == 130
    assert scizor("backtest", "list", "--json").json == {"backtests": [], "searches": []}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--prices", "p.csv"), "Name a portfolio, a strategy or a file of weights"),
        ((*FILES, "--kind", "rwa"), "kind 'rwa'"),
        ((*FILES, "--from", "yesterday"), "'yesterday' is not a date"),
        ((*FILES, "--html", "page.pdf"), "ends with .html"),
        ((*FILES, "--set", "lookback"), "--set: 'lookback' is not NAME=VALUE"),
        (("--strategy", "momentum", "--set", "top=1", "--set", "top=2"), "--set: 'top' stands twice"),
        ((*FILES, "--fill", "open"), "Fills at the open need open prices"),
        (("--weights", "nothing.csv", "--prices", "p.csv"), "nothing.csv: The weight file cannot be read (No such"),
        (("--strategy", "nobody"), "There is no strategy 'nobody'"),
    ],
)
def test_what_is_wrong_with_a_call_is_said_and_nothing_is_written(
    scizor: Scizor, files: Project, arguments: tuple[str, ...], told: str
) -> None:
    answer = scizor("backtest", "run", *arguments)
    assert (answer.code, told in answer.sentence) == (2, True), answer.err
    if (files.home / "lake").exists():
        assert scizor("backtest", "list", "--json").json == {"backtests": [], "searches": []}
