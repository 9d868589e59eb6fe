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

from scizor_dagster.brokers import opening
from scizor_dagster.brokers.alpaca.settings import AlpacaSettings
from scizor_dagster.errors import ScizorError
from scizor_dagster.execution import executor, submission
from scizor_dagster.execution.executor import execute
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import execution_parts
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
        postgres.KEEPALIVE[bound] //= FASTER
    for name in ("WRITER_STANDS_STILL_MS", "IDLE_IN_TRANSACTION_MS", "SILENT_HOST_MS", "SILENT_SERVER_MS"):
        setattr(postgres, name, getattr(postgres, name) // FASTER)
    postgres._CONNECT.update(
        {f"keepalives_{name}": value for name, value in postgres.KEEPALIVE.items()}
        | {"tcp_user_timeout": postgres.SILENT_SERVER_MS, "connect_timeout": 2}
    )
    backend.BUSY_TIMEOUT_MS //= FASTER
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
