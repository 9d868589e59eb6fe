"""Odd but valid files are accepted, and mean what they say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scizor_dagster.config import WeightRules
from scizor_dagster.signals.intake import take_in
from tests.signals.builders import NYSE, check, entry, fractional
from tests.signals.odd_files import odd_file

SEEDS = range(200)
EVERY = 20
"""One file in so many is also read in the process that real files are read in."""


@pytest.mark.parametrize("seed", SEEDS)
def test_an_odd_but_valid_file_is_accepted(
    seed: int, tmp_path: Path, in_process: None, record_property: Callable[[str, object], None]
) -> None:
    odd = odd_file(seed, tmp_path)
    report = check(odd.path, **odd.entry)
    record_property(
        "odd but valid", "wrongly refused" if not report.accepted else "warned" if report.warnings else "accepted"
    )
    assert report.accepted, report.violations
    frame = take_in(entry(odd.path, **odd.entry), NYSE, WeightRules(), fractional()).frame
    rows = list(zip(frame["weights_date"], frame["asset_id"], frame["weight"], strict=True))
    assert [row[:2] for row in rows] == [row[:2] for row in odd.rows]
    assert [row[2] for row in rows] == pytest.approx([row[2] for row in odd.rows], abs=1e-11)


@pytest.mark.parametrize("seed", SEEDS[::EVERY])
def test_an_odd_but_valid_file_is_accepted_by_the_process_that_reads(seed: int, tmp_path: Path) -> None:
    odd = odd_file(seed + 1 if seed % 3 else seed, tmp_path)
    assert check(odd.path, **odd.entry).accepted
