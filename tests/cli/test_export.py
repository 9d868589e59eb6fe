"""`scizor export`: which sessions, which files, which folder, and the step of a session that writes them by itself."""

from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import LAST_COLLECTED, NEXT, TRADED, UNNAMED, Scizor
from tests.projects import Project


@pytest.fixture
def out(collected: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the shell stands that calls the command."""
    folder = tmp_path / "shell"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_session_goes_to_a_folder_of_its_own(scizor: Scizor, collected: Project, out: Path) -> None:
    answer = scizor("export", "--portfolio", "main", "--date", TRADED)
    assert (answer.code, answer.err.splitlines()) == (0, [f"Exporting main {TRADED}"])
    assert answer.out == f"Wrote 12 files to exports/main/{TRADED}.\n"
    assert {path.split("/")[2] for path in names(out)} == {str(TRADED)}
    assert len(names(out)) == 12


def test_the_answer_as_json_names_each_file_and_what_there_is_none_of(
    scizor: Scizor, collected: Project, out: Path
) -> None:
    answer = scizor("export", "--date", UNNAMED, "--out", "files", "--format", "both", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert set(answer.json["files"]) == names(out / "files") == {"current_positions.csv", "current_positions.parquet"}
    assert answer.json["missing"][str(UNNAMED)]["filled_orders"] == "no plan of the session was admitted"
    assert (answer.json["removed"], answer.json["left"]) == ([], [])
    assert answer.json["files"]["current_positions.csv"] == "files/current_positions.csv"


def test_a_span_of_sessions_has_a_folder_for_each(scizor: Scizor, collected: Project, out: Path) -> None:
    answer = scizor(
        "export", "--from", "2025-02-01", "--to", UNNAMED, "--out", "files", "--only", "filled_orders",
        "--only", "current_positions",
    )  # fmt: skip
    assert answer.code == 0
    assert names(out / "files") == {
        f"{TRADED}/filled_orders.csv", f"{TRADED}/current_positions.csv", f"{UNNAMED}/current_positions.csv",
    }  # fmt: skip
    assert f"{UNNAMED}: no plan of the session was admitted, so that there is no filled_orders." in answer.out
    assert "Wrote 3 files to files." in answer.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--date", TRADED, "--from", TRADED), "--date does not go with --from and --to"),
        (("--to", TRADED), "--to is given without --from"),
        (("--from", NEXT, "--to", TRADED), "There is no session from"),
        (("--from", "2025-02-08", "--to", "2025-02-09"), "There is no session from"),
        (("--date", "2025-02-08"), "is not a session of"),
        (("--date", "2024-12-31"), "is before the market's first session"),
        (("--date", TRADED, "--only", "fills"), "There is no file fills"),
        (("--date", TRADED, "--portfolio", "other"), "There is no portfolio 'other'"),
        (("--date", "today"), "is not a date"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    scizor: Scizor, collected: Project, out: Path, options: tuple[object, ...], said: str
) -> None:
    answer = scizor("export", *options)
    assert (answer.code, said in answer.sentence) == (2, True), answer.sentence
    assert names(out) == set()


def test_a_session_of_which_nothing_is_stored_is_no(scizor: Scizor, collected: Project, out: Path) -> None:
    answer = scizor("export", "--date", "2025-01-31")
    assert (answer.code, "Nothing is stored of 2025-01-31" in answer.sentence) == (1, True)
    assert names(out) == set()


def test_a_home_that_is_empty_stays_so(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("export", "--date", LAST_COLLECTED, "--out", fresh.folder / "files")
    assert (answer.code, "Nothing is stored of" in answer.sentence) == (1, True)
    assert not fresh.home.exists()
    assert not (fresh.folder / "files").exists()


def with_exports(project: Project, folder: str) -> None:
    path = project.settings.config_path
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"exports": {"folder": folder}}))


def test_the_step_that_reconciles_writes_the_files_where_the_configuration_says(
    scizor: Scizor, collected: Project, out: Path
) -> None:
    with_exports(collected, "files")
    assert scizor("reconcile", "--date", TRADED, "--json").code == 0
    assert len(names(collected.folder / "files" / "main" / str(TRADED))) == 12
    answer = scizor("export", "--date", TRADED)
    assert f"Wrote 12 files to {collected.folder}/files/main/{TRADED}." in answer.out
    assert names(out) == set()


def test_files_that_cannot_be_written_are_a_warning_of_a_session_that_is_well(
    scizor: Scizor, collected: Project
) -> None:
    with_exports(collected, "config.yaml")
    answer = scizor("reconcile", "--date", TRADED, "--json")
    assert (answer.code, answer.json["state"]) == (0, "reconciled")
    (warning,) = answer.json["warnings"]
    assert "files_were_exported" in warning
    assert "The export cannot be written" in answer.json["found"][warning]
