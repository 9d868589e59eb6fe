"""The section `api`: closed, bounded, and with defaults that need no section."""

import pytest

from scizor_dagster.config import ApiRules, load_config
from scizor_dagster.errors import ConfigError
from tests.projects import small_project


def test_without_the_section_the_services_have_their_defaults(tmp_path):
    found = load_config(small_project(tmp_path).settings.config_path, {}).api
    assert found == ApiRules()
    assert (found.docs, found.hosts, found.requests_per_minute, found.refusals_per_minute) == (True, (), 600, 10)


def test_the_section_is_read_with_its_lists(tmp_path):
    section = {"docs": False, "hosts": ["desk.example"], "max_body_bytes": 1000, "body_seconds": 5}
    found = load_config(small_project(tmp_path, api=section).settings.config_path, {}).api
    assert found == ApiRules(docs=False, hosts=("desk.example",), max_body_bytes=1000, body_seconds=5.0)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"requests_per_minute": 0}, "api.requests_per_minute"),
        ({"max_threads": -1}, "api.max_threads"),
        ({"body_seconds": 0}, "api.body_seconds"),
        ({"hosts": [""]}, "api.hosts[0]"),
        ({"hosts": "desk"}, "api.hosts"),
        ({"docs": "no"}, "api.docs"),
        ({"dagster_url": "127.0.0.1:3000"}, "api.dagster_url"),
        ({"dagster_url": "http://user:password@127.0.0.1:3000"}, "api.dagster_url"),
        ({"strategy_code": "on"}, "api.strategy_code"),
        ({"max_backtest_cells": 0}, "api.max_backtest_cells"),
        ({"cors": ["*"]}, "'cors' is not a known key"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_by_its_key_and_no_login_is_shown(tmp_path, section, key):
    with pytest.raises(ConfigError) as refused:
        load_config(small_project(tmp_path, api=section).settings.config_path, {})
    assert key in str(refused.value)
    assert "password" not in str(refused.value)
