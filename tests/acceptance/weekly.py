"""A small project on the sample market: twelve shares, two rebalances a week apart, all in the past.

The second rebalance sells two names whole, trims two, adds to two, and buys two anew, so that a run
of it has sales, a release and buys.
"""

from __future__ import annotations

import csv
import multiprocessing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

from scizor_dagster.flow.desk import Desk
from scizor_dagster.settings import Settings
from tests.acceptance import killable

# A server that has imported everything and opened nothing forks each process: the seconds of start-up are paid once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.acceptance.killable"])

FIRST, SECOND = date(2024, 1, 16), date(2024, 1, 23)
SYMBOLS = ("AAPL", "ADBE", "AMD", "AMGN", "AMZN", "AVGO", "COST", "CSCO", "GOOGL", "INTC", "MSFT", "NVDA")
WEIGHTS = {
    FIRST: dict.fromkeys(SYMBOLS[:10], 0.095),
    SECOND: {
        **dict.fromkeys(SYMBOLS[2:4], 0.05),
        **dict.fromkeys(SYMBOLS[4:6], 0.14),
        **dict.fromkeys(SYMBOLS[6:10], 0.095),
        **dict.fromkeys(SYMBOLS[10:], 0.095),
    },
}

CONFIG = """
strategy_manifest: strategy_manifest.yaml
markets:
  us:
    calendar: XNYS
    currency: USD
    first_session: 2024-01-02
    universes: [universe.csv]
    provider: {type: sample}
accounts:
  paper: {broker: paper, currency: USD, initial_cash: 100000.0}
portfolios:
  main:
    market: us
    account: paper
    capital: {share: 1.0}
    signals: {mode: select, strategy: weekly, as_of: exact}
risk:
  fractional_shares:
    enabled: true
    min_order_notional: 5.0
    quantity_precision: 4
    max_total_weight: 1.0
    adjust_for_overflow: true
  max_notional_per_order: 25000.0
  max_share_per_order: 100000.0
  max_total_notional: 1000000.0
  min_cash_buffer_pct: 0.02
weights: {max_weight: 0.25}
idempotency: {client_order_id_prefix: WK}
"""

MANIFEST = """
strategies:
  - id: weekly
    path: weekly.csv
    format: csv
    weights_dated: trade_session
    column_mapping: {date: trade_date, ticker: asset_id, weight: target_weight}
"""


@dataclass(frozen=True)
class Weekly:
    """The project's folder, and the processes that are run on it."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        return {"SCIZOR_HOME": str(self.home), "SCIZOR_CONFIG": str(self.folder / "config.yaml"), "LOG_LEVEL": "ERROR"}

    def collect(self) -> None:
        """Collect the history up to the second rebalance."""
        process = PROCESSES.Process(target=killable.collect, args=(self.environment, SECOND))
        process.start()
        assert ended(process) == 0

    def desk(self) -> Desk:
        return Desk(Settings.from_environment(self.environment), lambda: datetime.now(UTC))

    def start(self, point: str, *arguments: str, log: str = "said.txt") -> BaseProcess:
        """`scizor` with `arguments`, in a process of its own that dies at `point` (`none`: that does not)."""
        said = self.folder / log
        process = PROCESSES.Process(target=killable.scizor, args=(self.environment, said, point, arguments))
        process.start()
        return process

    def rebalance(self, session: date, point: str = "none") -> tuple[int, str]:
        """Exit code (negative: the signal) of `scizor run`, and what it said."""
        process = self.start(point, *run_arguments(session))
        return ended(process), (self.folder / "said.txt").read_text(encoding="utf-8")


def ended(process: BaseProcess) -> int:
    """Wait for the process; its exit code."""
    process.join(timeout=240)
    assert process.exitcode is not None, "the process does not end"
    return process.exitcode


def run_arguments(session: date) -> tuple[str, ...]:
    return ("run", "--portfolio", "main", "--date", session.isoformat(), "--once", "--json")


def write_weekly(folder: Path) -> Weekly:
    """Write configuration, universe and weight file into `folder`."""
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "strategy_manifest.yaml").write_text(MANIFEST, encoding="utf-8")
    with (folder / "universe.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["symbol", "mic", "name", "currency", "sector", "category", "exchange"])
        writer.writerows((symbol, "XNAS", symbol, "USD", "", "", "NASDAQ") for symbol in SYMBOLS)
    with (folder / "weekly.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["date", "ticker", "weight"])
        for session, weights in WEIGHTS.items():
            writer.writerows((session.isoformat(), symbol, weight) for symbol, weight in weights.items())
    return Weekly(folder)
