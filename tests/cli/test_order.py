"""`scizor order`: placing by hand, taking back, and seeing all that there are."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.cli.conftest import TRADED, UNNAMED, Scizor
from tests.projects import Project

DAY = ("--date", str(UNNAMED))
BUY = ("order", "place", "META", "--side", "buy", "--quantity", "10", "--reason", "a tip", "--by", "ann", *DAY)


@pytest.fixture
def taking(collected: Project) -> Project:
    """A project whose portfolio absorbs what is placed by hand."""
    path = collected.settings.config_path
    config = yaml.safe_load(path.read_text())
    config["portfolios"]["main"]["manual_orders"] = "absorb"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return collected


def test_an_order_is_looked_at_placed_once_listed_shown_and_explained(taking: Project, scizor: Scizor) -> None:
    key = ("--idempotency-key", "k-1")
    looked = scizor(*BUY, *key, "--dry-run", "--json")
    assert (looked.code, looked.json["state"], looked.json["verdicts"]) == (
        0,
        "planned",
        [{"decision": "passed", "sentence": "passed"}],
    )
    placed = scizor(*BUY, *key, "--yes", "--json").json
    assert (placed["state"], placed["created"], placed["plan_id"]) == ("filled", True, looked.json["plan_id"])
    again = scizor(*BUY, *key, "--yes", "--json").json
    assert again == placed | {"created": False, "notes": again["notes"]}
    other = scizor(*BUY, "--limit", "9", *key, "--yes")
    assert (other.code, "limit_price is 9 and was not given" in other.sentence) == (2, True)
    name = placed["orders"][0]["client_order_id"]
    (listed,) = scizor("order", "list", "--manual", "--json").json["orders"]
    assert (listed["client_order_id"], listed["actor"], listed["origin"]) == (name, "ann", "manual")
    assert name in scizor("order", "list", "--portfolio", "main").out
    assert scizor("order", "list", *DAY).out.count("manual") == 1
    assert "no such orders" in scizor("order", "list", "--manual", "--date", str(TRADED)).out
    shown = scizor("order", "show", name)
    assert "ann" in shown.out
    assert f"scizor explain {name}" in shown.out
    assert scizor("order", "show", name, "--json").json["fills"]
    told = scizor("explain", "k-1").out
    assert "ann asked for it at" in told
    ended = scizor("order", "cancel", name, "--reason", "too late", "--json").json
    assert (ended["state"], ended["asked_by"]) == ("filled", "")


def test_a_person_is_shown_the_order_and_asked(
    taking: Project, scizor: Scizor, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = scizor(*BUY)
    assert (nobody.code, "Nobody can be asked here" in nobody.sentence) == (2, True)
    assert "The checks let it go out." in nobody.out
    _answers(monkeypatch, yes=False)
    assert scizor(*BUY).code == 1
    assert "no such orders" in scizor("order", "list", "--manual").out
    _answers(monkeypatch, yes=True)
    placed = scizor(*BUY)
    assert placed.code == 0
    assert re.search(r"Idempotency key [0-9a-f]{32}\. The next rebalance trades it back to the targets\.", placed.out)


def _answers(monkeypatch: pytest.MonkeyPatch, *, yes: bool) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: Callable[..., Any] = lambda *_, **__: yes  # noqa: E731
    monkeypatch.setattr("typer.confirm", asked)


def test_a_portfolio_says_first_what_becomes_of_orders_by_hand(collected: Project, scizor: Scizor) -> None:
    refused = scizor(*BUY, "--yes", "--json")
    assert refused.code == 2
    assert refused.json["problem"] == "Portfolio 'main' takes no orders by hand."
    assert "portfolios.main.manual_orders" in refused.json["remedy"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("order", "place", "META", "--side", "buy", "--quantity", "ten", "--reason", "r"), "'ten' is no amount"),
        (("order", "cancel", "nothing", "--reason", "r", "--yes"), "There is no order 'nothing'"),
        (("order", "show", "nothing"), "There is no order 'nothing'"),
    ],
)
def test_a_wrong_call_is_refused(collected: Project, scizor: Scizor, words: tuple[str, ...], said: str) -> None:
    answer = scizor(*words)
    assert (answer.code, said in answer.sentence) == (2, True)
