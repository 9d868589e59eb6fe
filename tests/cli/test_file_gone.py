"""A session that the ledger knows is gone on with, whatever has become of its weight file."""

from tests.cli.conftest import TRADED, UNNAMED, Scizor
from tests.projects import Project, write_weights


def test_a_traded_session_is_run_again_without_its_weight_file(scizor: Scizor, collected: Project) -> None:
    (collected.folder / "weights.csv").unlink()
    answer = scizor("run", "--date", TRADED, "--once", "--json")
    assert (answer.code, answer.json["state"], answer.json["breaks"]) == (0, "reconciled", 0)


def test_a_traded_session_is_run_again_after_its_rows_have_left_the_file(scizor: Scizor, collected: Project) -> None:
    write_weights(collected.folder / "weights.csv", {UNNAMED: {"AAPL": 0.1}})
    assert scizor("run", "--date", TRADED, "--once").code == 0


def test_a_session_that_was_never_admitted_needs_its_weight_file(scizor: Scizor, collected: Project) -> None:
    (collected.folder / "weights.csv").unlink()
    answer = scizor("run", "--date", UNNAMED, "--once")
    assert answer.code == 2
    assert "there is no such file" in answer.sentence
