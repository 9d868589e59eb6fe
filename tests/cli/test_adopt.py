"""`scizor adopt`: what a person is told; what may be handed over is tested with `flow.adopting`."""

import sqlite3

import pytest

from tests.cli.conftest import Scizor
from tests.projects import Project


def _hold(project: Project, symbol: str, qty: str) -> None:
    """The account holds something that no portfolio has bought."""
    with sqlite3.connect(project.home / "ledger.sqlite") as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(paper_positions)")]
        row = dict(zip(columns, connection.execute("SELECT * FROM paper_positions LIMIT 1").fetchone(), strict=True))
        row |= {"symbol": symbol, "qty": qty}
        places = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO paper_positions ({', '.join(row)}) VALUES ({places})", tuple(row.values()))


def test_a_portfolio_gets_what_nobody_owns_and_the_answer_says_from_when_and_at_what(
    scizor: Scizor, collected: Project
) -> None:
    _hold(collected, "META", "7")
    answer = scizor("adopt", "main", "META", "--qty", "4", "--price", "1,012.50", "--by", "ann", "--json")
    assert answer.code == 0, answer
    told = {name: answer.json[name] for name in ("portfolio", "symbol", "qty", "price", "renamed_from", "by")}
    assert told == {
        "portfolio": "main", "symbol": "META", "qty": "4", "price": "1012.5", "renamed_from": None, "by": "ann"
    }  # fmt: skip
    again = scizor("adopt", "main", "META", "--qty", "4")
    assert (again.code, "Nobody owns 3 META" in again.sentence) == (2, True), again


def test_a_split_that_the_account_does_not_show_is_not_recorded_and_the_answer_says_what_it_holds(
    scizor: Scizor, collected: Project
) -> None:
    _hold(collected, "META", "7")
    answer = scizor("adopt", "main", "META", "--split", "3:2", "--date", "2025-03-03")
    assert (answer.code, "and the account holds 7" in answer.sentence) == (2, True), answer


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (("--split", "2"), "--split"),
        (("--split", "2:0"), "--split"),
        (("--split", "2:2"), "--split"),
        (("--split", "2:1", "--qty", "5"), "--split"),
        (("--date", "2025-03-03"), "--date"),
    ],
)
def test_what_is_no_split_or_goes_with_something_else_is_refused_with_its_option(
    scizor: Scizor, collected: Project, options: tuple[str, ...], where: str
) -> None:
    answer = scizor("adopt", "main", "META", *options, "--json")
    assert (answer.code, answer.json["where"]) == (2, where), answer


@pytest.mark.parametrize(("option", "text"), [("--qty", "x"), ("--qty", "0"), ("--price", "-1"), ("--price", "nan")])
def test_what_is_no_number_is_refused_with_its_option(
    scizor: Scizor, collected: Project, option: str, text: str
) -> None:
    answer = scizor("adopt", "main", "META", option, text, "--json")
    assert (answer.code, answer.json["where"]) == (2, option), answer
