"""Layouts of orders against the unmodified client: every field lands where its name says."""

from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.tws_door.order_layouts import COMPLETED_ORDER, OPEN_ORDER, PLACE_ORDER
from scizor_dagster.paper_exchange.tws_door.order_messages import (
    Address,
    Told,
    commission_report,
    completed_order,
    exec_details,
    open_order,
    order_status,
)
from scizor_dagster.paper_exchange.tws_door.requests import parse
from scizor_dagster.paper_exchange.tws_door.wire import text_of
from scizor_dagster.paper_exchange.venue_orders import Duration, Execution, OrderKind, Status, Ticket, VenueOrder
from tests.paper_exchange.floor import listing
from tests.paper_exchange.tws_door.client import LOOP, api, asyncio

NOON = datetime(2024, 3, 4, 17, tzinfo=UTC)
AAA = listing(Instrument("AAA", "XNAS", "USD"))
INSERTS_FIELDS = {"deltaNeutralOrderType", "scalePriceIncrement", "hedgeType", "algoStrategy", "conditions"}
"""Fields that bring others with them once they are set."""
SIDES = {Side.BUY: "BOT", Side.SELL: "SLD"}
PRICES = st.decimals("0.01", "9999", places=2)


def sent(order, contract=None) -> list[str]:
    """The fields of a `placeOrder` as the client writes them."""
    asyncio.set_event_loop(LOOP)
    ib = api.IB()
    client = ib.client
    client._serverVersion, client.connState = 176, client.CONNECTED
    messages: list[str] = []
    client.sendMsg = messages.append
    client.placeOrder(7, contract or api.Stock("AAA", "SMART", "USD"), order)
    client.connState = client.DISCONNECTED
    return messages[0].split("\0")[:-1]


def named(order_type) -> list[str]:
    kinds = (int, float, str, bool)
    return [
        row.name
        for row in fields(order_type)
        if row.name in PLACE_ORDER and row.name not in INSERTS_FIELDS | {"orderId"} and type(row.default) in kinds
    ]


@pytest.mark.parametrize("name", named(api.Order))
def test_every_field_of_an_order_is_read_where_the_client_writes_it(name):
    kind = "VOL" if name == "volatility" else "LMT"
    plain, changed = api.Order(orderType=kind), api.Order(orderType=kind)
    value = {bool: True, int: 77, float: 7.5, str: "words"}[type(getattr(plain, name))]
    if getattr(plain, name) == value:
        value = not value
    setattr(changed, name, value)
    before, after = parse(["3", *sent(plain)[1:]]), parse(["3", *sent(changed)[1:]])
    different = {key for key in PLACE_ORDER if before[key] != after[key]}
    assert different == {name}
    assert after[name] == ({True: "1", False: "0"}[value] if isinstance(value, bool) else str(value))


CONDITIONS = [
    api.PriceCondition(price=100.0, conId=7, exch="SMART"),
    api.TimeCondition(time="20261030 16:00:00"),
    api.MarginCondition(percent=5),
    api.ExecutionCondition(secType="STK", exch="SMART", symbol="AAA"),
    api.VolumeCondition(volume=5, conId=7, exch="SMART"),
    api.PercentChangeCondition(changePercent=2.0, conId=7, exch="SMART"),
]
"""Every condition of the API, each with a number of fields of its own."""
BRINGING = {
    "algorithm": {"algoStrategy": "Adaptive", "algoParams": [api.TagValue("adaptivePriority", "Normal")]},
    "algorithm without parameters": {"algoStrategy": "Adaptive"},
    "hedge": {"hedgeType": "P", "hedgeParam": "2"},
    "scale": {"scalePriceIncrement": 0.5, "scaleInitLevelSize": 5},
    "delta neutral": {"deltaNeutralOrderType": "MKT", "deltaNeutralConId": 9},
    "conditions": {"conditions": CONDITIONS},
    "pegged to a benchmark": {"orderType": "PEG BENCH", "referenceContractId": 3},
    "pegged to the middle": {"orderType": "PEG MID"},
    "pegged to the best": {"orderType": "PEG BEST"},
    "pegged to the best, up to the middle": {"orderType": "PEG BEST", "competeAgainstBestOffset": float("inf")},
}


@pytest.mark.parametrize("name", BRINGING)
def test_fields_that_bring_others_are_read_and_those_behind_them_too(name):
    own = {"orderType": "LMT"} | BRINGING[name]
    last = {"whatIf": True, "cashQty": 7.5, "adjustedOrderType": "STP", "manualOrderTime": "now"}
    request = parse(sent(api.Order(action="BUY", totalQuantity=3, orderRef="mine", **(own | last))))
    assert not request["malformed"]
    assert [request[key] for key in ("orderId", "orderRef", "whatIf", "cashQty", "adjustedOrderType")] == [
        *("7", "mine", "1", "7.5", "STP")
    ]
    assert request["manualOrderTime"] == "now"
    assert request["orderType"] == own["orderType"]


def test_the_parameters_of_an_algorithm_are_kept():
    order = api.Order(
        algoStrategy="Vwap", algoParams=[api.TagValue("maxPctVol", "0.1"), api.TagValue("noTakeLiq", "1")]
    )
    assert parse(sent(order))["algoParams"] == "maxPctVol\0000.1\0noTakeLiq\0001"


def test_the_legs_of_a_combination_are_passed_over():
    legs = [api.ComboLeg(1, 1, "BUY", "SMART"), api.ComboLeg(2, 1, "SELL", "SMART")]
    bag = api.Bag(symbol="AAA", exchange="SMART", currency="USD", comboLegs=legs)
    order = api.Order(orderRef="mine", orderComboLegs=[api.OrderComboLeg(1.5)])
    request = parse(sent(order, bag))
    assert (request["secType"], request["orderRef"], request["malformed"]) == ("BAG", "mine", "")


@st.composite
def orders(draw) -> VenueOrder:
    kind = draw(st.sampled_from([OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP, OrderKind.STOP_LIMIT]))
    qty = D(draw(st.integers(1, 10_000)))
    ticket = Ticket(
        "tws-1-7-1",
        "AAA",
        draw(st.sampled_from(Side)),
        kind,
        draw(st.sampled_from([Duration.DAY, Duration.GTC, Duration.OPG, Duration.IOC])),
        qty,
        limit_price=draw(PRICES) if "limit" in kind.value else None,
        stop_price=draw(PRICES) if "stop" in kind.value else None,
        reference=draw(st.text("abc-_.123", max_size=48)),
        group=draw(st.sampled_from([None, "one-cancels"])),
        owner="1/7",
    )
    done = D(draw(st.integers(0, int(qty))))
    return VenueOrder(
        number=3,
        order_id="x",
        ticket=ticket,
        qty=qty,
        status=draw(st.sampled_from([row for row in Status if row is not Status.REPLACED])),
        created_at=NOON,
        submitted_at=NOON,
        updated_at=NOON,
        expires_at=None,
        intent=PositionIntent.BUY_TO_OPEN,
        filled_qty=done,
        average_price=draw(PRICES) if done else None,
    )


class Heard:
    """A wrapper that keeps what the client's decoder makes of a message."""

    def __init__(self) -> None:
        asyncio.set_event_loop(LOOP)
        self.ib = api.IB()
        self.calls: dict[str, tuple] = {}
        for name in ("openOrder", "completedOrder", "orderStatus", "execDetails", "commissionReport"):
            setattr(self.ib.wrapper, name, lambda *values, name=name: self.calls.update({name: values}))
        self.ib.client.decoder.serverVersion = 176

    def decode(self, message) -> tuple:
        self.calls.clear()
        self.ib.client.decoder.interpret([text_of(value) for value in message])
        (values,) = self.calls.values()
        return values


HEARD = Heard()


def told(order: VenueOrder) -> Told:
    return Told(order, AAA, "DU1", Address(1, 7), 100_000_003)


@given(orders())
def test_an_open_order_is_heard_as_it_stands(order):
    message = open_order(told(order))
    assert len(message) == len(OPEN_ORDER) == 136
    _, contract, heard, _ = HEARD.decode(message)
    assert (contract.conId, contract.symbol, contract.currency) == (AAA.contract_id, "AAA", "USD")
    assert (heard.orderId, heard.clientId, heard.permId, heard.account) == (7, 1, 100_000_003, "DU1")
    assert (heard.action, heard.totalQuantity) == (order.ticket.side.value.upper(), float(order.qty))
    assert heard.lmtPrice == float(order.ticket.limit_price or 0)
    assert heard.auxPrice == float(order.ticket.stop_price or 0)
    assert (heard.orderRef, heard.ocaGroup) == (order.ticket.reference, order.ticket.group or "")
    assert heard.tif == order.ticket.duration.value.upper()


@given(orders())
def test_a_status_says_what_has_filled_and_what_is_left(order):
    number, status, filled, remaining, average, perm_id, parent, *_ = HEARD.decode(order_status(told(order)))
    assert (number, perm_id, parent, filled) == (7, 100_000_003, 0, float(order.filled_qty))
    assert average == float(order.average_price or 0)
    assert remaining == (0 if order.status is Status.FILLED else float(order.qty - order.filled_qty))
    assert status in {"PreSubmitted", "Submitted", "PendingCancel", "Filled", "Cancelled", "Inactive"}


@given(orders())
def test_a_completed_order_is_heard_with_its_reference_and_without_an_order_id(order):
    message = completed_order(told(order), "US/Eastern")
    assert len(message) == len(COMPLETED_ORDER) == 101
    _, heard, state = HEARD.decode(message)
    assert (heard.orderId, heard.orderRef, heard.permId) == (0, order.ticket.reference, 100_000_003)
    assert heard.filledQuantity == float(order.filled_qty)
    assert heard.totalQuantity == (0 if order.status is Status.FILLED else float(order.qty))
    assert state.completedTime == "20240304 12:00:00 US/Eastern"


@given(orders(), PRICES, st.integers(1, 500), st.integers(1, 9), st.booleans())
def test_an_execution_is_heard_to_the_second_with_and_without_its_zone(order, price, qty, correction, named_zone):
    fill = Execution(
        "0000e0d5.00000001.01",
        "x",
        "AAA",
        order.ticket.side,
        D(qty),
        price,
        D("1.25"),
        NOON,
        NOON.date(),
        D(qty),
        D(0),
        D(qty),
        correction=correction,
    )
    HEARD.ib.TimezoneTWS = "US/Eastern"
    message = exec_details(told(order), fill, req_id=-1, zone="US/Eastern", named_zone=named_zone)
    assert len(message) == 31
    _, contract, heard = HEARD.decode(message)
    assert (heard.execId, heard.time) == (f"0000e0d5.00000001.01.0{correction}", NOON)
    assert (heard.shares, heard.price, heard.side) == (
        qty,
        float(price),
        "BOT" if order.ticket.side is Side.BUY else "SLD",
    )
    assert (heard.orderRef, heard.permId, contract.exchange) == (order.ticket.reference, 100_000_003, "NASDAQ")
    (report,) = HEARD.decode(commission_report(fill, "USD"))
    assert (report.execId, report.commission, report.currency) == (heard.execId, 1.25, "USD")
