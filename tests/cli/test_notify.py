"""`scizor notify`: who is told what, whether a test arrives, and that no address is ever printed."""

import json
import logging
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Scizor
from tests.notifications.listener import listening
from tests.projects import Project

TOKEN = "7c4f-hidden-token-99"


@pytest.fixture
def project(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    path = fresh.settings.config_path
    rules = {
        "targets": ["${MY_PHONE}", {"url": f"json://127.0.0.1:9/{TOKEN}", "events": ["break"]}],
        "events": {"daily_summary": True, "halt": False},
    }
    config = yaml.safe_load(path.read_text(encoding="utf-8")) | {"notifications": rules}
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    monkeypatch.setenv("MY_PHONE", f"json://127.0.0.1:9/{TOKEN}")
    return fresh


def test_it_says_who_is_told_what_without_any_address(scizor: Scizor, project: Project) -> None:
    answer = scizor("notify", "--json")
    assert answer.code == 0
    assert answer.json["targets"] == [
        {
            "target": "MY_PHONE",
            "kind": "json://***",
            "events": ["run_failed", "held_for_human", "break", "watchdog", "daily_summary"],
        },
        {"target": "json_2", "kind": "json://***", "events": ["break"]},
    ]
    table = scizor("notify")
    assert "Switched off: halt, all_well." in table.out
    assert TOKEN not in answer.out + answer.err + table.out + table.err


def test_a_test_says_for_each_target_whether_it_went_and_leaks_nothing(
    scizor: Scizor, project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    with listening() as listener:
        monkeypatch.setenv("MY_PHONE", listener.url(TOKEN))
        answer = scizor("notify", "--test", "--json")
    assert answer.code == 1
    assert [(item["target"], item["went"]) for item in answer.json["targets"]] == [
        ("MY_PHONE", True),
        ("json_2", False),
    ]
    assert answer.json["targets"][1]["failure"] == "json_2 was not told: it cannot be reached."
    assert listener.titles == ["Scizor: a test"]
    assert listener.paths == [f"/{TOKEN}"]
    assert TOKEN not in answer.out + answer.err + caplog.text
    assert not project.home.exists()


def test_a_test_that_arrives_everywhere_ends_with_exit_code_0(
    scizor: Scizor, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.settings.config_path
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["notifications"] = {"targets": [{"url": "${MY_PHONE}", "events": ["break"]}]}
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    with listening() as listener:
        monkeypatch.setenv("MY_PHONE", listener.url())
        answer = scizor("notify", "--test")
    assert answer.code == 0
    assert "MY_PHONE" in answer.out
    assert listener.titles == ["Scizor: a test"]


def test_a_variable_that_is_unset_is_named(scizor: Scizor, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_PHONE")
    answer = scizor("notify", "--test", "--json")
    assert answer.code == 1
    assert "the environment variable MY_PHONE is unset or empty" in answer.json["targets"][0]["failure"]


@pytest.mark.parametrize("option", [(), ("--test",)])
def test_where_nobody_is_configured_it_says_so(scizor: Scizor, fresh: Project, option: tuple[str, ...]) -> None:
    answer = scizor("notify", *option)
    assert answer.code == 0
    assert "No target is configured: nothing was sent" in " ".join(answer.out.split())
    assert json.loads(scizor("notify", *option, "--json").out)["targets"] == []
