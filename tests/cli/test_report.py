"""`scizor report`: which session, which file, and the step of a session that writes the page by itself."""

from dataclasses import replace
from pathlib import Path

import pytest

from scizor_dagster.analytics.report.formats import growth, money, price
from scizor_dagster.cli.preflight import open_desk
from scizor_dagster.flow import reporting
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.cli.conftest import LAST_COLLECTED, NEXT, TRADED, Scizor
from tests.projects import Project


def pages(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.html"))


def test_a_session_that_was_run_has_its_page_and_is_given_the_same_again(scizor: Scizor, collected: Project) -> None:
    path = collected.home / "reports" / "main" / f"{TRADED}.html"
    written = path.read_text(encoding="utf-8")
    for text in ("Orders of the plan", "weights.csv:2", "Implementation shortfall", "Positions at the end"):
        assert text in written
    assert "is not measured yet" not in written
    with open_desk().lake.read() as cursor:
        equity, gain = cursor.execute("SELECT equity, return FROM performance").fetchall()[0]
        prices = [paid for (paid,) in cursor.execute("SELECT average_price FROM order_results").fetchall()]
    assert len(prices) == 4
    for text in (money(equity), growth(gain).text, *map(price, prices)):
        assert f">{text}<" in written
    for _ in range(2):
        answer = scizor("report", "--date", TRADED)
        assert (answer.code, answer.err.splitlines()) == (0, [f"Reporting main {TRADED}"])
        assert answer.out == f"Wrote {path}.\n"
    again = path.read_bytes()
    assert scizor("report", "--date", TRADED, "--out", collected.folder / "x.html").code == 0
    assert (collected.folder / "x.html").read_bytes() == again


def test_the_page_goes_to_a_file_or_into_a_folder(scizor: Scizor, collected: Project, tmp_path: Path) -> None:
    made = tmp_path / "made"
    answer = scizor("report", "--date", TRADED, "--out", made / "one.html", "--json")
    assert answer.json == {
        "portfolio": "main", "session": str(TRADED), "file": str(made / "one.html"), "verdict": "warn",
    }  # fmt: skip
    assert scizor("report", "--date", TRADED, "--out", made).code == 0
    assert pages(made) == [f"main-{TRADED}.html", "one.html"]


def test_the_page_is_opened_where_that_is_asked_for(
    scizor: Scizor, collected: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("typer.launch", shown.append)
    assert scizor("report", "--date", TRADED, "--out", tmp_path / "x.html", "--open").code == 0
    assert shown == [(tmp_path / "x.html").as_uri()]


def test_a_halt_is_in_the_verdict_with_what_ends_it(scizor: Scizor, collected: Project, tmp_path: Path) -> None:
    desk = open_desk()
    with desk.ledger.transaction() as connection:
        set_state(
            connection, "paper", None, TradingState.HALTED, reason="<b>odd</b>", actor="ann", now=desk.clock(),
        )  # fmt: skip
    answer = scizor("report", "--date", TRADED, "--out", tmp_path / "x.html", "--json")
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert answer.json["verdict"] == "bad"
    assert "scizor resume --account paper --reason TEXT" in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--date", "2025-02-08"), 2, "is not a session of"),
        (("--date", NEXT, "--portfolio", "other"), 2, "There is no portfolio 'other'"),
        (("--date", LAST_COLLECTED), 1, f"Nothing is stored of {LAST_COLLECTED}"),
        (("--date", TRADED, "--out", "config.yaml/x.html"), 2, "The report cannot be written"),
    ],
)
def test_what_cannot_be_reported_is_said_and_nothing_is_written(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(collected.folder)
    before = pages(collected.folder)
    answer = scizor("report", *options)
    assert (answer.code, said in answer.sentence) == (code, True), answer.sentence
    assert pages(collected.folder) == before


def test_a_home_that_is_empty_stays_so(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("report", "--date", LAST_COLLECTED)
    assert (answer.code, "Nothing is stored of" in answer.sentence) == (1, True)
    assert not fresh.home.exists()


def test_trouble_with_the_page_is_none_of_the_session(collected: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = open_desk()
    (path, trouble) = reporting.report_as_part(desk, "main", TRADED)
    assert (path, trouble) == (collected.home / "reports" / "main" / f"{TRADED}.html", "")
    assert reporting.report_as_part(desk, "main", LAST_COLLECTED)[0] is None
    taken = replace(desk, settings=replace(desk.settings, home=collected.settings.config_path))
    monkeypatch.setattr(reporting, "report_facts", lambda *_: 1 / 0)
    path, trouble = reporting.report_as_part(taken, "main", TRADED)
    assert (path, trouble) == (None, "The report cannot be made (ZeroDivisionError: division by zero).")
