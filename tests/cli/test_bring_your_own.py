"""docs/bring-your-own.md, followed to the letter, ends in a session that is planned and sent."""

import re
import textwrap
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.sessions import TradingCalendar
from tests.cli.conftest import Scizor

DAY = date(2023, 6, 1)


def _blocks(project_root: Path) -> list[str]:
    text = (project_root / "docs" / "bring-your-own.md").read_text(encoding="utf-8")
    return [textwrap.dedent(found) + "\n" for found in re.findall(r"(?:^    .*\n)+", text, flags=re.MULTILINE)]


def _block(blocks: list[str], start: str) -> str:
    (found,) = [block for block in blocks if block.startswith(start)]
    return found


def _write_prices(path: Path, columns: dict[str, str]) -> None:
    import pandas as pd

    sessions = TradingCalendar("XNYS").sessions(date(2023, 5, 1), DAY)
    # A price that stands still for days is one that nobody believes.
    closes = [10.0 + at % 7 / 100 for at in range(len(sessions))]
    rows = [
        (symbol, day, 10.0, 11.0, 9.0, close, 1e6)
        for symbol in ("SPY", "AGG")
        for day, close in zip(sessions, closes, strict=True)
    ]
    ours = ("symbol", "session", "open", "high", "low", "close", "volume")
    pd.DataFrame(rows, columns=[columns[name] for name in ours]).to_parquet(path)


def test_the_page_followed_to_the_letter_sends_its_session(
    scizor: Scizor, tmp_path: Path, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = _blocks(project_root)
    config: dict[str, Any] = yaml.safe_load((project_root / "config" / "config.yaml").read_text(encoding="utf-8"))
    markets = yaml.safe_load(_block(blocks, "markets:"))
    config |= markets | yaml.safe_load(_block(blocks, "weights:"))
    config["portfolios"]["main"]["signals"]["strategy"] = "mine"
    # Less history than the page asks for: the test shall be quick.
    config["markets"]["us"]["first_session"] = "2023-05-01"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "strategy_manifest.yaml").write_text(_block(blocks, "strategies:"))
    (tmp_path / "weights.csv").write_text(_block(blocks, "trade_date,"))
    (tmp_path / "mapping.csv").write_text(_block(blocks, "gvkey,"))
    (tmp_path / "universes").mkdir()
    (tmp_path / "universes" / "mine.csv").write_text(_block(blocks, "symbol,"))
    _write_prices(tmp_path / "prices.parquet", markets["markets"]["us"]["provider"]["columns"])
    monkeypatch.setenv("SCIZOR_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "home"))

    assert scizor("doctor").code == 0
    assert scizor("collect", "history", "--start-date", "2023-05-01", "--end-date", str(DAY)).code == 0
    checked = scizor(
        "signals", "check", tmp_path / "weights.csv", "--strategy", "mine", "--date", str(DAY), "--json"
    ).json
    assert (checked["status"], checked["violations"]) == ("accepted", [])
    targets = scizor("signals", "consolidate", "--portfolio", "main", "--date", str(DAY), "--json").json["targets"]
    assert {row["symbol"]: row["target_weight"] for row in targets} == {"SPY": 0.55, "AGG": 0.4}
    ran = scizor("run", "--portfolio", "main", "--date", str(DAY), "--once", "--json")
    assert (ran.code, ran.json["orders"]) == (0, 5), ran
