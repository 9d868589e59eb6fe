"""A small project on the sample market: twelve shares, two rebalances a week apart, all in the past.

The second rebalance sells two names whole, trims two, adds to two, and buys two anew, so that a run
of it has sales, a release and buys.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from scizor_dagster.flow.desk import Desk
from scizor_dagster.settings import PROJECT_ROOT, Settings

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
        places = {"SCIZOR_HOME": str(self.home), "SCIZOR_CONFIG": str(self.folder / "config.yaml")}
        return {**os.environ, **places, "LOG_LEVEL": "ERROR"}

    def desk(self) -> Desk:
        return Desk(Settings.from_environment(self.environment), lambda: datetime.now(UTC))

    def collect(self) -> None:
        """Collect the history up to the second rebalance, in a process of its own."""
        command = [sys.executable, "-m", "tests.acceptance.weekly"]
        subprocess.run(command, cwd=PROJECT_ROOT, env=self.environment, check=True, capture_output=True, timeout=120)

    def start(self, point: str, *arguments: str) -> subprocess.Popen[str]:
        """`scizor` with `arguments`, in a process of its own that dies at `point` (`none`: that does not)."""
        command = [sys.executable, "-m", "tests.acceptance.killable", point, *arguments]
        return subprocess.Popen(
            command, cwd=PROJECT_ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, point: str, *arguments: str) -> tuple[int, str]:
        """Exit code (negative: the signal), and everything the process said."""
        process = self.start(point, *arguments)
        said, complained = process.communicate(timeout=120)
        return process.returncode, said + complained

    def rebalance(self, session: date, point: str = "none") -> tuple[int, str]:
        return self.run(point, *run_arguments(session))


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


def _collect_history() -> None:
    from scizor_dagster.cli.collect import history_config
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.jobnames import name_for

    settings = Settings.from_environment(os.environ)
    with JobRunner.open(settings) as runner:
        job = name_for("collect_history", "us", ["us"])
        runner.run(job, partition_range=("2024", "2024"), config=history_config("us", SECOND))


if __name__ == "__main__":
    _collect_history()
