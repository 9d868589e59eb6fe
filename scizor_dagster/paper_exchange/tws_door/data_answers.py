"""Answers to requests that concern contracts and prices.

What belongs here: from a request to the messages that answer it. What does not: rules (`market_data`) and layouts.
"""

from __future__ import annotations

from scizor_dagster.paper_exchange.tws_door.call import Answer, Call
from scizor_dagster.paper_exchange.tws_door.contracts import market_rule
from scizor_dagster.paper_exchange.tws_door.feeds import TICK_KINDS, GrowingBars, Quotes, RealTimeBars, Ticks
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError

_OPEN_HISTORY = 50


def _contract_details(call: Call) -> None:
    contracts, now = call.door.contracts, call.door.venue.now()
    matches = contracts.matches(call.request)
    if not matches:
        raise ApiError(200, "No security definition has been found for the request")
    for listing in matches:
        call.send(*contracts.details(call.request.req_id, listing, now, call.request["exchange"] or "SMART"))
    call.send(52, 1, call.request.req_id)


def _matching(call: Call) -> None:
    contracts = call.door.contracts
    call.send(*contracts.samples(call.request.req_id, contracts.like(call.request["pattern"])))


def _market_rule(call: Call) -> None:
    fields = market_rule(call.request.number_of("ruleId"))
    if fields is None:
        raise ApiError(321, "Error validating request.-'cM' : cause - Invalid market rule id")
    call.send(*fields)


def _history(call: Call) -> None:
    if len(call.session.open_history) >= _OPEN_HISTORY:
        text = "Only 50 simultaneous API historical data requests allowed"
        raise ApiError(322, f"Error processing request.-'bI' : cause - {text}")
    history, listing = call.door.history, call.door.orders.resolve(call.request)
    if call.request.flag("keepUpToDate") and call.request["endDateTime"]:
        raise ApiError(321, "Error validating request.-'bI' : cause - End date not supported with keep up to date")
    fields, rows = history.bars(call.request, listing)
    call.send(*fields)
    if call.request.flag("keepUpToDate") and rows:
        call.session.open_history.add(call.request.req_id)
        call.session.feed(call.request.req_id, GrowingBars(history, call.request, listing, rows))


def _cancel_history(call: Call) -> None:
    if call.request.req_id not in call.session.open_history:
        raise ApiError(366, f"No historical data query found for ticker id:{call.request.req_id}")
    call.session.open_history.discard(call.request.req_id)
    call.session.feeds.pop(call.request.req_id, None)
    text = f"API historical data query cancelled: {call.request.req_id}"
    raise ApiError(162, f"Historical Market Data Service error message:{text}")


def _head_timestamp(call: Call) -> None:
    listing = call.door.orders.resolve(call.request)
    call.send(*call.door.history.head_timestamp(call.request, listing))


def _market_data(call: Call) -> None:
    door = call.door
    listing = door.orders.resolve(call.request)
    shown = door.market_data.shown_type(call.session.data_type)
    call.send(58, 1, call.request.req_id, shown)
    quotes = Quotes(door.market_data, call.request.req_id, listing, shown)
    if call.request.flag("snapshot"):
        call.session.tell_feed(quotes)
        call.send(57, 1, call.request.req_id)
    else:
        call.session.feed(call.request.req_id, quotes)


def _tick_by_tick(call: Call) -> None:
    listing, kind = call.door.orders.resolve(call.request), call.request["kind"]
    if kind not in TICK_KINDS:
        raise ApiError(10189, f"Failed to request tick-by-tick data.{kind} tick-by-tick requests are not supported.")
    _check_live(call, 10189, "Failed to request tick-by-tick data.")
    call.session.feed(call.request.req_id, Ticks(call.door.venue, call.request.req_id, listing, kind))


def _real_time_bars(call: Call) -> None:
    listing = call.door.orders.resolve(call.request)
    _check_live(call, 420, "Invalid Real-time Query:")
    call.session.feed(call.request.req_id, RealTimeBars(call.door.venue, call.request.req_id, listing))


def _check_live(call: Call, code: int, text: str) -> None:
    """Ticks and bars of the moment are never delayed: they need a subscription."""
    if call.door.switches.market_data != "live":
        raise ApiError(code, f"{text}No market data permissions for {call.request['exchange']} STK")


def _cancel_feed(call: Call) -> None:
    if call.session.feeds.pop(call.request.req_id, None) is None:
        raise ApiError(300, f"Can't find EId with tickerId:{call.request.req_id}")


def _data_type(call: Call) -> None:
    call.session.data_type = call.request.number_of("type")


DATA_ANSWERS: dict[str, Answer] = {
    "reqContractDetails": _contract_details,
    "reqMatchingSymbols": _matching,
    "reqMarketRule": _market_rule,
    "reqHistoricalData": _history,
    "cancelHistoricalData": _cancel_history,
    "reqHeadTimeStamp": _head_timestamp,
    "reqMktData": _market_data,
    "cancelMktData": _cancel_feed,
    "reqTickByTickData": _tick_by_tick,
    "cancelTickByTickData": _cancel_feed,
    "reqRealTimeBars": _real_time_bars,
    "cancelRealTimeBars": _cancel_feed,
    "reqMarketDataType": _data_type,
}
