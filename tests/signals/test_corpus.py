"""Every bad weight file of the catalogue gets the response that the catalogue names; none passes in silence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scizor_dagster.signals.intake import check_file
from tests.signals.builders import NYSE, entry, fractional
from tests.signals.corpus import containers, judged, rows, workbooks
from tests.signals.corpus.case import Case

CASES = [*rows.CASES, *judged.CASES, *workbooks.CASES, *containers.CASES]
ELSEWHERE = {
    51: "identity", 52: "test_guards", 54: "identity", 55: "identity", 68: "test_scale", 69: "test_reading",
}  # fmt: skip
"""Numbers of the catalogue that are no single file: where their response is tested."""
SUFFIXES = {".xlsx": "xlsx", ".parquet": "parquet", ".json": "json"}


Record = Callable[[str, object], None]


@pytest.mark.parametrize("case", [*rows.CASES, *judged.CASES], ids=str)
def test_rows_of_the_catalogue_get_their_response(
    case: Case, tmp_path: Path, in_process: None, record_property: Record
) -> None:
    judge(case, tmp_path, record_property)


@pytest.mark.parametrize("case", [*workbooks.CASES, *containers.CASES], ids=str)
def test_containers_of_the_catalogue_get_their_response(case: Case, tmp_path: Path, record_property: Record) -> None:
    judge(case, tmp_path, record_property)


def judge(case: Case, folder: Path, record_property: Record) -> None:
    path = case.build(folder)
    keys = {"format": SUFFIXES.get(path.suffix, "csv")} | dict(case.entry)
    # As the strategy's own file: a file that the user names may be any link.
    item = entry(path, **keys)
    known = case.known(path)
    report = check_file(item, NYSE, case.weights, fractional(), session=case.session, max_age_sessions=5, known=known)
    response = report.status if report.violations or not report.warnings else "warned"
    silent = case.response in ("refused", "held") and report.accepted
    record_property("corpus", "silent acceptance" if silent else response)
    named = {item.rule for item in (report.violations if case.response in ("refused", "held") else report.warnings)}
    assert response == case.response, (report.violations, report.warnings)
    assert case.rule in named if case.rule else not named, named
    assert all(item.problem and item.remedy for item in (*report.violations, *report.warnings))


def test_every_number_of_the_catalogue_on_weights_is_covered() -> None:
    assert {case.number for case in CASES} | set(ELSEWHERE) == set(range(1, 75))
