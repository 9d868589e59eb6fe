"""A project of any size: its configuration, a lake that is filled in bulk, and the history of its runs in Dagster.

What belongs here: making it. What does not: what is measured on it (`scale_work`, `scale_ui`).

One unit of size is 300 symbols x 2 years, 2 portfolios and about 500 sessions. The prices are a formula of symbol and
day, so that the lake can be filled without asking a source, and the source says the same when it is asked.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import yaml

from scizor_dagster.cli.instance import opened_instance, prepare_home
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.settings import Settings
from tests.market_data.support import FrameMarket
from tests.projects import Project, project_at, small_project, write_universe

XNYS = TradingCalendar("XNYS")
TODAY = datetime.now(UTC)
LAST = XNYS.last_settled(TODAY)
"""The session whose collection is measured."""
BACKFILLED = LAST.year - 1
"""The year that the lake lacks until it is measured how long it takes to collect."""
COLLECTED = XNYS.sessions(LAST - timedelta(days=14), LAST)[-2:]
REBALANCED = XNYS.sessions(LAST - timedelta(days=14), LAST)[-4:-2]
TEMPLATE = dg.AssetKey(["of", "template"])
_PARTS = ("target_weights", "planned_orders", "executions", "reconciliations", "performance")


@dataclass(frozen=True)
class Size:
    """So many units, in a folder."""

    folder: Path
    units: int

    @property
    def symbols(self) -> list[str]:
        return [f"S{number:04}" for number in range(300 * self.units)]

    @property
    def portfolios(self) -> list[str]:
        return [f"p{number:02}" for number in range(2 * self.units)]

    @property
    def names(self) -> int:
        """Instruments in each portfolio: a tenth of the universe."""
        return 30 * self.units

    @cached_property
    def first(self) -> date:
        year = LAST.year - 2 * self.units
        return XNYS.sessions(date(year, LAST.month, min(LAST.day, 28)), LAST)[0]

    @cached_property
    def sessions(self) -> list[date]:
        return XNYS.sessions(self.first, LAST)

    @property
    def project(self) -> Project:
        return project_at(self.folder)

    @property
    def settings(self) -> Settings:
        return self.project.settings


class MadeUpMarket(FrameMarket):
    """The formula as a source of prices."""

    name = "sample"
    synthetic = True

    def __init__(self) -> None:
        super().__init__(pd.DataFrame())

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        yield made_up_bars(symbols, XNYS.sessions(first, last))


def made_up_bars(symbols: Sequence[str], sessions: Sequence[date]) -> pd.DataFrame:
    """The formula: a wave of some months and a ripple of some days, each symbol with its own."""
    days = np.array(sessions, dtype="datetime64[s]")
    at = days.astype("datetime64[D]").astype("int64").astype("float64")
    number = np.array([int(symbol[1:]) for symbol in symbols], dtype="float64")[:, None]
    wave = 0.25 * np.sin(at / (40 + number % 23) + number) + 0.01 * np.sin(1.7 * at + number)
    close = (20 + (37 * number) % 180) * np.exp(wave)
    opened = close * (1 + 0.003 * np.sin(2.3 * at + number))
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) * 1.002,
        "low": np.minimum(opened, close) * 0.998,
        "close": close,
        "volume": 500_000 + 1_000 * (at % 300) + number,
    }
    frame = pd.DataFrame({name: np.round(values, 4).ravel() for name, values in columns.items()})
    frame.insert(0, "symbol", pd.Series(np.repeat(np.array(symbols, dtype=object), len(days)), dtype="str"))
    frame.insert(1, "session", np.tile(days, len(symbols)))
    return frame


def make(size: Size) -> None:
    """Configuration, universe, weight files and the lake, without the year that is to be collected."""
    size.folder.mkdir(parents=True)
    small_project(
        size.folder,
        markets={"us": {"first_session": size.first}},
        accounts={"paper": {"initial_cash": 1_000_000.0 * len(size.portfolios)}},
        portfolios={"main": None} | {name: _portfolio(size, name) for name in size.portfolios},
        risk={"max_total_notional": 1_000_000_000.0, "max_notional_per_order": 1_000_000.0},
        api={"dagster_url": "http://127.0.0.1:9"},
    )
    write_universe(size.folder / "universe.csv", size.symbols)
    entries = [{"id": f"w{name}", "path": f"{name}.csv", "format": "csv"} for name in size.portfolios]
    (size.folder / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": entries}), encoding="utf-8")
    for place, name in enumerate(size.portfolios):
        _write_weights(size, name, place)
    _fill_lake(size)


def _portfolio(size: Size, name: str) -> dict[str, Any]:
    signals = {"mode": "select", "strategy": f"w{name}", "as_of": "exact"}
    share = 0.99 / len(size.portfolios)
    return {"market": "us", "account": "paper", "capital": {"share": share}, "signals": signals}


def _write_weights(size: Size, name: str, place: int) -> None:
    """Weights that move every name in each session that is rebalanced."""
    chosen = [size.symbols[(place * 7 + 10 * number) % len(size.symbols)] for number in range(size.names)]
    with (size.folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["trade_date", "asset_id", "target_weight"])
        for turn, session in enumerate(REBALANCED):
            shares = [1.0 + ((7 * at + 5 * turn) % 11 - 5) / 10 for at in range(len(chosen))]
            rows = zip(chosen, shares, strict=True)
            writer.writerows((session, symbol, f"{0.9 * share / sum(shares):.8f}") for symbol, share in rows)


def _fill_lake(size: Size) -> None:
    desk = Desk(size.settings, lambda: TODAY)
    desk._providers["us"] = MadeUpMarket()
    refresh_symbols(desk, "us")
    for year in range(size.first.year, LAST.year + 1):
        if year == BACKFILLED:
            continue
        days = [day for day in size.sessions if day.year == year and day < COLLECTED[0]]
        frame = made_up_bars(size.symbols, days)  # noqa: F841 - DuckDB reads it by its name
        with desk.lake.write() as cursor:
            cursor.execute(
                "INSERT INTO bars BY NAME SELECT 'us' AS market, symbol, session::DATE AS session, open, high, low, "
                "close, volume, 'raw' AS adjustment, true AS synthetic, 'sample' AS source, now() AS fetched_at, "
                "now() AS stored_at FROM frame ORDER BY symbol, session"
            )
    desk.lake.close()


def fill_dagster(size: Size) -> int:
    """A run of each portfolio and of the market for each session, with what they materialized; how many runs.

    One event and one run are Dagster's own; all others are copies of their rows under other names.
    """
    prepare_home(size.settings)
    metadata = {"dagster/row_count": 30, "currency": "USD"}
    made = dg.AssetMaterialization(TEMPLATE, partition="1999-01-04", metadata=metadata)
    with opened_instance(size.settings) as instance:
        instance.report_runless_asset_event(made)
        template = instance.get_runs(limit=1)[0].run_id
    history = size.settings.dagster_home / "history"
    jobs = {name: [(name, part) for part in (f"raw_signals/w{name}", *_PARTS)] for name in size.portfolios}
    jobs["us"] = [("us", "daily_prices")]
    runs = [(owner, day, str(uuid.uuid4())) for day in size.sessions[:-4] for owner in jobs]
    _copy_runs(history / "runs.db", template, runs)
    _copy_events(history / "runs" / "index.db", runs, jobs)
    _read_back(size, runs[0])
    return len(runs)


def _read_back(size: Size, run: tuple[str, date, str]) -> None:
    """Copies that Dagster could not read would be measured as something else than what they stand for."""
    owner, day, run_id = run
    wanted = dg.AssetRecordsFilter(dg.AssetKey([owner, _PARTS[0]]), asset_partitions=[str(day)])
    with opened_instance(size.settings) as instance:
        (found,) = instance.fetch_materializations(wanted, limit=2).records
        latest = instance.get_latest_materialization_event(wanted.asset_key)
    assert (found.run_id, found.partition_key) == (run_id, str(day))
    assert latest is not None


def _at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 14)  # noqa: DTZ001 - as SQLite keeps it


def _copy_runs(path: Path, template: str, runs: Sequence[tuple[str, date, str]]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        one = connection.execute("SELECT * FROM runs WHERE run_id = ?", [template]).fetchone()
        plain = dict(zip(names, one, strict=True))
        columns = [name for name in names if name != "id"]
        insert = f"INSERT INTO runs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        rows, tags = [], []
        for owner, day, run_id in runs:
            begun, ended = _at(day), _at(day) + timedelta(seconds=9)
            body = json.loads(plain["run_body"].replace(template, run_id))
            body["tags"] = {"dagster/partition": str(day), "scizor/portfolio": owner}
            changed = {
                "run_id": run_id,
                "status": "SUCCESS",
                "run_body": json.dumps(body),
                "partition": str(day),
                "create_timestamp": str(begun),
                "update_timestamp": str(ended),
                "start_time": begun.timestamp(),
                "end_time": ended.timestamp(),
            }
            rows.append([changed.get(name, plain[name]) for name in columns])
            tags += [(run_id, key, value) for key, value in body["tags"].items()]
        connection.executemany(insert, rows)
        connection.executemany("INSERT INTO run_tags (run_id, key, value) VALUES (?, ?, ?)", tags)
        connection.commit()


def _copy_events(path: Path, runs: Sequence[tuple[str, date, str]], jobs: dict[str, list[tuple[str, str]]]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT event, step_key FROM event_logs WHERE asset_key = ? AND partition IS NOT NULL"
        text, step = connection.execute(query, [TEMPLATE.to_string()]).fetchone()
        storage_id = connection.execute("SELECT max(id) FROM event_logs").fetchone()[0]
        rows = []
        for owner, day, run_id in runs:
            for portfolio, part in jobs[owner]:
                storage_id += 1
                key = dg.AssetKey([portfolio, *part.split("/")])
                entry = json.dumps(_materialized(json.loads(text), key, day, run_id))
                kind = "ASSET_MATERIALIZATION"
                rows.append((storage_id, run_id, entry, kind, str(_at(day)), step, key.to_string(), str(day)))
        connection.executemany(
            "INSERT INTO event_logs (id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        newest = {row[6]: row for row in rows}
        record = '{{"__class__": "EventLogRecord", "event_log_entry": {}, "storage_id": {}}}'
        connection.executemany(
            "INSERT INTO asset_keys (asset_key, last_materialization, last_run_id, last_materialization_timestamp) "
            "VALUES (?, ?, ?, ?) ON CONFLICT (asset_key) DO NOTHING",
            [(key, record.format(row[2], row[0]), row[1], row[4]) for key, row in newest.items()],
        )
        connection.commit()


def _materialized(entry: dict[str, Any], key: dg.AssetKey, day: date, run_id: str) -> dict[str, Any]:
    """An event as Dagster keeps it, as one of another asset, partition and run."""
    made = entry["dagster_event"]["event_specific_data"]["materialization"]
    made["asset_key"]["path"] = list(key.path)
    made["partition"] = str(day)
    return entry | {"run_id": run_id, "timestamp": _at(day).replace(tzinfo=UTC).timestamp()}
