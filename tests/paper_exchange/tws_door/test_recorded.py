"""What a real TWS has said: through the unmodified client, and done again by the exchange."""

import json
import logging

import pytest

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.tws_door.order_layouts import (
    COMPLETED_ORDER,
    COMPLETED_ORDER_DEFAULTS,
    OPEN_ORDER,
    OPEN_ORDER_DEFAULTS,
)
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from tests.paper_exchange.floor import Floor
from tests.paper_exchange.tws_door.client import LOOP, PATIENCE, Client, api, asyncio
from tests.paper_exchange.tws_door.recording import Player, legs_of

LIFECYCLES = (
    "api_order_rest_cancel_aapl",
    "api_stop_loss_management_aapl",
    "place_order_invalid_type_live_error",
    "api_transmit_false_then_transmit_aapl",
    "api_cross_client_cancel_aapl",
    "api_ioc_fok_aapl",
    "api_client_id0_order_observation_aapl",
    "api_order_handle_reconnect_cancel_aapl",
    "api_reconnect_active_order_aapl",
    "place_order_modify_to_market_late_execution",
    "place_order_fill_native_execution_time",
    "executions_missing_end_live",
    "completed_orders_cancelled_system_live",
)
UNKNOWN_ORDERS = {
    "api_cross_client_cancel_aapl": "the status carries the id of the client that cancels",
    "api_client_id0_order_observation_aapl": "the status carries the id of the client that cancels",
    "api_order_handle_reconnect_cancel_aapl": "the client does not ask for its orders after it has come back",
}
"""Recordings in which a status comes for an order that the library does not know, and why."""
PRICES = {"api_ioc_fok_aapl": 400}
"""Where the market stands at a recording: above its limits, if they were not met."""
NEWER = {"error", "contractData", "execDetails", "historicalData", "openOrder", "completedOrder"}
"""Kinds whose layout at server version 200 is another one."""


@pytest.fixture
def lifecycle(recorded, request):
    rows = [json.loads(line) for line in (recorded / "order_lifecycles.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == list(LIFECYCLES)
    return next(row["steps"] for row in rows if row["name"] == request.param)


@pytest.fixture
def player(lifecycle):
    made = Player(lifecycle)
    yield made
    made.close()


def ends_of(steps) -> dict[int, str]:
    """The last status of each order in a recording."""
    return {fields["order_id"]: fields["status"] for _, what, fields in steps if what == "order_status"}


def client_of(leg, number: int) -> int:
    """The client id of a connection: that of its statuses."""
    ids = [int(fields["client_id"]) for who, what, fields in leg if who == "server" and what == "order_status"]
    return ids[0] if ids else number


class Listener:
    """The unmodified client on a bare connection: what it makes of a recording."""

    def __init__(self, port: int, client_id: int) -> None:
        asyncio.set_event_loop(LOOP)
        self.ib = api.IB()
        self.ib.TimezoneTWS = "UTC"
        self.ib.wrapper.clientId = client_id
        self.codes: list[int] = []
        self.statuses: dict[int, str] = {}
        decode = self.ib.wrapper.orderStatus

        def on_status(order_id, status, *more):
            self.statuses[order_id] = status
            decode(order_id, status, *more)

        self.ib.wrapper.orderStatus = on_status
        self.ib.errorEvent += lambda _req_id, code, *_: self.codes.append(code)
        self.run(self.ib.client.connectAsync("127.0.0.1", port, client_id, PATIENCE))

    def run(self, work):
        asyncio.set_event_loop(LOOP)
        return LOOP.run_until_complete(asyncio.wait_for(work, PATIENCE))

    def do(self, what, fields) -> None:
        """One step of the recorded client."""
        client = self.ib.client
        if what == "place_order":
            place(self.ib, fields)
        elif what == "cancel_order":
            client.cancelOrder(int(fields["order_id"]))
        elif what == "req_open_orders":
            self.pending = self.ib.reqAllOpenOrdersAsync() if fields["scope"] == "all" else self.ib.reqOpenOrdersAsync()
        elif what == "req_executions":
            client.reqExecutions(client.getReqId(), api.ExecutionFilter())
        else:
            assert what == "req_completed_orders"
            self.pending = self.ib.reqCompletedOrdersAsync(True)

    def hear_all(self) -> None:
        """Read until the player has nothing more to say: it closes its half after ours."""

        async def until_closed() -> None:
            gone = asyncio.get_running_loop().create_future()
            self.ib.client.conn.disconnected += lambda *_: gone.done() or gone.set_result(None)
            self.ib.client.conn.transport.write_eof()
            await gone

        self.run(until_closed())


def place(ib, fields) -> None:
    order = api.Order(
        orderId=int(fields["order_id"]),
        action=fields["action"],
        totalQuantity=float(fields["total_quantity"]),
        orderType=fields["order_type"],
        tif=fields["tif"],
        transmit=fields.get("transmit", True),
        orderRef=f"recorded-{fields['order_id']}",
        account=fields["account"],
    )
    if fields.get("lmt_price"):
        order.lmtPrice = float(fields["lmt_price"])
    if fields.get("aux_price"):
        order.auxPrice = float(fields["aux_price"])
    ib.placeOrder(api.Stock("AAPL", "SMART", "USD"), order)


@pytest.mark.reference_data
@pytest.mark.parametrize("lifecycle", LIFECYCLES, indirect=True)
def test_a_recorded_life_of_an_order_ends_in_the_client_as_it_ended(player, lifecycle, request, caplog):
    name = request.node.callspec.params["lifecycle"]
    seen: dict[int, str] = {}
    heard: dict[int, str] = {}
    codes: list[int] = []
    for number, leg in enumerate(player.legs, start=1):
        client = Listener(player.port, client_of(leg, number))
        kept = client.ib.wrapper.trades
        for who, what, fields in leg:
            if who == "client":
                client.do(what, fields)
        if number == len(player.legs):
            player.played()
        client.hear_all()
        seen |= {trade.order.orderId: trade.orderStatus.status for trade in kept.values()}
        heard |= client.statuses
        codes += client.codes
    wanted = ends_of(lifecycle)
    recorded_codes = [fields["code"] for who, what, fields in lifecycle if what == "api_error"]
    assert codes == recorded_codes
    assert heard == wanted
    if name in UNKNOWN_ORDERS:
        caplog.clear()
    else:
        assert {order_id: seen[order_id] for order_id in wanted} == wanted


@pytest.mark.reference_data
@pytest.mark.parametrize("lifecycle", LIFECYCLES, indirect=True)
def test_the_exchange_leads_the_same_life_to_the_same_end(lifecycle, request, tmp_path):
    name = request.node.callspec.params["lifecycle"]
    venue = Floor(tmp_path, [Instrument("AAPL", "XNAS", "USD")], prices={"AAPL": PRICES.get(name, 100)})
    codes: list[int] = []
    with serve_tws(venue) as tws:
        for number, leg in enumerate(legs_of(lifecycle), start=1):
            client = Client(tws.port, client_of(leg, number))
            for who, what, fields in leg:
                if who != "client":
                    continue
                if what == "place_order":
                    place(client.ib, fields | {"account": "DU1000000"})
                elif what == "cancel_order":
                    client.ib.client.cancelOrder(int(fields["order_id"]))
                client.settle()
            codes += client.codes()
            ended = client.run(client.ib.reqCompletedOrdersAsync(False))
            client.close()
    seen = {int(trade.order.orderRef.partition("-")[2]): trade.orderStatus.status for trade in ended}
    assert seen == ends_of(lifecycle)
    assert codes == [fields["code"] for _, what, fields in lifecycle if what == "api_error" and fields["code"] < 2000]


@pytest.mark.reference_data
def test_every_recorded_message_gets_through_the_client(recorded, caplog):
    rows = [json.loads(line) for line in (recorded / "messages.jsonl").read_text().splitlines()]
    asyncio.set_event_loop(LOOP)
    ib = api.IB()
    for key in ("completedOrders", 1001, 9000, 9001):
        ib.wrapper.startReq(key)
    decoded = 0
    for row in rows:
        if row["server_version"] == 200 and row["kind"] in NEWER:
            continue
        ib.client.decoder.serverVersion = 169 if "169" in str(row["server_version"]) else 176
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            ib.client.decoder.interpret(fields_of(row))
        failed = [record.getMessage() for record in caplog.records if "Decoder" in record.name]
        assert failed == [], row["kind"]
        decoded += 1
    assert decoded == 41
    caplog.clear()


def fields_of(row) -> list[str]:
    """The fields of a recorded message, without an empty one that its copy has at the end."""
    fields = row["fields"]
    copied = "trailing empty field is an artefact" in row["note"] or row["kind"] in ("contractData",)
    return fields[:-1] if copied and fields[-1] == "" else fields


@pytest.mark.reference_data
@pytest.mark.parametrize(
    ("kind", "names", "defaults"),
    [("openOrder", OPEN_ORDER, OPEN_ORDER_DEFAULTS), ("completedOrder", COMPLETED_ORDER, COMPLETED_ORDER_DEFAULTS)],
)
def test_what_an_order_leaves_alone_is_written_as_it_was_recorded(recorded, kind, names, defaults):
    rows = [json.loads(line) for line in (recorded / "messages.jsonl").read_text().splitlines()]
    row = next(row for row in rows if row["kind"] == kind)
    for name, value in zip(names, row["fields"], strict=False):
        if name in defaults:
            assert value == defaults[name], name
