"""Requests of a client at server version 176, as data.

What belongs here: the number, the name and the fields of every request that is understood. What does
not: what is done about it (`session`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scizor_dagster.paper_exchange.tws_door.order_fields import read_order

CONTRACT = (
    "conId symbol secType lastTrade strike right multiplier exchange primaryExchange currency localSymbol tradingClass"
)

_LAYOUTS = {
    1: f"reqMktData version reqId {CONTRACT} deltaNeutral genericTicks snapshot regulatory options",
    2: "cancelMktData version reqId",
    4: "cancelOrder version orderId manualTime",
    5: "reqOpenOrders version",
    6: "reqAccountUpdates version subscribe account",
    7: "reqExecutions version reqId clientId account time symbol secType exchange side",
    8: "reqIds version count",
    9: f"reqContractDetails version reqId {CONTRACT} includeExpired secIdType secId issuerId",
    10: "reqMktDepth version reqId",
    11: "cancelMktDepth version reqId",
    12: "reqNewsBulletins version all",
    13: "cancelNewsBulletins version",
    14: "setServerLogLevel version level",
    15: "reqAutoOpenOrders version autoBind",
    16: "reqAllOpenOrders version",
    17: "reqManagedAccts version",
    18: "requestFA version type",
    19: "replaceFA version type xml",
    20: f"reqHistoricalData reqId {CONTRACT} includeExpired endDateTime barSize duration useRTH whatToShow formatDate"
    " keepUpToDate chartOptions",
    21: "exerciseOptions version reqId",
    22: "reqScannerSubscription reqId",
    23: "cancelScannerSubscription version reqId",
    24: "reqScannerParameters version",
    25: "cancelHistoricalData version reqId",
    49: "reqCurrentTime version",
    50: f"reqRealTimeBars version reqId {CONTRACT} barSize whatToShow useRTH options",
    51: "cancelRealTimeBars version reqId",
    52: "reqFundamentalData version reqId",
    53: "cancelFundamentalData version reqId",
    54: "calculateImpliedVolatility version reqId",
    55: "calculateOptionPrice version reqId",
    56: "cancelCalculateImpliedVolatility version reqId",
    57: "cancelCalculateOptionPrice version reqId",
    58: "reqGlobalCancel version",
    59: "reqMarketDataType version type",
    61: "reqPositions version",
    62: "reqAccountSummary version reqId group tags",
    63: "cancelAccountSummary version reqId",
    64: "cancelPositions version",
    71: "startApi version clientId optionalCapabilities",
    74: "reqPositionsMulti version reqId account model",
    75: "cancelPositionsMulti version reqId",
    76: "reqAccountUpdatesMulti version reqId account model ledgerAndNlv",
    77: "cancelAccountUpdatesMulti version reqId",
    78: "reqSecDefOptParams reqId symbol exchange secType conId",
    79: "reqSoftDollarTiers reqId",
    80: "reqFamilyCodes version",
    81: "reqMatchingSymbols reqId pattern",
    82: "reqMktDepthExchanges",
    83: "reqSmartComponents reqId exchange",
    84: "reqNewsArticle reqId provider article options",
    85: "reqNewsProviders",
    86: "reqHistoricalNews reqId conId providers start end most options",
    87: f"reqHeadTimeStamp reqId {CONTRACT} includeExpired useRTH whatToShow formatDate",
    88: "reqHistogramData reqId",
    89: "cancelHistogramData reqId",
    90: "cancelHeadTimeStamp reqId",
    91: "reqMarketRule ruleId",
    92: "reqPnL reqId account model",
    93: "cancelPnL reqId",
    94: "reqPnLSingle reqId account model conId",
    95: "cancelPnLSingle reqId",
    96: "reqHistoricalTicks reqId",
    97: f"reqTickByTickData reqId {CONTRACT} kind count ignoreSize",
    98: "cancelTickByTickData reqId",
    99: "reqCompletedOrders apiOnly",
    100: "reqWshMetaData reqId",
    101: "cancelWshMetaData reqId",
    102: "reqWshEventData reqId",
    103: "cancelWshEventData reqId",
    104: "reqUserInfo reqId",
}
_NAMED = {number: tuple(layout.split()) for number, layout in _LAYOUTS.items()}
PLACE_ORDER_NUMBER = 3
UNSUPPORTED = "unsupported"
_WITH_ID_SECOND = frozenset({68, 69, 70})
"""Requests that are not understood, and have an id all the same: an answer without it is heard by nobody."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its name as the API documents it, and its fields by name.

    `fields` is empty for a request that is not understood; its `name` is then `unsupported`, and
    `number` says which.
    """

    name: str
    number: int
    fields: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        return self.fields.get(key, "")

    def number_of(self, key: str) -> int:
        """A whole number; -1 where the field is empty or none."""
        try:
            return int(self[key])
        except ValueError:
            return -1

    def flag(self, key: str) -> bool:
        return self[key] not in ("", "0", "false", "False")

    @property
    def req_id(self) -> int:
        return self.number_of("orderId" if "orderId" in self.fields else "reqId")


def parse(fields: Sequence[str]) -> Request:
    """The request that a frame holds."""
    number = int(fields[0]) if fields and fields[0].isdigit() else -1
    if number == PLACE_ORDER_NUMBER:
        return _place_order(fields)
    layout = _NAMED.get(number)
    if layout is None:
        place = 2 if number in _WITH_ID_SECOND else len(fields)
        return Request(UNSUPPORTED, number, {"reqId": "".join(fields[place : place + 1])})
    return Request(layout[0], number, dict(zip(layout[1:], fields[1:], strict=False)))


def _place_order(fields: Sequence[str]) -> Request:
    values = read_order(fields)
    if values is None:
        values = {"orderId": fields[1] if len(fields) > 1 else "", "malformed": "1"}
    return Request("placeOrder", PLACE_ORDER_NUMBER, values)
