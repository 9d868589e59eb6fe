"""A project for parity: twelve synthetic shares with all that happens to shares, two strategies, every session traded.

What belongs here: the files of the project, and its sessions run through the Dagster assets. What does not: the
backtest of the same sessions, and the comparison (`test_parity_over_250_sessions`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from assets.portfolios import portfolio_assets
from resources.desk import SystemClock, TradingDesk
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import fill_history, refresh_actions, refresh_prices
from scizor_dagster.flow.measuring import measure_session
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.sessions import TradingCalendar
from tests.projects import Project, project_at, small_project, write_universe

XNYS = TradingCalendar("XNYS")
BEGINS = date(2023, 1, 3)
PORTFOLIO, ACCOUNT, MARKET = "main", "paper", "us"
STRATEGIES = {"trend": 0.6, "value": 0.4}
SYMBOLS = ("ALFA", "BRVO", "CHRL", "DLTA", "ECHO", "FXTR", "GOLF", "HOTL", "INDI", "JULI", "KILO", "LIMA")
SPLITS, PAYS, GAPS, ENDS, THIN, GONE = "BRVO", "DLTA", "ECHO", "HOTL", "FXTR", "KILO"
"""What is split, pays, misses bars, is delisted, trades little, and has a bar missing on its ex session."""
TRADED = tuple(XNYS.sessions(date(2023, 2, 1), date(2024, 3, 1))[:250])

MEASURED_EVERY = 6


class Events:
    """The days on which something happens, in the first `count` traded sessions."""

    def __init__(self, count: int) -> None:
        part = lambda share: TRADED[int(count * share)]  # noqa: E731
        self.splits = {SPLITS: (part(0.3), 4.0), GONE: (part(0.55), 0.5)}
        self.dividends = [(PAYS, part(0.2), 0.37), (PAYS, part(0.7), 0.41), (SPLITS, part(0.5), 0.11)]
        self.delisted = part(0.8)
        self.missing = {(GAPS, part(0.15)), (GAPS, part(0.4)), (GAPS, TRADED[int(count * 0.4) + 1])}
        self.missing |= {(GONE, part(0.55)), (ENDS, TRADED[int(count * 0.8) - 1])}


def write_market(folder: Path, events: Events, seed: int, last: date) -> None:
    chance = random.Random(f"parity market {seed}")
    rows = ["symbol,session,open,high,low,close,volume"]
    days = XNYS.sessions(BEGINS, last)
    for symbol in SYMBOLS:
        close = chance.uniform(30, 180)
        volume = 2_500.0 if symbol == THIN else 700_000.0
        for day in days:
            split = events.splits.get(symbol)
            if split is not None and split[0] == day:
                close, volume = close / split[1], volume * split[1]
            opened = close * (1 + chance.gauss(0, 0.005))
            close = opened * (1 + chance.gauss(0, 0.012))
            high, low = max(opened, close) * 1.003, min(opened, close) * 0.997
            shares = int(volume * chance.uniform(0.7, 1.3))
            if (symbol, day) in events.missing or (symbol == ENDS and day >= events.delisted):
                continue
            rows.append(f"{symbol},{day},{opened:.2f},{high:.2f},{low:.2f},{close:.2f},{shares}")
    (folder / "prices.csv").write_text("\n".join(rows) + "\n")
    actions = [f"{symbol},{day},split,{ratio},,," for symbol, (day, ratio) in events.splits.items()]
    actions += [f"{symbol},{day},dividend,,{amount},USD," for symbol, day, amount in events.dividends]
    actions.append(f"{ENDS},{events.delisted},delisting,,,,")
    header = "symbol,ex_session,kind,ratio,amount,currency,new_symbol"
    (folder / "actions.csv").write_text("\n".join([header, *actions]) + "\n")


def write_files(folder: Path, events: Events, seed: int, count: int) -> None:
    """Weights of both: some names change each day, sides are taken and turned; every fourth day all cash is spent."""
    for number, strategy in enumerate(STRATEGIES):
        chance = random.Random(f"parity weights {seed} {strategy}")
        parts = {symbol: chance.choice((-2, 3, 4, 5)) + number for symbol in SYMBOLS}
        rows = ["trade_date,asset_id,target_weight"]
        for place, day in enumerate(TRADED[:count]):
            for symbol in chance.sample(SYMBOLS, 3):
                parts[symbol] = chance.choice((-6, -3, 0, 2, 5, 8, 9))
            named = {name: part for name, part in parts.items() if not (name == ENDS and day > events.delisted)}
            if place % 4 == 3:
                named = {name: abs(part) for name, part in named.items()}
            gross = sum(map(abs, named.values()))
            rows += [f"{day},{name},{part / gross:.5f}" for name, part in named.items()]
        (folder / f"{strategy}.csv").write_text("\n".join(rows) + "\n")
    entries = [
        {"id": name, "path": f"{name}.csv", "format": "csv", "guards": {"max_turnover": "unlimited"}}
        for name in STRATEGIES
    ]
    (folder / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": entries}))


def write_parity_project(folder: Path, count: int, seed: int) -> Project:
    chosen = {"mode": "blend", "strategy": None, "strategies": [{"id": k, "capital": v} for k, v in STRATEGIES.items()]}
    provider = {"type": "files", "path": "prices.csv", "format": "csv", "adjustment": "raw", "synthetic": True}
    small_project(
        folder,
        markets={MARKET: {"first_session": BEGINS, "provider": {**provider, "actions": "actions.csv"}}},
        accounts={ACCOUNT: {"exchange": {"half_spread_bps": 2.5, "impact_bps": 20.0, "max_participation": 0.05}}},
        portfolios={PORTFOLIO: {"signals": chosen}},
        planning={"band_relative": 0.08, "band_absolute": 0.004, "max_participation": 0.15},
        weights={"max_weight": 0.5, "allow_short": True},
        risk={"min_cash_buffer_pct": 0.001},
    )
    write_market(folder, events := Events(count), seed, XNYS.next_session(TRADED[count - 1]))
    write_files(folder, events, seed, count)
    write_universe(folder / "universe.csv", SYMBOLS)
    return project_at(folder)


class Assets:
    """The assets of the project's portfolio on one desk, a session at a time."""

    def __init__(self, project: Project, last: date) -> None:
        self.now = XNYS.settled_at(XNYS.next_session(last)) + timedelta(hours=1)
        home, config = str(project.settings.home), str(project.settings.config_path)
        self._resource = TradingDesk(home=home, config_path=config, clock=SystemClock(fixed_at=self.now.isoformat()))
        every = portfolio_assets(self._resource.desk.config, PORTFOLIO)
        # Measuring changes nothing that is compared, and takes longer than all else.
        self._assets = [item for item in every if item.key.path[-1] != "performance"]

    @property
    def desk(self) -> Desk:
        return self._resource.desk

    def collect(self) -> None:
        refresh_symbols(self.desk, MARKET)
        refresh_actions(self.desk, MARKET)
        fill_history(self.desk, MARKET, (BEGINS.year, self.now.year), None)
        refresh_prices(self.desk, MARKET)

    def trade(self, sessions: Sequence[date], instance: dg.DagsterInstance) -> None:
        """Each session through the assets; measured now and then, as guards look back to what is."""
        given: dict[str, Any] = {"resources": {"desk": self._resource}, "instance": instance, "raise_on_error": False}
        for place, session in enumerate(sessions):
            result = dg.materialize(self._assets, partition_key=session.isoformat(), **given)
            failed = [event.step_failure_data for event in result.all_events if event.is_step_failure]
            assert not failed, (session, [str(item.user_failure_data or item.error) for item in failed])
            if place % MEASURED_EVERY == MEASURED_EVERY - 1:
                measure_session(self.desk, PORTFOLIO, session)
