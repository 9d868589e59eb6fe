"""`scizor signals approve` and `approvals`: what a person sees, says and reads again."""

from datetime import date

import yaml

from tests.cli.conftest import NEXT, Scizor
from tests.projects import Project, write_weights

CALL = ("signals", "approve", "--strategy", "weekly", "--date", NEXT, "--by", "ann", "--reason", "meant")


def _deliver(project: Project, weights: dict[str, float], day: date = NEXT) -> None:
    write_weights(project.folder / "weights.csv", {day: weights})


def test_held_weights_are_checked_approved_listed_and_run(scizor: Scizor, collected: Project) -> None:
    _deliver(collected, {"AAPL": 0.0, "MSFT": 0.0})
    held = scizor("signals", "check", "--strategy", "weekly", "--date", NEXT, "--json")
    assert (held.code, held.json["status"]) == (1, "held")
    (found,) = held.json["violations"]
    assert (found["rule"], found["line"], found["value"]) == ("all_zero", 2, "0")
    assert f"scizor signals approve --strategy weekly --portfolio main --date {NEXT} --reason TEXT" in found["remedy"]
    assert scizor("signals", "approvals", "--json").json == {"approvals": []}
    stopped = scizor("run", "--date", NEXT)
    assert (stopped.code, "scizor signals approve" in stopped.sentence) == (1, True)
    made = scizor(*CALL, "--json").json
    assert (made["rules"], made["actor"], made["held"][0]["rule"]) == (["all_zero"], "ann", "all_zero")
    (row,) = scizor("signals", "approvals", "--portfolio", "main", "--json").json["approvals"]
    assert (row["strategy"], row["session"], row["file_hash"]) == ("weekly", str(NEXT), made["file_hash"])
    assert "session 2025-02-10: all_zero of " in scizor("signals", "approvals").out
    assert scizor("signals", "approvals", "--portfolio", "bold").out == "Nothing was approved.\n"
    accepted = scizor("signals", "check", "--strategy", "weekly", "--date", NEXT, "--json")
    assert (accepted.code, accepted.json["status"]) == (0, "accepted")
    assert "approved by ann" in next(w["remedy"] for w in accepted.json["warnings"] if w["rule"] == "all_zero")
    assert scizor("run", "--date", NEXT).code == 0


def test_what_is_held_is_shown_to_a_person(scizor: Scizor, fresh: Project) -> None:
    body = yaml.safe_load((fresh.folder / "config.yaml").read_text())
    body["weights"]["max_weight"] = "unlimited"
    (fresh.folder / "config.yaml").write_text(yaml.safe_dump(body))
    _deliver(fresh, {"AAPL": 1.0})
    shown = scizor("signals", "check", "--strategy", "weekly")
    assert (shown.code, "Why it is held" in shown.out, "held: " in shown.out) == (1, True, True)
    assert not fresh.home.exists()
    said = scizor(*CALL)
    assert said.code == 0
    assert "What was held" in said.out
    assert "one_name" in said.out
    assert "approved by ann" in " ".join(said.out.split())


def test_an_approval_that_is_not_clear_is_one_sentence_and_writes_nothing(scizor: Scizor, fresh: Project) -> None:
    for changes, code, words in (
        ((), 2, "are not held"),
        (("--reason", " "), 2, "The reason is empty"),
        (("--portfolio", "nope"), 2, "There is no portfolio 'nope'"),
        (("--date", "2025-02-09"), 2, "is not a session"),
        (("--date", "2025-02-04"), 1, "no_rows_for_session"),
        (("--file", "nope.csv"), 2, "cannot be read"),
    ):
        answer = scizor(*CALL, *changes)
        assert (answer.code, words in answer.sentence) == (code, True), answer
    assert not fresh.home.exists()
