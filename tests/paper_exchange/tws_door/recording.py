"""Recorded sessions as a server plays them: what the real thing said, at the layout that is spoken here."""

import asyncio
import base64
import threading
from concurrent.futures import Future

from scizor_dagster.paper_exchange.tws_door.order_layouts import (
    COMPLETED_ORDER,
    OPEN_ORDER,
    OPEN_ORDER_DEFAULTS,
)
from scizor_dagster.paper_exchange.tws_door.requests import parse
from scizor_dagster.paper_exchange.tws_door.wire import encode, read_frame, read_greeting
from tests.paper_exchange.tws_door.client import PATIENCE

CLIENT_STEPS = {
    "place_order": "placeOrder",
    "cancel_order": "cancelOrder",
    "req_executions": "reqExecutions",
    "req_completed_orders": "reqCompletedOrders",
}


STATUS = "status filled remaining avg_fill_price perm_id parent_id last_fill_price client_id why_held mkt_cap_price"


def legs_of(steps):
    """The steps of each connection, without its handshake."""
    legs = []
    for who, what, fields in steps:
        if who == "handshake":
            legs.append([])
        elif who in ("client", "server", "raw"):
            legs[-1].append((who, what, fields))
    return legs


class Player:
    """Plays one recording, a connection for each leg; `close` shows whether it came to its end."""

    def __init__(self, steps) -> None:
        self.legs = legs_of(steps)
        self._loop = asyncio.new_event_loop()
        self._done: Future = Future()
        self._waiting = iter(self.legs)
        self._left = len(self.legs)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(PATIENCE)

    def played(self) -> None:
        """Wait until every leg was played; raises what went wrong in one."""
        self._done.result(PATIENCE)

    def close(self) -> None:
        async def end() -> None:
            self._server.close()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer) -> None:
        try:
            await self._play(next(self._waiting), reader, writer)
            self._left -= 1
            if not self._left:
                self._done.set_result(None)
            await reader.read()
        except Exception as problem:
            self._done.set_exception(problem)
        finally:
            writer.close()

    async def _play(self, leg, reader, writer) -> None:
        await read_greeting(reader)
        writer.write(encode([176, "20260415 10:00:00 US/Eastern"]))
        assert parse(await read_frame(reader)).name == "startApi"
        req_id = 0
        for who, what, fields in leg:
            if who == "client":
                request = parse(await read_frame(reader))
                scope = {"all": "reqAllOpenOrders", "client": "reqOpenOrders"}
                expected = CLIENT_STEPS.get(what) or scope[fields["scope"]]
                assert request.name == expected, (request.name, what)
                req_id = request.req_id
            elif who == "raw":
                writer.write(raw_frame(fields if isinstance(fields, str) else what))
            else:
                writer.write(encode(message(what, fields, req_id)))
        await writer.drain()


def raw_frame(text: str) -> bytes:
    """A recorded frame; a completed order of a newer version becomes one of this version."""
    body = base64.b64decode(text.split()[-1])[4:].decode()
    fields = body.split("\0")[:-1]
    if fields[0] != "101":
        return encode(fields)
    fields.insert(COMPLETED_ORDER.index("faProfile"), "")
    return encode(fields[: len(COMPLETED_ORDER)])


def message(what, fields, req_id):
    """A recorded step at server version 176."""
    if what == "managed_accounts":
        return [15, 1, ",".join(fields["accounts"])]
    if what == "next_valid_id":
        return [9, 1, fields["order_id"]]
    if what == "open_order_end":
        return [53, 1]
    if what == "api_error":
        return [4, 2, fields["req_id"], fields["code"], fields["message"], fields["advanced_order_reject_json"]]
    if what == "order_status":
        names = (
            "status filled remaining avg_fill_price perm_id parent_id last_fill_price client_id why_held mkt_cap_price"
        )
        return [3, fields["order_id"], *(fields[name] for name in names.split())]
    if what == "commission_report":
        names = ("exec_id", "commission", "currency", "realized_pnl")
        return [59, 1, *(fields[name] for name in names), "", ""]
    if what == "execution_detail":
        return _execution(fields)
    assert what == "open_order", what
    return _open_order(fields)


def _execution(fields):
    time = fields["time"].replace("-", "").replace("T", "  ").replace("Z", "")
    contract = ["265598", fields["symbol"], "STK", "", "0.0", "", "", "IEX", "USD", fields["symbol"], "NMS"]
    head = [11, fields["req_id"], fields["order_id"], *contract, fields["exec_id"], time, fields["account"], "IEX"]
    tail = [fields["side"], fields["shares"], fields["price"], 0, fields.get("client_id", 1), 0]
    return [*head, *tail, fields["shares"], fields["price"], "", "", "", "", 2]


def _open_order(fields):
    contract = fields["contract"]
    values = OPEN_ORDER_DEFAULTS | {
        "orderId": fields["order_id"],
        "conId": contract["con_id"],
        "symbol": contract["symbol"],
        "localSymbol": contract["local_symbol"],
        "tradingClass": contract["trading_class"],
        "action": fields["action"],
        "totalQuantity": fields["quantity"],
        "orderType": fields["order_type"],
        "lmtPrice": fields["lmt_price"],
        "auxPrice": fields["aux_price"],
        "tif": fields["tif"],
        "account": fields["account"],
        "clientId": fields["client_id"],
        "permId": fields["perm_id"],
        "status": fields.get("status", "PreSubmitted"),
    }
    return [values.get(name, "") for name in OPEN_ORDER]
