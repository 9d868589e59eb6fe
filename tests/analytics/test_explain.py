"""Words and tables of an explanation, and what a comparison of rows finds, without any store."""

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from scizor_dagster.analytics.explain.model import Explanation, Link, Step, exact_amount, moment, number, plain_values
from scizor_dagster.analytics.explain.reasons import reason_sentence
from scizor_dagster.analytics.explain.sizing import sizings
from scizor_dagster.analytics.explain.text import lines_of, table_lines
from scizor_dagster.analytics.replays import Finding, canonical, compared, sha256
from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.model import PlanLine, Reason
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE, inputs_of, ruled_book

LINE = PlanLine(
    "AAA", "AAA.XNAS", Decimal(10), Decimal("0.1"), Decimal("20.00"), date(2025, 3, 7), "t", Decimal(12), Decimal(2),
    Reason.REBALANCE,
)  # fmt: skip


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_sentence_with_no_gap_in_it(reason: Reason) -> None:
    for line in (LINE, LINE._replace(price=None, target_qty=None)):
        said = reason_sentence(line._replace(reason=reason))
        assert said.endswith(".")
        assert "{" not in said
        assert "None" not in said


def test_a_change_below_the_minimum_is_told_with_its_worth() -> None:
    said = reason_sentence(LINE._replace(reason=Reason.BELOW_MIN_NOTIONAL))
    assert said == "To buy 2 is worth 40.00, less than the minimum of an order, so nothing is ordered."


def archive_of(weights: dict[str, float], holdings: dict[str, float], **rules: object) -> PlanArchive:
    inputs = inputs_of(weights, {"AAA": 20, "BBB": 50}, holdings)
    return PlanArchive(inputs, PlanningRules(**rules), ALPACA_LIKE)


def test_a_holding_inside_the_band_is_told_with_its_distance_and_the_width() -> None:
    archive = archive_of({"AAA": 0.1}, {"AAA": 510}, band_absolute=Decimal("0.01"))
    (line,) = archive.plan().lines
    assert line.reason is Reason.INSIDE_BAND
    assert reason_sentence(line, sizings(archive)["AAA"]) == (
        "What is held is worth 10,200.00 and its target 10,000.00: the difference of 200.00 is within the no-trade "
        "band of 1,000.00 on each side, so nothing is ordered."
    )


def test_the_numbers_of_a_line_are_those_that_the_planner_sized_it_on() -> None:
    looked = 0
    for seed in range(120):
        inputs, rules, capabilities = ruled_book(seed)
        archive = PlanArchive(inputs, rules, capabilities)
        found = sizings(archive)
        for line in make_plan(inputs, rules, capabilities).lines:
            sizing = found[line.symbol]
            assert (sizing.weight, sizing.held, sizing.working) == (
                line.target_weight,
                line.current_qty,
                line.working_qty,
            )
            plain = not line.note and len(str(line.target_weight)) < 15 and not rules.slippage_allowance_pct
            if plain and line.target_qty and sizing.rounded is not None:
                assert sizing.rounded == line.target_qty
                looked += 1
    assert looked > 40


def test_a_table_that_is_too_wide_is_wrapped_and_loses_no_word() -> None:
    rows = [{"name": "an id " * 20, "other": "words " * 30, "n": Decimal("1.50")}, {"extra": None}]
    lines = list(table_lines(rows, 80))
    assert max(map(len, lines)) <= 80
    assert " ".join(lines).count("words") == 30
    assert "1.5" in " ".join(lines)


def test_an_explanation_says_what_is_missing_and_is_not_complete_then() -> None:
    link = Link(Step.FILE, "Weight file", "lake: signals", ("one.",), {"line": 2}, missing="Gone.")
    whole = Explanation("line", "AAPL", "main", "paper", date(2025, 3, 3), 7, (replace(link, missing=""),))
    assert whole.to_json()["complete"] is True
    partly = replace(whole, links=(link,))
    assert partly.to_json()["complete"] is False
    assert "    MISSING: Gone." in list(lines_of(partly))


def test_values_are_told_exactly_and_instants_in_utc() -> None:
    assert [number(Decimal(text)) for text in ("1.500", "1E+2", "-0", "0.0")] == ["1.5", "100", "0", "0"]
    assert number(None) == ""
    assert exact_amount(Decimal("1234567.5000")) == "1,234,567.5"
    at = datetime(2025, 3, 3, 9, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert moment(at) == "2025-03-03 14:30:00 UTC"
    assert plain_values({"a": Decimal("2.0"), "b": (date(2025, 1, 2),), "c": {"d": Reason.OPEN}}) == {
        "a": "2", "b": ["2025-01-02"], "c": {"d": "open"},
    }  # fmt: skip


def test_rows_are_compared_by_key_and_field_to_the_last_digit() -> None:
    stored = [{"k": "a", "v": "1.0"}, {"k": "b", "v": "2"}, {"k": "d", "v": "4"}, {"k": "d", "v": "4"}]
    wanted = [{"k": "a", "v": "1"}, {"k": "c", "v": "3"}, {"k": "d", "v": "4"}]
    found = [item.sentence for item in compared("t", ["k"], stored, wanted)]
    assert found == [
        "t: a: v is 1.0, and must be 1.",
        "t: b: is there, and must be absent. Nothing has put this row there.",
        "t: c: is absent, and must be there. The row was taken out.",
        "t: d: is there 2 times, and must be there once.",
    ]


def test_a_canonical_text_knows_no_order_of_rows_and_every_digit() -> None:
    one, two = {"k": "a", "v": Decimal("1.0")}, {"k": "b", "v": None}
    assert sha256(canonical({"t": [one, two]})) == sha256(canonical({"t": [two, one]}))
    assert canonical({"t": [one]}) != canonical({"t": [one | {"v": Decimal("1.00")}]})


def test_information_is_told_as_what_was_and_is() -> None:
    told = Finding("bars", "AAPL", "close", "5", "4", "information", "Restated.")
    assert told.sentence == "bars: AAPL: close was 4, and is 5 now. Restated."
