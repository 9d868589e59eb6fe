"""Requests for what this TWS does not have: each gets the answer of a TWS that has none of it.

What belongs here: empty lists, and the codes with which a TWS refuses. What does not: requests that are served.

Never silence: a client waits for ever for an answer that does not come.
"""

from __future__ import annotations

from scizor_dagster.paper_exchange.tws_door.call import Answer, Call
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError

_SCANS = '<?xml version="1.0" encoding="UTF-8"?><ScanParameterResponse></ScanParameterResponse>'
_NO_PERMISSIONS = "No market data permissions"


def _refused(code: int, text: str) -> Answer:
    def answer(_: Call) -> None:
        raise ApiError(code, text)

    return answer


def _empty(number: int, *, after_id: bool = False) -> Answer:
    """A list of nothing."""

    def answer(call: Call) -> None:
        call.send(number, *([call.request.req_id] if after_id else []), 0)

    return answer


def _scanner_parameters(call: Call) -> None:
    call.send(19, 1, _SCANS)


def _option_chains(call: Call) -> None:
    call.send(76, call.request.req_id)


def _family_codes(call: Call) -> None:
    ids = list(call.door.book.ids.values())
    call.send(78, len(ids), *(field for account in ids for field in (account, "")))


def _user_info(call: Call) -> None:
    call.send(107, call.request.req_id, "")


def _nothing(_: Call) -> None:
    """The end of what has never begun, or a setting that changes nothing here."""


UNSERVED_ANSWERS: dict[str, Answer] = {
    "reqMktDepth": _refused(354, "Requested market data is not subscribed."),
    "requestFA": _refused(
        321, "Error validating request.-'b2' : cause - FA data operations ignored for non FA customers."
    ),
    "replaceFA": _refused(
        321, "Error validating request.-'b3' : cause - FA data operations ignored for non FA customers."
    ),
    "exerciseOptions": _refused(200, "No security definition has been found for the request"),
    "reqScannerSubscription": _refused(
        162, f"Historical Market Data Service error message:Scanner is not available: {_NO_PERMISSIONS}"
    ),
    "reqScannerParameters": _scanner_parameters,
    "reqFundamentalData": _refused(
        430, "We are sorry, but fundamentals data for the security specified is not available."
    ),
    "calculateImpliedVolatility": _refused(200, "No security definition has been found for the request"),
    "calculateOptionPrice": _refused(200, "No security definition has been found for the request"),
    "reqSecDefOptParams": _option_chains,
    "reqSoftDollarTiers": _empty(77, after_id=True),
    "reqFamilyCodes": _family_codes,
    "reqMktDepthExchanges": _empty(80),
    "reqSmartComponents": _empty(82, after_id=True),
    "reqNewsArticle": _refused(10172, "Failed to request news article: No data available"),
    "reqNewsProviders": _empty(85),
    "reqHistoricalNews": _refused(10276, "News feed is not allowed."),
    "reqHistogramData": _refused(162, "Historical Market Data Service error message:HMDS query returned no data"),
    "reqHistoricalTicks": _refused(10187, f"Failed to request historical ticks:{_NO_PERMISSIONS}"),
    "reqWshMetaData": _refused(10279, "Failed request WSH metadata"),
    "reqWshEventData": _refused(10283, "Failed request WSH event data"),
    "reqUserInfo": _user_info,
} | dict.fromkeys(
    (
        *(
            "reqNewsBulletins",
            "cancelNewsBulletins",
            "setServerLogLevel",
            "cancelMktDepth",
            "cancelScannerSubscription",
        ),
        *("cancelFundamentalData", "cancelCalculateImpliedVolatility", "cancelCalculateOptionPrice"),
        *("cancelHistogramData", "cancelWshMetaData", "cancelWshEventData"),
    ),
    _nothing,
)
