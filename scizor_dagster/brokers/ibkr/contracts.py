"""From our instruments to the broker's contracts: a symbol names one, none or several of them.

What belongs here: spelling, exchanges, lookup and its memory. What does not: orders and prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from types import MappingProxyType
from typing import Any

from scizor_dagster.brokers.ibkr.codes import Meaning, meaning
from scizor_dagster.brokers.ibkr.connection import IbkrConnection
from scizor_dagster.instruments import EXCHANGE_MICS, Instrument

EXCHANGES = {"XNAS": "NASDAQ", "XNYS": "NYSE", "ARCX": "ARCA", "XASE": "AMEX", "BATS": "BATS", "XASX": "ASX"}
"""Our codes of exchanges to IBKR's names of primary exchanges."""


def to_api(symbol: str) -> str:
    """`BRK.B` as IBKR writes it: `BRK B`."""
    return symbol.replace(".", " ")


def to_ours(symbol: str) -> str:
    return symbol.replace(" ", ".")


def mic_of(primary_exchange: str) -> str | None:
    """Our code of a primary exchange; None for one that is not known."""
    return EXCHANGE_MICS.get(primary_exchange.partition(".")[0])


class Contracts:
    """Contracts of one connection. What was found once is remembered.

    Args:
        ids: IBKR's id of each symbol's contract, as verified before: such a symbol is not looked up.
    """

    def __init__(
        self,
        connection: IbkrConnection,
        instruments: Mapping[str, Instrument],
        currency: str,
        ids: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._connection = connection
        self._instruments = instruments
        self._currency = currency
        self._ids = dict(ids)
        self._known: dict[str, Any] = {}

    def details(self, symbol: str, *, anywhere: bool = False) -> list[Any]:
        """Every contract that a symbol names, on its own exchange or `anywhere`: none, one or many.

        Raises:
            BrokerUnavailable: IBKR did not say.
        """
        return self._connection.call(lambda: self.details_in_loop(symbol, anywhere=anywhere), f"contract of {symbol}")

    async def details_in_loop(self, symbol: str, *, anywhere: bool = False) -> list[Any]:
        connection = self._connection
        try:
            described = connection.library.Stock(to_api(symbol)) if anywhere else self._described(symbol)
            request = connection.ib.reqContractDetailsAsync(described)
            found = list(await connection.answer(request, f"contract of {symbol}"))
        except Exception as failure:
            if meaning(getattr(failure, "code", 0)) is Meaning.NO_SUCH_CONTRACT:
                return []
            raise
        if len(found) == 1 and not anywhere:
            contract = copy(found[0].contract)
            contract.exchange = "SMART"
            self._known[symbol] = contract
        return found

    async def only_one(self, symbol: str) -> Any | list[Any]:
        """The contract of a symbol that names one; else the list of what it names."""
        if symbol not in self._known and symbol in self._ids:
            contract = self._described(symbol)
            contract.conId = self._ids[symbol]
            self._known[symbol] = contract
        if symbol not in self._known:
            found = await self.details_in_loop(symbol)
            if len(found) != 1:
                return found
        return self._known[symbol]

    def trust(self, symbol: str, contract_id: int) -> None:
        """Take IBKR's id for the contract of a symbol, in the place of what was known."""
        self._ids[symbol] = contract_id
        self._known.pop(symbol, None)

    def distrust(self, symbol: str) -> bool:
        """Forget the id that a symbol's contract was made of; whether there was one."""
        known = self._ids.pop(symbol, None) is not None
        if known:
            self._known.pop(symbol, None)
        return known

    def _described(self, symbol: str) -> Any:
        instrument = self._instruments.get(symbol)
        primary = EXCHANGES.get(instrument.mic, "") if instrument else ""
        currency = instrument.currency if instrument else self._currency
        return self._connection.library.Stock(to_api(symbol), "SMART", currency, primaryExchange=primary)
