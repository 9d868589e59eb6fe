"""`scizor rates`: what is in doubt and why, and a person's word for one rate."""

import yaml

from scizor_dagster.cli import dates
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.rate_files import collect_rates
from tests.cli.conftest import Scizor
from tests.projects import Project


def test_a_rate_in_doubt_is_listed_and_accepted(scizor: Scizor, fresh: Project) -> None:
    path = fresh.settings.config_path
    config = yaml.safe_load(path.read_text())
    config["fx"] = {"files": [{"base": "EUR", "quote": "CHF", "path": "eurchf.csv"}]}
    path.write_text(yaml.safe_dump(config))
    (path.parent / "eurchf.csv").write_text(
        "date,rate\n2015-01-12,1.2\n2015-01-13,.\n2015-01-14,1.2\n2015-01-15,1.03\n"
    )
    assert scizor("rates", "doubtful").code == 2, "there is nothing yet, and looking creates nothing"
    desk = Desk(fresh.settings, dates.now)
    collect_rates(desk)
    desk.lake.close()
    blank, jump = scizor("rates", "doubtful", "--json").json["rates"]
    assert (blank["rate"], blank["detail"]) == (None, "the rate is .")
    assert (jump["session"], jump["reason"]) == ("2015-01-15", "rate_jump")
    assert (
        "no pair of currencies" in scizor("rates", "accept", "EURCHF", "--date", "2015-01-15", "--reason", "x").sentence
    )
    never = scizor("rates", "accept", "EUR/CHF", "--date", "2015-01-13", "--reason", "x")
    assert (never.code, "bad_rate (the rate is .)" in never.sentence) == (2, True)
    accepting = ("rates", "accept", "EUR/CHF", "--date", "2015-01-15", "--reason", "the floor", "--by", "ann")
    answer = scizor(*accepting)
    assert answer.code == 0
    assert "1.03 CHF for one EUR on 2015-01-15" in answer.out
    again = scizor(*accepting, "--json")
    assert (again.code, again.json["problem"]) == (2, "There is no rate to accept.")
    assert collect_rates(Desk(fresh.settings, dates.now)).inserted == 1
