"""Fault scripts: which call meets which fault, and what a script must not say."""

import pytest

from scizor_dagster.errors import ConfigError
from scizor_dagster.paper_exchange.faults import FaultKind, FaultScript

LOST = {"door": "alpaca", "call": "submit_order", "kind": "reply_lost_after"}


def met(script: FaultScript, count: int, call: str = "submit_order", door: str = "alpaca") -> list[str | None]:
    found = [script.next(door, call) for _ in range(count)]
    return [fault.kind if fault else None for fault in found]


def test_the_nth_call_meets_its_fault_and_no_other():
    script = FaultScript.of({**LOST, "nth": 2})
    assert met(script, 4) == [None, "reply_lost_after", None, None]


def test_every_nth_call_meets_it_again_and_again():
    assert met(FaultScript.of({**LOST, "every": 2}), 4) == [None, "reply_lost_after"] * 2


def test_other_calls_and_other_doors_are_not_counted():
    script = FaultScript.of({**LOST, "nth": 1})
    assert met(script, 1, call="get_account") == met(script, 1, door="tws") == [None]
    assert met(script, 1) == ["reply_lost_after"]


def test_a_star_is_every_call_of_the_door():
    script = FaultScript.of({"door": "tws", "call": "*", "nth": 2, "kind": "reset"})
    assert met(script, 1, "place_order", "tws") == [None]
    assert met(script, 1, "cancel_order", "tws") == ["reset"]


def test_chance_is_the_same_for_the_same_seed():
    rules = {**LOST, "probability": 0.5}
    once, again, other = (met(FaultScript.of(rules, seed=seed), 60) for seed in (1, 1, 2))
    assert once == again != other
    assert set(once) == {None, "reply_lost_after"}


def test_the_first_rule_that_applies_is_met_and_the_second_has_counted_the_call():
    script = FaultScript.of({**LOST, "nth": 1}, {**LOST, "nth": 2, "kind": "hang"})
    assert met(script, 2) == ["reply_lost_after", "hang"]


def test_a_script_is_read_from_yaml_with_its_details(tmp_path):
    path = tmp_path / "faults.yaml"
    rule = "  - {door: alpaca, call: get_order, nth: 1, kind: server_error, detail: {status: 500}}"
    path.write_text(f"seed: 3\nrules:\n{rule}\n")
    fault = FaultScript.read(path, {}).next("alpaca", "get_order")
    assert fault is not None
    assert (fault.kind, dict(fault.detail)) == (FaultKind.SERVER_ERROR, {"status": 500})


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{door: alpaca, nth: 1, kind: hangs}", "'hangs' is no fault"),
        ("{door: alpaca, kind: hang}", "exactly one of nth, every and probability"),
        ("{door: alpaca, nth: 1, every: 2, kind: hang}", "exactly one of nth, every and probability"),
        ("{door: ftp, nth: 1, kind: hang}", "door"),
        ("{door: alpaca, nth: 0, kind: hang}", "greater than or equal to 1"),
        ("{door: alpaca, probability: 1.5, kind: hang}", "less than or equal to 1"),
        ("{door: alpaca, nth: 1, kind: hang, when: now}", "'when' is not a known key"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_with_its_line(tmp_path, rule, problem):
    path = tmp_path / "faults.yaml"
    path.write_text(f"rules:\n  - {rule}\n")
    with pytest.raises(ConfigError) as error:
        FaultScript.read(path, {})
    assert problem in str(error.value)
    assert f"{path}:2" in str(error.value)
    assert "lists every word" in str(error.value)
