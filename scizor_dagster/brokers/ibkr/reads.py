"""What TWS is asked: orders, executions, positions, money. Complete, or `BrokerUnavailable`.

What belongs here: each question with what makes its answer complete. What does not: what the answers mean
(`orders`). All coroutines run in the connection's loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from scizor_dagster.brokers.ibkr.connection import IbkrConnection
from scizor_dagster.brokers.ibkr.contracts import to_ours
from scizor_dagster.brokers.ibkr.money import account_state
from scizor_dagster.brokers.ibkr.orders import (
    Seen,
    by_order,
    exact,
    newest,
    seen_completed,
    seen_in_executions,
    seen_open,
)
from scizor_dagster.brokers.protocol import AccountState, BrokerPosition
from scizor_dagster.sessions import TradingCalendar

_END_LIMIT = 3.0
"""Seconds of silence for the end of the executions, which some gateways leave out where there are none."""
_LONGEST_ANSWER = 3
"""Times the time limit of an answer, for one of many executions."""


class Reads:
    """Questions over one connection."""

    def __init__(self, connection: IbkrConnection, calendar: TradingCalendar) -> None:
        self._connection = connection
        self._calendar = calendar
        self._listing = asyncio.Lock()

    async def open_trades(self) -> list[Any]:
        """Open orders of every client, by permanent id."""
        ib = self._connection.ib
        trades = await self._connection.answer(ib.reqAllOpenOrdersAsync(), "open orders")
        return [trade for trade in _one_each(trades) if self._ours(trade)]

    async def completed_trades(self) -> list[Any]:
        """Orders of the current day that have ended, whoever placed them."""
        ib = self._connection.ib
        trades = await self._connection.answer(ib.reqCompletedOrdersAsync(False), "completed orders")
        return [trade for trade in _one_each(trades) if self._ours(trade)]

    async def executions(self, *, proven: bool) -> list[Any]:
        """Executions that TWS shows.

        Args:
            proven: Whether an answer without an end is refused. Otherwise one without an end and without an
                execution counts as empty where asking again and another question agree.

        Raises:
            BrokerUnavailable: the answer has no end.
        """
        for attempt in range(2):
            rows: list[Any] = []
            try:
                rows = list(await self._ask_executions(rows))
            except TimeoutError:
                if rows or proven:
                    raise self._connection.unavailable("the executions came without an end") from None
                if attempt:
                    await self._held()
                continue
            return [row for row in rows if row.execution.acctNumber == self._connection.settings.account]
        return []

    async def all_orders(self, now: datetime, *, proven: bool = False) -> list[Seen]:
        """Open orders, those that ended today, and those that only executions tell of."""
        opened = await self.open_trades()
        completed = await self.completed_trades()
        executions = await self.executions(proven=proven)
        filled = by_order(executions, self._calendar)
        rows: dict[int, Seen] = {}
        for trade in opened:
            rows[trade.order.permId] = seen_open(trade, filled.get(trade.order.permId), self._calendar, now)
        for trade in completed:
            rows[trade.order.permId] = seen_completed(trade, filled.get(trade.order.permId), self._calendar, now)
        for seen in seen_in_executions(executions, self._calendar):
            rows.setdefault(seen.perm_id, seen)
        return list(rows.values())

    async def fills(self) -> tuple[list[Any], dict[str, Any]]:
        """Executions, and the commissions of their last corrections by id; waits for a commission that comes late.

        One that was taken back may have none.
        """
        executions = await self.executions(proven=False)
        last = newest(executions)
        wanted = {fill.execution.execId for fill in last if fill.execution.shares}
        if len(self._commissions(wanted)) < len(wanted):
            await self._late_commissions(wanted)
        return executions, self._commissions({fill.execution.execId for fill in last})

    async def account(self) -> AccountState:
        """Cash, equity and buying power in the configured currency, all three or none, and the time of TWS."""
        values = await self._download()
        if values.get(("AccountReady", "")) == "false":
            raise self._connection.unavailable("the account is not ready: TWS is still loading it")
        now = await self.time()
        return account_state(values, self._connection.settings.currency, now, self._connection.unavailable)

    async def time(self) -> datetime:
        """What TWS says that it is."""
        now: datetime = await self._connection.answer(self._connection.ib.reqCurrentTimeAsync(), "time")
        return now

    async def positions(self) -> list[BrokerPosition]:
        """Positions with their prices, where the account download agrees on what is held."""
        for _ in range(2):
            await self._download()
            held = await self._held()
            portfolio = self._connection.ib.portfolio()
            lines = {row.contract.conId: row for row in portfolio if self._is_account(row.account)}
            if _quantities(held) == _quantities(lines):
                rows = [_position(row, lines[con_id]) for con_id, row in held.items()]
                return sorted(rows, key=lambda row: row.symbol)
        raise self._connection.unavailable("the list of positions and the account's portfolio differ")

    async def held(self, symbol: str) -> Decimal:
        """The position in one symbol: as it was pushed, or asked for where nothing was."""
        for asked in (False, True):
            rows = (await self._held()).values() if asked else self._pushed()
            found = [row for row in rows if to_ours(row.contract.symbol) == symbol]
            if found:
                return exact(found[0].position)
        return Decimal(0)

    async def _held(self) -> dict[int, Any]:
        async with self._listing:
            rows = await self._connection.answer(self._connection.ib.reqPositionsAsync(), "positions")
        return {row.contract.conId: row for row in rows if row.position and self._is_account(row.account)}

    def _pushed(self) -> list[Any]:
        return [row for row in self._connection.ib.positions() if self._is_account(row.account)]

    async def _ask_executions(self, rows: list[Any]) -> Sequence[Any]:
        """The answer; `rows` gets what came, with or without an end.

        A long answer takes its time: it has no end only once nothing more comes.
        """
        ib, timeout = self._connection.ib, self._connection.settings.timeout
        task = asyncio.ensure_future(ib.reqExecutionsAsync())
        clock = asyncio.get_running_loop().time
        latest, heard = clock() + _LONGEST_ANSWER * timeout, self._heard()
        try:
            while not (await asyncio.wait({task}, timeout=min(_END_LIMIT, timeout)))[0]:
                before, heard = heard, self._heard()
                if heard == before or clock() > latest:
                    rows.extend(ib.fills())
                    raise TimeoutError
            found: Sequence[Any] = task.result()
            return found
        except OSError as lost:
            if isinstance(lost, TimeoutError):
                raise
            raise self._connection.unavailable(f"the connection was lost: executions: {lost}") from lost
        finally:
            task.cancel()

    def _heard(self) -> int:
        """Bytes that have come over the connection; one that was lost says what it said before."""
        client = self._connection.ib.client
        return int(client.connectionStats().numBytesRecv) if client.isReady() else -1

    def _commissions(self, wanted: set[str]) -> dict[str, Any]:
        reports = {fill.execution.execId: fill.commissionReport for fill in self._connection.ib.fills()}
        return {exec_id: report for exec_id, report in reports.items() if exec_id in wanted and report.execId}

    async def _late_commissions(self, wanted: set[str]) -> None:
        arrived = asyncio.Event()

        def on_report(*_: Any) -> None:
            arrived.set()

        event = self._connection.ib.commissionReportEvent
        event += on_report
        try:
            async with asyncio.timeout(self._connection.settings.timeout):
                while len(self._commissions(wanted)) < len(wanted):
                    arrived.clear()
                    await arrived.wait()
        except TimeoutError:
            missing = sorted(wanted - set(self._commissions(wanted)))
            raise self._connection.unavailable(f"the commission of execution {missing[0]} has not come") from None
        finally:
            event -= on_report

    async def _download(self) -> dict[tuple[str, str], str]:
        """A fresh download of the account: its values by tag and currency. Portfolio lines come with it."""
        connection, account = self._connection, self._connection.settings.account
        values: dict[tuple[str, str], str] = {}

        def on_value(row: Any) -> None:
            if row.account == account:
                values[(row.tag, row.currency)] = row.value

        connection.ib.client.reqAccountUpdates(False, account)
        connection.ib.wrapper.portfolio.pop(account, None)
        connection.ib.accountValueEvent += on_value
        try:
            await connection.answer(connection.ib.reqAccountUpdatesAsync(account), "account values")
        finally:
            connection.ib.accountValueEvent -= on_value
        return values

    def _ours(self, trade: Any) -> bool:
        return self._is_account(trade.order.account)

    def _is_account(self, account: str) -> bool:
        return account == self._connection.settings.account


def _one_each(trades: Sequence[Any]) -> list[Any]:
    """Each order once: one that changes while the answer comes is in it twice."""
    return list({trade.order.permId: trade for trade in trades}.values())


def _quantities(rows: dict[int, Any]) -> dict[int, float]:
    return {con_id: row.position for con_id, row in rows.items()}


def _position(row: Any, line: Any) -> BrokerPosition:
    return BrokerPosition(
        symbol=to_ours(row.contract.symbol),
        qty=exact(row.position),
        market_price=exact(line.marketPrice) if line.marketPrice > 0 else None,
        average_price=exact(row.avgCost),
    )
