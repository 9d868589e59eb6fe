"""A market with a fall-back and a second source: what the day's checks say, and what doctor proves."""

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import yaml

from assets.market_sources import SourceChecks
from scizor_dagster.cli.doctor import CHECKS
from scizor_dagster.flow.connections import connected_sources
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import collect_closed_session
from scizor_dagster.settings import Settings
from tests.projects import small_project

SESSION = date(2024, 1, 10)
SYMBOLS = ("AAPL", "MSFT", "NVDA")


def _prices(folder: Path, name: str, symbols: tuple[str, ...], factor: float = 1.0) -> dict[str, str]:
    days = ["2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10"]
    rows = [(symbol, day, 10.0, 10.6, 9.6, (10 + i / 10) * factor, 1000 + i) for symbol in symbols
            for i, day in enumerate(days)]  # fmt: skip
    columns = ["symbol", "session", "open", "high", "low", "close", "volume"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)
    return {"type": "files", "path": f"{name}.csv", "format": "csv", "adjustment": "raw"}


def _desk(folder: Path, **sources: Any) -> Desk:
    project = small_project(folder)
    path = project.folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["markets"]["us"] |= sources
    path.write_text(yaml.safe_dump(config))
    environment = {**os.environ, "SCIZOR_HOME": str(project.home), "SCIZOR_CONFIG": str(path)}
    return Desk(Settings.from_environment(environment), lambda: datetime(2024, 1, 10, 23, tzinfo=UTC))


def _checks(desk: Desk) -> dict[str, dg.AssetCheckResult]:
    checks = SourceChecks(dg.AssetKey(["us", "daily_prices"]), desk.market("us"))
    results = checks.results(desk, "us", [SESSION])
    assert [spec.name for spec in checks.specs] == [result.check_name for result in results]
    return {str(result.check_name): result for result in results}


def test_a_fall_backs_bars_and_a_second_sources_differences_are_warnings_and_never_stop(tmp_path: Path) -> None:
    desk = _desk(
        tmp_path,
        provider=_prices(tmp_path, "first", SYMBOLS[:2]),
        fallbacks=[_prices(tmp_path, "then", SYMBOLS)],
        compare_with=_prices(tmp_path, "beside", SYMBOLS, 1.02),
    )
    report = collect_closed_session(desk, "us", SESSION)
    assert not set(SYMBOLS) & set(report.missing)
    found = _checks(desk)
    assert not found["first_source_gave_every_bar"].passed
    assert not found["second_source_agrees"].passed
    assert {result.severity for result in found.values()} == {dg.AssetCheckSeverity.WARN}
    assert found["second_source_agrees"].metadata["rows"].value == 3


def test_a_second_source_that_cannot_be_read_is_named_and_the_day_is_collected(tmp_path: Path) -> None:
    beside = _prices(tmp_path, "beside", SYMBOLS)
    desk = _desk(tmp_path, provider=_prices(tmp_path, "first", SYMBOLS), compare_with=beside)
    (tmp_path / "beside.csv").write_text("no,prices\n1,2\n")
    assert collect_closed_session(desk, "us", SESSION).inserted >= 3
    result = _checks(desk)["second_source_agrees"]
    assert not result.passed
    assert "symbol" in str(result.metadata["problem"].value)


def test_a_second_source_that_has_few_of_the_closes_is_no_agreement(tmp_path: Path) -> None:
    desk = _desk(
        tmp_path,
        provider=_prices(tmp_path, "first", SYMBOLS),
        compare_with=_prices(tmp_path, "beside", SYMBOLS[:1]),
    )
    collect_closed_session(desk, "us", SESSION)
    result = _checks(desk)["second_source_agrees"]
    assert not result.passed
    assert result.metadata["rows"].value == 0
    assert "1 of 3 closes of 2024-01-10 could be compared" in str(result.metadata["not_compared"].value)


def test_a_market_with_one_source_has_no_such_checks(tmp_path: Path) -> None:
    assert _checks(_desk(tmp_path, provider=_prices(tmp_path, "first", SYMBOLS))) == {}


def test_doctor_names_every_source_and_asks_those_behind_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "k")
    monkeypatch.setenv("SECRET", "s")
    desk = _desk(
        tmp_path,
        provider=_prices(tmp_path, "first", SYMBOLS),
        fallbacks=[{"type": "alpaca", "key_id": "${KEY}", "secret_key": "${SECRET}"}],
        compare_with=_prices(tmp_path, "beside", SYMBOLS),
    )
    assert list(connected_sources(desk, "us")) == ["us.fallbacks.0"]
    said = CHECKS["providers"](desk)
    assert ", then alpaca:sip, compared with files" in said
