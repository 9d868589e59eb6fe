"""An account of the configuration whose calls go wrong by a script."""

from datetime import UTC, datetime

import pytest

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.errors import BrokerUnavailable, ConfigError
from scizor_dagster.flow.desk import Desk
from tests.projects import small_project


@pytest.fixture
def desk(tmp_path):
    project = small_project(tmp_path, accounts={"paper": {"exchange": {"faults": "faults.yaml"}}})
    return Desk.from_environment(project.environment, lambda: datetime(2025, 2, 3, 12, tzinfo=UTC))


def rules(desk, text):
    (desk.config.folder / "faults.yaml").write_text(text)


def test_the_calls_of_a_paper_account_meet_its_script_and_are_counted_over_all_its_brokers(desk):
    rules(desk, "rules: [{door: in_process, call: account, nth: 2, kind: server_error}]")
    assert desk.broker("paper", "us").account().cash == 100_000
    with pytest.raises(BrokerUnavailable, match="server_error"):
        desk.broker("paper", "us").account()
    assert desk.broker("paper", "us").account().cash == 100_000


def test_a_script_that_is_not_there_or_cannot_be_used_is_named(desk):
    with pytest.raises(ConfigError, match=r"faults\.yaml: The file does not exist"):
        desk.broker("paper", "us")
    rules(desk, "rules: [{door: in_process, kind: bust, nth: 1}]")
    with pytest.raises(ConfigError, match="'bust' cannot be met in process"):
        desk.broker("paper", "us")


def test_an_account_without_a_script_is_the_exchange_itself(tmp_path):
    desk = Desk.from_environment(small_project(tmp_path).environment, lambda: datetime(2025, 2, 3, tzinfo=UTC))
    assert isinstance(desk.broker("paper", "us"), PaperBroker)
