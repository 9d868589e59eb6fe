"""From a fill back to the line of the file that caused it, and from a line down to everything that came of it."""

import json
import os
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from assets.rendering import execution_metadata
from scizor_dagster.analytics.explain.model import Explanation, Step
from scizor_dagster.analytics.explain.text import WIDTH, lines_of
from scizor_dagster.errors import InputError
from scizor_dagster.execution.result import result_of
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_facts import opened as sources_of
from scizor_dagster.flow.explain_lines import explain_line, order_origins
from scizor_dagster.flow.explaining import Meant, _only, explain
from scizor_dagster.flow.watch import WatchingDesk
from scizor_dagster.ledger.tables import trades
from tests.flow.desks import EARLY, FIRST, NOW, SECOND
from tests.flow.test_blend import opened
from tests.flow.traded import copied, correct


@pytest.fixture(scope="module")
def desk(past: Path) -> Iterator[Desk]:
    """It only looks: a write to the ledger is refused."""
    found = opened(past)
    looking = WatchingDesk(found.settings, found.machine_clock)
    yield looking
    looking.lake.close()
    looking.ledger.close()


def fills(desk: Desk) -> list[tuple[str, str, str, date]]:
    columns = (trades.c.fill_id, trades.c.client_order_id, trades.c.symbol, trades.c.session)
    with desk.ledger.read() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(trades.c.fill_id))]


def text_of(explanation: Explanation) -> str:
    return "\n".join(lines_of(explanation))


def change(desk: Desk, statement: str, *values: object) -> None:
    with desk.lake.write() as cursor:
        cursor.execute(statement, list(values))


def test_every_order_of_every_fill_leads_to_a_line_that_says_the_weight_it_was_sized_on(desk: Desk, past: Path) -> None:
    found = fills(desk)
    assert len(found) >= 9
    for session in (FIRST, SECOND):
        origins = order_origins(desk, "main", session)
        assert set(origins["order"]) >= {order for _, order, _, day in found if day == session}
        for row in origins.itertuples():
            if row.line == "names it not: sold":
                assert (row.symbol, session) == ("GOOG", SECOND)
                continue
            day, asset_id, weight = (past / Path(row.file).name).read_text().splitlines()[int(row.line) - 1].split(",")
            assert (day, Decimal(weight)) == (session.isoformat(), Decimal(row.weight))
            assert {"1": "MSFT", "2": "GOOG"}.get(asset_id, asset_id) == row.symbol


# An explanation asks some dozens of questions; all fills where there is time for it.
def some_fills(desk: Desk) -> list[tuple[str, str, str, date]]:
    found = fills(desk)
    return (
        found
        if os.environ.get("SCIZOR_TORTURE")
        else [found[0], found[-1], *(row for row in found if row[2] == "GOOG")]
    )


def test_a_fill_walks_all_the_way_up_to_its_file_and_down_to_the_reconciliation(desk: Desk) -> None:
    for fill, order, symbol, session in some_fills(desk):
        made = explain(desk, fill)
        assert (made.kind, made.subject, made.session) == ("fill", fill, session)
        assert made.to_json()["complete"], text_of(made)
        steps = {link.step for link in made.links}
        sold = symbol == "GOOG" and session == SECOND
        wanted = set(Step) - {Step.REQUEST, Step.HISTORY, Step.CONSEQUENCE}
        assert steps >= (wanted - {Step.MAPPING, Step.BLEND, Step.TARGET} if sold else wanted)
        files = made.of(Step.FILE)
        place = files[0].facts["named_before"] if sold else files[0].facts
        line = Path(place["path"]).read_text().splitlines()[place["line"] - 1]
        assert line.split(",")[1] == place["asset_id"]
        assert made.of(Step.ORDER)[0].facts["client_order_id"] == order
        assert made.of(Step.CHECKS)[0].facts["passed"] is True
        assert made.of(Step.RECONCILIATION)[0].facts["state"] == "reconciled"
        assert max(map(len, lines_of(made))) <= WIDTH
        assert json.loads(json.dumps(made.to_json()))["links"]


def test_the_ui_shows_for_each_order_the_line_that_caused_it(desk: Desk) -> None:
    with desk.ledger.read() as connection:
        result = result_of(connection, "paper", "main", SECOND)
    shown = execution_metadata(result, order_origins(desk, "main", SECOND), "USD")["caused_by"].value.splitlines()
    assert shown[0].startswith("| order | symbol | side | qty | state | strategy | file | line | weight |")
    for order in result.orders:
        (row,) = (row for row in shown if order.client_order_id in row)
        assert ("names it not: sold" in row) is (order.symbol == "GOOG")
        assert ".csv |" in row or ".csv, " in row


def test_a_person_can_compute_the_quantity_from_the_numbers_that_are_shown(desk: Desk) -> None:
    made = explain(desk, "MSFT", session=SECOND)
    assert made.kind == "line"
    (sizing,), (capital,), (blend,) = (made.of(step) for step in (Step.SIZING, Step.CAPITAL, Step.BLEND))
    assert [(row["strategy"], row["contribution"]) for row in blend.rows] == [("value", "0.16")]
    facts, money = sizing.facts, capital.facts
    assert money["equity"] - money["cash_buffer"] == money["investable"]
    value = facts["weight"] * money["investable"] * money["overflow_factor"] * facts["room"]
    target = (value / facts["price"] / facts["step"]).to_integral_value(ROUND_DOWN) * facts["step"]
    assert target == facts["target_qty"]
    assert target - facts["held"] == pytest.approx(facts["delta_qty"], abs=Decimal("0.0001"))
    assert sum((link.facts["filled_qty"] for link in made.of(Step.FILLS)), Decimal(0)) == abs(facts["delta_qty"])
    (price,) = made.of(Step.PRICE)
    assert (price.facts["age_sessions"], price.facts["source"]) == (0, "sample")


def test_two_strategies_in_one_target_are_two_lines_of_two_files(desk: Desk) -> None:
    made = explain(desk, "MSFT", session=FIRST)
    assert sorted((Path(link.facts["path"]).name, link.facts["weight"]) for link in made.of(Step.FILE)) == [
        ("trend.csv", Decimal("0.4")),
        ("value.csv", Decimal("0.4")),
    ]
    assert "by the table" in made.of(Step.MAPPING)[0].sentences[1]
    assert made.of(Step.TARGET)[0].facts["target_weight"] == Decimal("0.4")


def test_a_position_lists_its_fills_and_splits_session_by_session(desk: Desk) -> None:
    made = explain(desk, "MSFT.XNAS", session=SECOND)
    assert made.kind == "position"
    rows = made.of(Step.HISTORY)[0].rows
    assert [row["what"] for row in rows] == ["fill", "fill", "split", "fill"]
    assert rows[2]["qty"] == "x 1.05"
    assert all(row["cause"] and explain(desk, row["order"]).kind == "order" for row in rows[-1:])
    assert Decimal(rows[-1]["held"]) == made.of(Step.POSITION)[0].facts["qty"]
    assert not made.of(Step.POSITION)[0].missing
    then = explain(desk, "MSFT.XNAS", session=FIRST)
    assert len(then.of(Step.HISTORY)[0].rows) == 2


def test_a_correction_of_a_fill_is_told_beside_what_it_corrects(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)
    correct(desk)
    made = explain(desk, "paper-F14")
    assert [row["counts"] for row in made.links[0].rows] == ["no: corrected by version 2", "yes, as version 2"]
    rows = explain(desk, "AAPL.XNAS", session=FIRST).of(Step.HISTORY)[0].rows
    assert [row["what"] for row in rows] == ["corrected later", "fill, corrected", "fill"]
    desk.lake.close()
    desk.ledger.close()


def test_a_fill_of_nobodys_order_is_said_to_be_foreign(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)
    change = "UPDATE trades SET portfolio = NULL, client_order_id = 'by-hand' WHERE fill_id = 'paper-F14'"
    with desk.ledger.transaction() as connection:
        connection.exec_driver_sql(change)
    made = explain(desk, "paper-F14")
    assert (made.kind, made.subject, made.portfolio, made.account) == ("fill", "paper-F14", "", "paper")
    (order,) = made.of(Step.ORDER)
    assert order.facts == {"foreign": True, "order": "by-hand"}
    assert "It is foreign: somebody else has placed its order by-hand" in text_of(made)
    assert made.of(Step.FILE) == ()
    desk.lake.close()
    desk.ledger.close()


def test_a_line_of_a_file_is_followed_down_to_its_fills(desk: Desk, past: Path) -> None:
    number = (past / "trend.csv").read_text().splitlines().index(f"{SECOND},NVDA,0.5") + 1
    made = explain(desk, f"{past / 'trend.csv'}:{number}")
    (consequence,) = made.of(Step.CONSEQUENCE)
    assert (consequence.facts["symbol"], consequence.facts["reason"]) == ("NVDA", "open")
    mine = {fill for fill, _, symbol, _ in fills(desk) if symbol == "NVDA"}
    assert {row["fill"] for row in consequence.rows} == mine
    by_name = explain_line(desk, "trend.csv", number, session=SECOND)
    assert by_name.links == made.links


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NOBODY", "'NOBODY' is no order, fill or instrument.*has AAPL, GOOG, MSFT, NVDA"),
        ("NOBODY.XNAS", "is no order, fill or instrument"),
        ("trend.csv:1", r"No accepted row came of line 1 for .*Files that were: .*trend\.csv"),
    ],
)
def test_what_nobody_knows_is_an_error_that_says_what_there_is(desk: Desk, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        explain(desk, name, session=SECOND)


def test_what_was_never_planned_has_no_explanation(desk: Desk) -> None:
    with pytest.raises(InputError, match="Nothing was planned yet"):
        explain(desk, "META", session=EARLY)


def test_several_meanings_are_listed_and_none_is_guessed(desk: Desk) -> None:
    two = [Meant("line", name, SECOND, f"AAPL of {name}", lambda: None) for name in ("one", "two")]
    with sources_of(desk) as sources, pytest.raises(InputError, match="means 2 things: AAPL of one; AAPL of two"):
        _only(two, "AAPL", sources, ["one", "two"], SECOND)


def test_what_is_gone_is_said_at_its_link_and_the_chain_goes_on(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)
    change(desk, "DELETE FROM signals")
    change(desk, "DELETE FROM plan_inputs")
    made = explain(desk, "AAPL", session=SECOND)
    (file,), (plan,) = made.of(Step.FILE), made.of(Step.PLAN)
    assert "no row of line" in file.missing
    assert file.facts["weight"] == Decimal("0.4")
    assert "not stored beside it" in plan.missing
    assert made.of(Step.SIZING) == ()
    assert made.of(Step.FILLS)[0].facts["filled_qty"] > 0
    assert "MISSING: " in text_of(made)
    change(desk, "DELETE FROM plans")
    order = made.of(Step.ORDER)[0].facts["client_order_id"]
    bare = explain(desk, order)
    assert "the lake does not hold it" in bare.of(Step.PLAN)[0].missing
    assert bare.of(Step.FILLS)[0].rows
    desk.lake.close()
    desk.ledger.close()


def test_a_file_that_was_rewritten_is_said_to_be(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)
    change(desk, "UPDATE signals SET path = replace(path, ?, ?)", str(past), str(tmp_path))
    file = tmp_path / "trend.csv"
    file.write_text(file.read_text().replace("AAPL,0.4", "AAPL,0.3"))
    (link,) = explain(desk, "AAPL", session=SECOND).of(Step.FILE)
    assert link.facts["file_unchanged"] is False
    assert "another content now" in link.sentences[1]
    file.unlink()
    (link,) = explain(desk, "AAPL", session=SECOND).of(Step.FILE)
    assert link.facts["file_unchanged"] is None
    desk.lake.close()
    desk.ledger.close()


def test_the_newest_pass_and_what_the_account_shows_beside_its_portfolios_are_told(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)

    def reconciled(which: str, day: int, kind: str) -> None:
        change(
            desk, "INSERT INTO reconciliations BY NAME SELECT * REPLACE (? AS pass, ? AS state, ?::TIMESTAMPTZ AS "
            "fetched_at) FROM reconciliations WHERE session = ? LIMIT 1",
            which, which, NOW + timedelta(days=day), SECOND,
        )  # fmt: skip
        change(
            desk, "INSERT INTO breaks BY NAME SELECT 'main' AS portfolio, 'paper' AS account, ?::DATE AS session, "
            "? AS kind, 'MSFT' AS symbol, '10' AS expected, '9' AS found, 'error' AS severity, '' AS remedy, "
            "'test' AS source, ?::TIMESTAMPTZ AS fetched_at, ? AS pass",
            SECOND, kind, NOW, which,
        )  # fmt: skip

    reconciled("third", 2, "newest")
    reconciled("second", 1, "older")
    for qty, told in (("7", "showed what"), ("9.5", "showed 2.5 more than"), ("4", "showed 3 fewer than")):
        change(desk, "UPDATE end_of_day_positions SET qty = '7', broker_qty = ? WHERE session = ?", qty, SECOND)
        made = explain(desk, "MSFT", session=SECOND)
        (position,), (link,) = made.of(Step.POSITION), made.of(Step.RECONCILIATION)
        assert f"the broker {told} the account's portfolios own of it together" in position.sentences[1]
    assert (link.facts["state"], [row["kind"] for row in link.rows]) == ("third", ["newest"])


def test_rows_of_an_account_are_read_once_however_many_sessions_are_told_of(desk: Desk) -> None:
    with sources_of(desk) as sources:
        rows = sources.rows_of(trades, "paper")
        assert rows
        assert sources.rows_of(trades, "paper") is rows
        assert sources.rows_of(trades, "other") == []
