"""Answers to requests that concern contracts and prices.

What belongs here: from a request to the messages that answer it. What does not: rules (`market_data`) and layouts.
"""

from __future__ import annotations

from scizor_dagster.paper_exchange.tws_door.call import Answer, Call
from scizor_dagster.paper_exchange.tws_door.contracts import market_rule
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError

_OPEN_HISTORY = 50


def _contract_details(call: Call) -> None:
    contracts, now = call.door.contracts, call.door.venue.now()
    matches = contracts.matches(call.request)
    if not matches:
        raise ApiError(200, "No security definition has been found for the request")
    for listing in matches:
        call.send(*contracts.details(call.request.req_id, listing, now))
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
    listing = call.door.orders.resolve(call.request)
    call.send(*call.door.market_data.bars(call.request, listing))
    if call.request.flag("keepUpToDate"):
        call.session.open_history.add(call.request.req_id)


def _cancel_history(call: Call) -> None:
    if call.request.req_id not in call.session.open_history:
        raise ApiError(366, f"No historical data query found for ticker id:{call.request.req_id}")
    call.session.open_history.discard(call.request.req_id)
    text = f"API historical data query cancelled: {call.request.req_id}"
    raise ApiError(162, f"Historical Market Data Service error message:{text}")


def _head_timestamp(call: Call) -> None:
    listing = call.door.orders.resolve(call.request)
    call.send(*call.door.market_data.head_timestamp(call.request, listing))


def _market_data(call: Call) -> None:
    door = call.door
    listing = door.orders.resolve(call.request)
    shown = door.market_data.shown_type(call.session.data_type)
    call.send(58, 1, call.request.req_id, shown)
    for message in door.market_data.ticks(call.request.req_id, listing, shown):
        call.send(*message)
    if call.request.flag("snapshot"):
        call.send(57, 1, call.request.req_id)
    else:
        call.session.streams[call.request.req_id] = (listing, shown)


def _cancel_market_data(call: Call) -> None:
    if call.session.streams.pop(call.request.req_id, None) is None:
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
    "cancelMktData": _cancel_market_data,
    "reqMarketDataType": _data_type,
}
