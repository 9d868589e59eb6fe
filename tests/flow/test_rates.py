"""Capital in another currency: converted once, at a stated rate with its age, or not at all."""

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from scizor_dagster.errors import ConfigError, InputError, PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import cancel_open_orders, execution_parts
from scizor_dagster.flow.money import require_same_capital
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.rate_files import accept_doubtful_rate, collect_rates, doubtful_rates
from scizor_dagster.flow.rates import rate_before
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.ledger.acceptances import RATE
from scizor_dagster.ledger.conversions import KIND, conversion_of
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.tables import events
from tests.flow.desks import FIRST, NOW, SECOND, collected, trade
from tests.projects import project_at


def _restated(desk: Desk, **changes: object) -> Desk:
    """The desk with keys of the capital changed; None takes one out."""
    config = yaml.safe_load(desk.settings.config_path.read_text(encoding="utf-8"))
    capital = config["portfolios"]["main"]["capital"] | changes
    config["portfolios"]["main"]["capital"] = {name: value for name, value in capital.items() if value is not None}
    config["fx"]["files"] = [{"base": base, "quote": "USD", "path": "audusd.csv"} for base in ("AUD", "NZD")]
    folder = desk.settings.config_path.parent
    (folder / "restated.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return Desk(replace(desk.settings, config_path=folder / "restated.yaml"), lambda: NOW)


RATES = "date,rate\n2025-02-27,0.62\n2025-02-28,0.625\n2025-03-01,0.625\n2025-03-03,0.66\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rates")
    collected(folder)
    return folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def traded(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun") / "project"
    shutil.copytree(prepared, folder)
    desk = with_foreign_capital(folder, amount=10_000.0)
    collect_rates(desk)
    trade(desk, FIRST)
    desk.lake.close()
    desk.ledger.close()
    return folder


@pytest.fixture
def begun(traded: Path, tmp_path: Path) -> Desk:
    """With capital of 10,000 AUD that was converted to 6,250 USD, and no rate any more."""
    shutil.copytree(traded, tmp_path, dirs_exist_ok=True)
    desk = Desk(project_at(tmp_path).settings, lambda: NOW)
    with desk.lake.write() as cursor:
        cursor.execute("DELETE FROM fx_rates")
    return desk


def with_foreign_capital(folder: Path, amount: float = 100_000.0, rates: str = RATES, **keys: object) -> Desk:
    """The collected project, with capital stated in AUD and a file of rates."""
    settings = project_at(folder).settings
    path = settings.config_path
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    (path.parent / "audusd.csv").write_text(rates, encoding="utf-8")
    config["fx"] = {"files": [{"base": "AUD", "quote": "USD", "path": "audusd.csv"}], **keys}
    capital = {"amount": amount, "currency": "AUD", "converted_on": "2025-03-03"}
    config["portfolios"]["main"]["capital"] = capital
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return Desk(settings, lambda: NOW)


def test_capital_in_another_currency_is_sized_at_the_rate_known_before_its_day(project: Path) -> None:
    desk = with_foreign_capital(project)
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
    (project / "audusd.csv").write_text(RATES.replace("0.625", "0.65"), encoding="utf-8")
    again = collect_rates(desk)
    assert (again.inserted, again.restated) == (0, ("AUD/USD 2025-02-28",))
    consolidate_session(desk, "main", date(2025, 3, 10))
    assert plan_session(desk, "main", date(2025, 3, 10)).plan.orders


def test_once_begun_a_portfolio_asks_for_no_rate(begun: Desk) -> None:
    with begun.ledger.read() as connection:
        recorded = conversion_of(connection, "paper", "main")
    assert recorded is not None
    assert (recorded.amount, recorded.currency, recorded.capital) == (10_000, "AUD", Decimal(6_250))
    consolidate_session(begun, "main", SECOND)
    plan = plan_session(begun, "main", SECOND).plan
    assert plan.orders
    assert recorded.sentence in plan.notes


def test_capital_that_was_converted_is_compared_as_it_was_stated(begun: Desk) -> None:
    require_same_capital(begun, "main")
    for change in ({"amount": 10_001.0}, {"converted_on": "2025-03-04"}, {"currency": "NZD"}):
        with pytest.raises(ConfigError, match=r"began with 6,250\.00, and its capital is now") as caught:
            require_same_capital(_restated(begun, **change), "main")
        assert "or to 6250.00 in the market's currency" in caught.value.remedy
    require_same_capital(_restated(begun, amount=6_250.0, currency=None, converted_on=None), "main")


def test_a_ledger_without_a_recorded_conversion_goes_by_the_amount_that_it_gives(begun: Desk) -> None:
    with begun.ledger.transaction() as connection:
        connection.execute(events.delete().where(events.c.kind == KIND))
    with pytest.raises(ConfigError, match="began with"):
        require_same_capital(begun, "main")
    collect_rates(begun)
    require_same_capital(begun, "main")


def test_a_portfolio_that_waits_for_its_rate_stops_no_other_of_its_account(begun: Desk) -> None:
    path = begun.settings.config_path
    config = yaml.safe_load(path.read_text())
    waiting = deepcopy(config["portfolios"]["main"])
    waiting["capital"]["converted_on"] = "2025-06-02"
    config["portfolios"] = {"another": waiting, **config["portfolios"]}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    desk = Desk(begun.settings, lambda: NOW)
    with pytest.raises(PriceUnavailable):
        require_same_capital(desk, "another")
    require_same_capital(desk, "main")
    assert execution_parts(desk, "main", "test")["siblings"] == {}
    assert cancel_open_orders(desk, "paper").note == ""


def test_a_stored_rate_is_corrected_by_a_persons_word_and_what_it_was_is_kept(project: Path) -> None:
    desk = with_foreign_capital(project, rates="date,rate\n2025-02-27,62.0\n")
    assert collect_rates(desk).inserted == 1
    (project / "audusd.csv").write_text(RATES, encoding="utf-8")
    report = collect_rates(desk)
    assert (report.inserted, set(report.refused["reason"])) == (0, {"rate_jump", "weekend"})
    with pytest.raises(InputError, match="No reason is given"):
        accept_doubtful_rate(desk, "AUD", "USD", date(2025, 2, 27), reason=" ", actor="ann")
    for day in (date(2025, 2, 26), date(2025, 3, 1)):
        with pytest.raises(InputError, match="no rate to accept"):
            accept_doubtful_rate(desk, "AUD", "USD", day, reason="x", actor="ann")
    assert accept_doubtful_rate(desk, "AUD", "USD", date(2025, 2, 27), reason="unit", actor="ann") == 0.62
    report = collect_rates(desk)
    assert (report.inserted, report.corrected, report.restated) == (2, ("AUD/USD 2025-02-27",), ())
    assert doubtful_rates(desk)["reason"].tolist() == ["weekend"]
    assert rate_before(desk, "AUD", "USD", date(2025, 2, 28)).rate == Decimal("0.62")
    with desk.ledger.read() as connection:
        (payload,) = connection.execute(sa.select(events.c.payload).where(events.c.kind == RATE)).scalars()
        assert verify_chain(connection) == []
    assert {name: json.loads(payload)[name] for name in ("replaces", "rate", "actor", "reason")} == {
        "replaces": "62.0",
        "rate": "0.62",
        "actor": "ann",
        "reason": "unit",
    }


def test_a_rate_is_held_against_the_stored_rate_of_the_inverse_pair(project: Path) -> None:
    desk = with_foreign_capital(project)
    collect_rates(desk)
    config = yaml.safe_load(desk.settings.config_path.read_text())
    config["fx"]["files"] = [{"base": "USD", "quote": "AUD", "path": "usdaud.csv"}]
    desk.settings.config_path.write_text(yaml.safe_dump(config))
    (project / "usdaud.csv").write_text("date,rate\n2025-02-27,1.65\n2025-02-28,1.60\n", encoding="utf-8")
    report = collect_rates(Desk(desk.settings, lambda: NOW))
    assert (report.inserted, report.refused["reason"].tolist()) == (1, ["inverse_disagrees"])


def test_a_wrong_row_of_one_file_does_not_take_the_inverse_pairs_rate_along(project: Path) -> None:
    desk = with_foreign_capital(project, rates="date,rate\n2025-02-26,0.62\n2025-02-27,6.2\n2025-02-28,0.62\n")
    config = yaml.safe_load(desk.settings.config_path.read_text())
    config["fx"]["files"].append({"base": "USD", "quote": "AUD", "path": "usdaud.csv"})
    desk.settings.config_path.write_text(yaml.safe_dump(config))
    (project / "usdaud.csv").write_text("date,rate\n2025-02-27,1.6129\n2025-02-28,1.6129\n", encoding="utf-8")
    report = collect_rates(Desk(desk.settings, lambda: NOW))
    assert (report.inserted, report.refused["reason"].tolist()) == (4, ["rate_jump"])


def test_no_rate_or_an_old_one_plans_nothing(project: Path) -> None:
    desk = with_foreign_capital(project, rates="date,rate\n2025-02-03,0.62\n")
    consolidate_session(desk, "main", FIRST)
    with pytest.raises(PriceUnavailable, match="no rate of AUD in USD before 2025-03-03"):
        plan_session(desk, "main", FIRST)
    assert collect_rates(desk).stale == ("AUD/USD",)
    with pytest.raises(PriceUnavailable, match="of 2025-02-03, 19 weekdays old"):
        plan_session(desk, "main", FIRST)


def test_converted_capital_that_the_account_does_not_have_is_refused(project: Path) -> None:
    desk = with_foreign_capital(project, amount=170_000.0)
    collect_rates(desk)
    consolidate_session(desk, "main", FIRST)
    with pytest.raises(ConfigError, match=r"begin with 106,250\.00 together"):
        plan_session(desk, "main", FIRST)


def test_the_other_way_round_is_one_over_the_rate_and_says_so(project: Path) -> None:
    desk = with_foreign_capital(project)
    collect_rates(desk)
    there, back = (rate_before(desk, *pair, FIRST) for pair in (("AUD", "USD"), ("USD", "AUD")))
    assert (there.inverted, back.inverted, back.age) == (False, True, 0)
    assert back.convert(there.convert(Decimal(1000))) == Decimal("1000.00")
    assert "one over the rate of AUD/USD" in back.sentence
    assert rate_before(desk, "USD", "USD", FIRST).rate == 1


def test_a_pair_without_a_file_is_refused_before_anything_runs(project: Path) -> None:
    desk = with_foreign_capital(project, files=[])
    with pytest.raises(ConfigError, match=r"no file under fx\.files has the rate between them"):
        consolidate_session(desk, "main", FIRST)
