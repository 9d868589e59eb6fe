"""Random histories of an account's books: what a broker and people may say, of any session, in any order.

What belongs here: drawing what is recorded next, and recording it by the ledger's own writers. What does not: what
must be true of it.
"""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerFill, Side
from scizor_dagster.ledger.activities import record_activity
from scizor_dagster.ledger.adoptions import adopt
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.positions import store_positions
from scizor_dagster.ledger.rows import FillRow, fills_by_id
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution.scenario import START

D = Decimal
ACCOUNT = "paper"
OWNERS = ("main", "other", "third", None)
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
FIRST = date(2026, 1, 1)
THIRD = D(1) / D(3)
RATIOS = (D(2), D("0.1"), THIRD, D("1.5"))


class RandomBooks:
    """An account whose clock goes forward, and of which much is said late; each transaction holds a few rows."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.chance = random.Random(seed)
        self.today = FIRST
        self.count = 0
        self.fills: list[str] = []
        with ledger.transaction() as connection:
            set_state(connection, ACCOUNT, None, TradingState.REDUCING, reason="a look", actor="ann", now=START)

    @property
    def days(self) -> list[date]:
        """From the day before anything happened to the day after everything did."""
        return [FIRST + timedelta(days=back) for back in range(-1, (self.today - FIRST).days + 2)]

    def live(self, transactions: int) -> None:
        for _ in range(transactions):
            with self.ledger.transaction() as connection:
                for _ in range(self.chance.randint(1, 6)):
                    self._record(connection)
                store_positions(connection, ACCOUNT, now=START)
            if self.chance.random() < 0.6:
                self.today += timedelta(days=self.chance.randint(1, 3))

    def _record(self, connection: sa.Connection) -> None:
        self.count += 1
        word = self.chance.choices(["fill", "restate", "activity", "adopt"], [12, 2, 2, 1])[0]
        if word == "fill" or not self.fills:
            self._fill(connection)
        elif word == "restate":
            self._restate(connection)
        elif word == "activity":
            self._activity(connection)
        else:
            self._adopt(connection)

    def _session(self) -> date:
        """Today as a rule, now and then a day long ago."""
        back = self.chance.choice([0, 0, 0, 0, 1, 2, self.chance.randint(0, 40)])
        return max(self.today - timedelta(days=back), FIRST)

    def _fill(self, connection: sa.Connection) -> None:
        name = f"f{self.count}"
        said = BrokerFill(
            name, f"o{self.count}", self.chance.choice(SYMBOLS), self.chance.choice([Side.BUY, Side.SELL]),
            D(self.chance.randint(1, 900)) / 100, D(self.chance.randint(1, 90_000)) / 1000, D("0.35"),
            self._session(), START + timedelta(seconds=self.chance.randint(0, 5)),
        )  # fmt: skip
        portfolio = self.chance.choice(OWNERS)
        record_fill(connection, ACCOUNT, FillNews(said, None), portfolio=portfolio, order_id=None, now=START)
        self.fills.append(name)

    def _restate(self, connection: sa.Connection) -> None:
        """A correction or a bust of any execution there ever was, now and then for another session."""
        name = self.chance.choice(self.fills)
        before: FillRow = fills_by_id(connection, ACCOUNT, [name])[name]
        session = before.session if self.chance.random() < 0.7 else self._session()
        said = BrokerFill(
            name, before.client_order_id, before.symbol, before.side, D(self.chance.choice([0, 1, 7])),
            before.price + D("0.01"), before.fee, session, before.executed_at, before.revision + 1,
        )  # fmt: skip
        news = FillNews(said, before)
        record_fill(connection, ACCOUNT, news, portfolio=before.portfolio, order_id=None, now=START)

    def _activity(self, connection: sa.Connection) -> None:
        kind = self.chance.choice(["dividend", "dividend", "split", "delisting", "deposit"])
        symbol = None if kind == "deposit" else self.chance.choice(SYMBOLS)
        factor = {"split": self.chance.choice(RATIOS), "delisting": D(0)}.get(kind)
        amount = D(0) if kind == "split" else D(self.chance.randint(-900, 9_000)) / 100
        said = BrokerActivity(f"a{self.count}", kind, self._session(), symbol, amount, factor)
        record_activity(connection, ACCOUNT, said, now=START)

    def _adopt(self, connection: sa.Connection) -> None:
        portfolio, symbol = self.chance.choice(["main", "other"]), self.chance.choice(SYMBOLS)
        qty = D(self.chance.choice([-3, 5, 11]))
        session = self._session()
        taken = connection.execute(
            sa.text("SELECT count(*) FROM adoptions WHERE adoption_id = :id"),
            {"id": f"{ACCOUNT}/{portfolio}/{symbol}/{session.isoformat()}"},
        ).scalar()
        if not taken:
            adopt(connection, ACCOUNT, portfolio, symbol, qty, price=D(5), session=session, actor="ann", now=START)
