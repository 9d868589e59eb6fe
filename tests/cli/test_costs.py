"""`scizor costs`: what the asset `performance` has measured of orders, in tables and as JSON."""

import pytest

from tests.cli.conftest import TRADED, Scizor
from tests.projects import Project


def test_costs_are_shown_with_their_parts_their_worst_orders_and_the_model(scizor: Scizor, collected: Project) -> None:
    answer = scizor("costs", "--by", "symbol", "--orders", "--json")
    assert answer.code == 0
    body = answer.json
    assert [group["group"] for group in body["groups"]] == ["AAPL", "MSFT"]
    assert body["total"]["orders"] == len(body["orders"])
    assert {row["arrival_source"] for row in body["orders"]} == {"session open"}
    assert body["total"]["total_bps"] is not None
    assert body["total"]["estimated_bps"] is None, "a month of bars is too little for a volatility"
    assert "are needed" in body["model"]["note"]
    shown = scizor("costs", "--from", TRADED, "--to", TRADED, "--orders")
    assert shown.code == 0
    assert "positive is a cost" in shown.out
    assert "Model for the next session" in shown.out


def test_sessions_without_an_order_say_so(scizor: Scizor, collected: Project) -> None:
    answer = scizor("costs", "--from", "2025-02-10")
    assert answer.code == 0
    assert "No order of portfolio main has been measured" in answer.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--by", "colour"), "Costs are not grouped by 'colour'"),
        (("--from", "2025-02-04", "--to", "2025-02-03"), "2025-02-04 is after 2025-02-03"),
        (("--from", "soon"), "'soon' is not a date"),
        (("--portfolio", "nobody"), "There is no portfolio 'nobody'"),
        ((), "Nothing has been measured yet"),
    ],
)
def test_a_wrong_question_is_refused(scizor: Scizor, fresh: Project, arguments: tuple[str, ...], sentence: str) -> None:
    answer = scizor("costs", *arguments)
    assert answer.code == 2
    assert sentence in answer.sentence
