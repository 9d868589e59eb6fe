"""A worker as a process of a host: runs plans on the ledger and at the exchange, and writes to the lake.

It stops where it is told to, says so, and goes on when it is told to. Its patience with silent machines is that of the
product in seconds for tens of seconds, and its lease as well.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from scizor_dagster import databases
from scizor_dagster.brokers import opening
from scizor_dagster.brokers.alpaca.settings import AlpacaSettings
from scizor_dagster.errors import ScizorError
from scizor_dagster.execution import executor, submission
from scizor_dagster.execution.executor import execute
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import execution_parts
from scizor_dagster.lake import connection
from scizor_dagster.ledger import backend, postgres
from scizor_dagster.ledger.lease import lease
from scizor_dagster.planning.model import Plan, Side
from scizor_dagster.risk.facts import nothing_known
from scizor_dagster.settings import Settings
from tests.acceptance.wires import DAY, WEIGHTS
from tests.execution.kill_switch import MortalBroker, MortalLedger
from tests.execution.scenario import UNLIMITED, order, plan_of
from tests.machines.speech import say, words
from tests.paper_exchange.venues import at

EPOCH, HOST, SERVER = "SCIZOR_TEST_EPOCH", "SCIZOR_TEST_HOST", "SCIZOR_TEST_SERVER"
"""In the environment, beside what the product reads: when all clocks began, this host's name, the server's URL."""
NOON = at("12:00", DAY)
FASTER = 10
"""How many times shorter every bound is than the product's."""


class Pause:
    """A switch of `MortalBroker` and `MortalLedger` that does not kill: at its point the process waits for a word."""

    dead = False

    def __init__(self, name: str, nth: int) -> None:
        self._name = name
        self._left = nth

    def point(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            say(stopped=name)
            assert next(words()) == {"do": "go on"}


def hurry() -> None:
    """Shorten every bound, each in its proportion to the others."""
    for bound in ("idle", "interval"):
        databases.KEEPALIVE[bound] //= FASTER
    databases.SILENT_SERVER_MS //= FASTER
    postgres.WRITER_STANDS_STILL_MS //= FASTER
    postgres.IDLE_IN_TRANSACTION_MS //= FASTER
    backend.BUSY_TIMEOUT_MS //= FASTER
    connection.LOCK_TIMEOUT_SECONDS /= FASTER
    executor.lease = partial(lease, ttl=timedelta(seconds=120 / FASTER))  # type: ignore[assignment]
    submission.LIVELY /= FASTER
    opening.AlpacaSettings = partial(AlpacaSettings, absence_wait=0.0)  # type: ignore[assignment, misc]


def plan(portfolio: str, account: str, name: str) -> Plan:
    """Three small purchases whose ids begin with `name`."""
    symbols = tuple(WEIGHTS)
    drawn = plan_of([order(f"{name}-{symbol}", "AAA", Side.BUY, "2") for symbol in symbols], session=DAY)
    orders = tuple(row._replace(symbol=symbol) for row, symbol in zip(drawn.orders, symbols, strict=True))
    lines = tuple(drawn.lines[0]._replace(symbol=symbol) for symbol in symbols)
    return replace(drawn, plan_id=name.ljust(64, "0"), portfolio=portfolio, account=account, orders=orders, lines=lines)


class Worker:
    """A desk of the project, whose clock stands at the exchange's session and goes on as that of every other host."""

    def __init__(self) -> None:
        self._epoch = float(os.environ[EPOCH])

    def _now(self) -> datetime:
        return at("10:00", DAY) + timedelta(seconds=time.time() - self._epoch)

    def _desk(self, database: str) -> Desk:
        url = os.environ[SERVER].format(database)
        return Desk(Settings.from_environment({**os.environ, "DATABASE_URL": url}), self._now)

    def store(self, database: str, base: str, value: float, *, stop: bool = False) -> dict[str, Any]:
        """Two rates of `base` into the lake, in two statements of one transaction, in place of those that are there."""
        desk, began = self._desk(database), time.monotonic()
        try:
            with desk.lake.write() as cursor:
                cursor.execute("DELETE FROM fx_rates WHERE base = ?", [base])
                for quote in ("EUR", "JPY"):
                    cursor.execute(
                        "INSERT INTO fx_rates VALUES (?, ?, ?, ?, 'test', ?)", [base, quote, DAY, value, NOON]
                    )
                    if stop and quote == "EUR":
                        say(stopped="in the lake")
                        assert next(words()) == {"do": "go on"}
            said: dict[str, Any] = {"stored": base}
        except ScizorError as failure:
            said = {"failure": type(failure).__name__, "problem": failure.problem, "remedy": failure.remedy}
        finally:
            desk.lake.close()
        return said | {"seconds": time.monotonic() - began}

    def rates(self, database: str) -> dict[str, Any]:
        """Every rate in the lake."""
        desk = self._desk(database)
        with desk.lake.read() as cursor:
            rows = cursor.execute("SELECT base, quote, rate FROM fx_rates ORDER BY ALL").fetchall()
        desk.lake.close()
        return {"rates": rows}

    def run(self, database: str, portfolio: str, name: str, stop: tuple[str, int] | None = None) -> dict[str, Any]:
        """The plan `name` of the portfolio, carried out as far as it goes."""
        desk, began = self._desk(database), time.monotonic()
        ledger = None
        try:
            ledger = MortalLedger.open(desk.settings.ledger_url)
            parts: dict[str, Any] = {**execution_parts(desk, portfolio, "test"), "ledger": ledger}
            # The account has what the ledgers of other tests have bought on it.
            parts["settings"] = replace(parts["settings"], limits=UNLIMITED, facts=nothing_known)
            parts["holder"] = os.environ[HOST]
            if stop is not None:
                ledger.switch = switch = Pause(*stop)  # type: ignore[assignment]
                parts["broker"] = MortalBroker(parts["broker"], switch)  # type: ignore[arg-type]
            result = execute(plan(portfolio, parts["account"], name), **parts)
            said = {
                "state": str(result.state),
                "orders": {row.client_order_id: (row.state, row.reason) for row in result.orders},
                "notes": list(result.notes),
            }
        except ScizorError as failure:
            said = {"failure": type(failure).__name__, "problem": failure.problem, "remedy": failure.remedy}
        finally:
            desk.disconnect()
            if ledger is not None:
                ledger.close()
                desk.ledger.close()
        return said | {"seconds": time.monotonic() - began}


def main() -> None:
    hurry()
    worker = Worker()
    say(ready=True)
    for word in words():
        act = getattr(worker, word.pop("do"))
        say(**act(**word))


if __name__ == "__main__":
    sys.exit(main())
