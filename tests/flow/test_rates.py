"""Capital in another currency: converted once, at a stated rate with its age, or not at all."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from scizor_dagster.errors import ConfigError, PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.rates import collect_rates, rate_before
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.settings import Settings
from tests.flow.desks import FIRST, NOW, collected, trade

RATES = "date,rate\n2025-02-27,0.62\n2025-02-28,0.625\n2025-03-01,0.625\n2025-03-03,0.66\n"


def with_foreign_capital(folder: Path, amount: float = 100_000.0, rates: str = RATES, **keys: object) -> Desk:
    """The collected project, with capital stated in AUD and a file of rates."""
    settings: Settings = collected(folder).settings
    path = settings.config_path
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    (path.parent / "audusd.csv").write_text(rates, encoding="utf-8")
    config["fx"] = {"files": [{"base": "AUD", "quote": "USD", "path": "audusd.csv"}], **keys}
    capital = {"amount": amount, "currency": "AUD", "converted_on": "2025-03-03"}
    config["portfolios"]["main"]["capital"] = capital
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return Desk(settings, lambda: NOW)


def test_capital_in_another_currency_is_sized_at_the_rate_known_before_its_day(tmp_path: Path) -> None:
    desk = with_foreign_capital(tmp_path)
    report = collect_rates(desk)
    assert (report.inserted, report.refused["reason"].tolist()) == (3, ["weekend"])
    consolidate_session(desk, "main", FIRST)
    plan = plan_session(desk, "main", FIRST).plan
    assert plan.equity == Decimal("62500.00")
    assert plan.currency == "USD"
    note = "The capital of 100,000.00 AUD is 62,500.00 USD at 0.625 USD for one AUD, of 2025-02-28 (files:audusd.csv"
    assert any(item.startswith(note) for item in plan.notes)
    trade(desk, FIRST)
    # What a later file says changes neither the rate that was stored nor what the portfolio began with.
    (tmp_path / "audusd.csv").write_text(RATES.replace("0.625", "0.65"), encoding="utf-8")
    again = collect_rates(desk)
    assert (again.inserted, again.restated) == (0, ("AUD/USD 2025-02-28",))
    consolidate_session(desk, "main", date(2025, 3, 10))
    assert plan_session(desk, "main", date(2025, 3, 10)).plan.orders


def test_no_rate_or_an_old_one_plans_nothing(tmp_path: Path) -> None:
    desk = with_foreign_capital(tmp_path, rates="date,rate\n2025-02-03,0.62\n")
    consolidate_session(desk, "main", FIRST)
    with pytest.raises(PriceUnavailable, match="no rate of AUD in USD before 2025-03-03"):
        plan_session(desk, "main", FIRST)
    assert collect_rates(desk).stale == ("AUD/USD",)
    with pytest.raises(PriceUnavailable, match="of 2025-02-03, 19 weekdays old"):
        plan_session(desk, "main", FIRST)


def test_converted_capital_that_the_account_does_not_have_is_refused(tmp_path: Path) -> None:
    desk = with_foreign_capital(tmp_path, amount=170_000.0)
    collect_rates(desk)
    consolidate_session(desk, "main", FIRST)
    with pytest.raises(ConfigError, match=r"begin with 106,250\.00 together"):
        plan_session(desk, "main", FIRST)


def test_the_other_way_round_is_one_over_the_rate_and_says_so(tmp_path: Path) -> None:
    desk = with_foreign_capital(tmp_path)
    collect_rates(desk)
    there, back = (rate_before(desk, *pair, FIRST) for pair in (("AUD", "USD"), ("USD", "AUD")))
    assert (there.inverted, back.inverted, back.age) == (False, True, 0)
    assert back.convert(there.convert(Decimal(1000))) == Decimal("1000.00")
    assert "one over the rate of AUD/USD" in back.sentence
    assert rate_before(desk, "USD", "USD", FIRST).rate == 1


def test_a_pair_without_a_file_is_refused_before_anything_runs(tmp_path: Path) -> None:
    desk = with_foreign_capital(tmp_path, files=[])
    with pytest.raises(ConfigError, match=r"no file under fx\.files has the rate between them"):
        consolidate_session(desk, "main", FIRST)
