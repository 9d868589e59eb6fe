"""The section `notifications`: who is told what, what is off, and addresses that are shown nowhere."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.config import Config, load_config
from scizor_dagster.errors import ConfigError
from tests.projects import small_project

TOKEN = "7c4f-hidden-token-99"


def load(folder: Path, section: Any, name: str = "notifications") -> Config:
    project = small_project(folder)
    path = project.settings.config_path
    config = yaml.safe_load(path.read_text(encoding="utf-8")) | {name: section}
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return load_config(path, {**project.environment, "MY_PHONE": f"tgram://{TOKEN}/1"})


def refusal(folder: Path, section: Any, name: str = "notifications") -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, section, name)
    return str(caught.value)


def test_nobody_is_told_and_quiet_events_are_off_unless_something_is_said(tmp_path: Path) -> None:
    rules = load(tmp_path, {}).notifications
    assert not rules.tells_somebody
    assert [event for event in ("run_failed", "held_for_human", "break", "halt", "watchdog") if rules.is_on(event)] == [
        "run_failed", "held_for_human", "break", "halt", "watchdog",
    ]  # fmt: skip
    assert not rules.is_on("daily_summary")
    assert not rules.is_on("all_well")


def test_each_event_is_switched_and_each_target_takes_what_it_names(tmp_path: Path) -> None:
    rules = load(
        tmp_path,
        {
            "targets": ["${MY_PHONE}", {"url": "json://127.0.0.1:9/a", "events": ["break", "halt"]}],
            "program": ["./tell.sh", "now"],
            "events": {"halt": False, "daily_summary": True},
        },
    ).notifications
    assert [target.name(place) for place, target in enumerate(rules.targets)] == ["MY_PHONE", "json_2"]
    assert [target.events for target in rules.targets] == [None, ("break", "halt")]
    assert (rules.is_on("halt"), rules.is_on("daily_summary"), rules.is_on("break")) == (False, True, True)
    assert rules.program == ("./tell.sh", "now")


def test_an_address_stays_a_name_in_the_configuration_and_is_never_shown(tmp_path: Path) -> None:
    config = load(tmp_path, {"targets": ["${MY_PHONE}", f"json://127.0.0.1/{TOKEN}"]})
    assert config.notifications.targets[0].url.get_secret_value() == "${MY_PHONE}"
    assert TOKEN not in repr(config)
    assert TOKEN not in config.model_dump_json()
    assert TOKEN not in json.dumps(config.model_dump(), default=str)


@pytest.mark.parametrize(
    "targets",
    [
        f"tgram://{TOKEN}",
        [TOKEN],
        [{"url": TOKEN}],
        [{"url": f"tgram://{TOKEN}", "event": ["halt"]}],
        [{f"tgram://{TOKEN}": None}],
        [{"url": f"tgram://{TOKEN}", "events": "halt"}],
        [{"url": f"tgram://{TOKEN}", "events": ["halted"]}],
        [{"url": [TOKEN]}],
        [f"json://{TOKEN}@host", [TOKEN]],
        {"phone": TOKEN},
    ],
)
def test_an_address_that_is_written_wrongly_is_refused_with_its_place_and_without_its_text(
    tmp_path: Path, targets: Any
) -> None:
    said = refusal(tmp_path, {"targets": targets})
    assert "notifications.targets" in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"program": []}, "notifications.program"),
        ({"program": "mail me"}, "notifications.program"),
        ({"events": {"halted": True}}, "notifications.events"),
        ({"events": {"halt": "on"}}, "notifications.events.halt"),
        ({"timeout_seconds": 0}, "notifications.timeout_seconds"),
        ({"timeout_seconds": 60}, "notifications.timeout_seconds"),
        ({"target": ["x"]}, "'target' is not a known key"),
        ({"targets": ["${MY_PHONE}", "${MY_PHONE}"]}, "the target MY_PHONE stands twice"),
    ],
)
def test_a_key_that_means_nothing_is_named(tmp_path: Path, section: dict[str, Any], words: str) -> None:
    assert words in refusal(tmp_path, section)


@pytest.mark.parametrize(
    ("key", "value", "successor"),
    [
        ("notify", ["/usr/bin/mail"], "notifications.program"),
        ("notify_when", "always", "notifications.events: {all_well: true}"),
        ("notify_timeout_seconds", 5.0, "notifications.timeout_seconds"),
    ],
)
def test_what_the_watchdog_said_is_refused_with_where_it_is_said_now(
    tmp_path: Path, key: str, value: Any, successor: str
) -> None:
    said = refusal(tmp_path, {key: value}, "watchdog")
    assert f"watchdog.{key} has moved." in said
    assert successor in said
    assert "config.yaml:" in said
