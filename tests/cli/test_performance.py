"""`scizor performance`: what a person reads of measured sessions, and what a program does."""

from decimal import Decimal

import pytest

from tests.cli.conftest import NEXT, TRADED, Scizor
from tests.projects import Project


def test_a_program_gets_amounts_as_text_and_null_for_what_is_not_defined(scizor: Scizor, collected: Project) -> None:
    found = scizor("performance", "--json", "--by", "strategy").json
    assert (found["first"], found["last"], found["sessions"]) == (TRADED.isoformat(), TRADED.isoformat(), 1)
    gain = Decimal(str(found["equity"])) - 100_000
    assert float(found["profit"]["profit"]) == pytest.approx(float(gain), abs=1e-6)
    assert found["time_weighted_return"] == pytest.approx(float(gain) / 100_000)
    assert found["money_weighted_return"] == pytest.approx(found["time_weighted_return"])
    assert [row["strategy"] for row in found["profits"]] == ["weekly"]
    assert found["exposure"]["gross"] == pytest.approx(found["exposures"]["weekly"]["gross"])
    assert (found["ratios"]["sharpe_ratio"], found["benchmark"], found["benchmark_ratios"]) == (None, None, {})
    assert "1 sessions have a return; figures of a year and ratios need 20." in found["notes"]


@pytest.mark.parametrize(("by", "named"), [("instrument", "AAPL"), ("sector", "Technology"), ("strategy", "weekly")])
def test_a_person_reads_tables_and_what_is_missing(scizor: Scizor, collected: Project, by: str, named: str) -> None:
    said = scizor("performance", "--by", by)
    assert said.code == 0
    text = " ".join(said.out.split())
    for words in (f"Profits by {by}", named, "time-weighted return", "gross", "No benchmark is configured"):
        assert words in text
    assert "nan" not in text


def test_a_period_of_which_nothing_was_measured_is_said_and_nothing_is_created(scizor: Scizor, fresh: Project) -> None:
    said = scizor("performance")
    assert said.code == 2
    assert "No session of portfolio 'main' was measured." in said.sentence
    assert not fresh.home.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from", NEXT], f"from {NEXT} was measured"),
        (["--from", NEXT, "--to", TRADED], f"{NEXT} is after {TRADED}"),
        (["--portfolio", "other"], "There is no portfolio 'other'"),
        (["--by", "colour"], "colour"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    scizor: Scizor, collected: Project, options: list[object], words: str
) -> None:
    said = scizor("performance", *options)
    assert said.code == 2
    assert words in said.sentence
