"""Carrying out faults of single requests: what each of the shared words means on this wire.

What belongs here: what happens to the connection and to the answer. What does not: when a fault strikes
(`paper_exchange.faults`), and faults of messages that go out by themselves (`pushes`).

The call of a fault is the name of a request in the words of a script (`place_order`, `req_positions`, ...),
`connect` for a client that has just started its session, or `order_status` and `exec_details`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scizor_dagster.paper_exchange.faults import FaultKind
from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.wire import encode
from scizor_dagster.paper_exchange.venue import Fault
from scizor_dagster.paper_exchange.venue_orders import Mishap

if TYPE_CHECKING:
    from scizor_dagster.paper_exchange.tws_door.session import Session

MISHAPS = {
    FaultKind.REJECT_LATER: Mishap.REJECT,
    FaultKind.STUCK: Mishap.STICK,
    FaultKind.PARTIAL_THEN_CANCEL: Mishap.PARTIAL_CANCEL,
}
QUIET = frozenset(
    {
        FaultKind.REPLY_LOST_AFTER,
        FaultKind.HANG,
        FaultKind.GATEWAY_TIMEOUT_AFTER,
        FaultKind.CONNECTION_LOST,
        FaultKind.HTML_BODY,
        FaultKind.GARBAGE,
        FaultKind.EMPTY_REPLY,
    }
)
"""Faults under which a request is carried out and nothing is said of it."""
UNTOLD = frozenset({FaultKind.HANG, FaultKind.GATEWAY_TIMEOUT_AFTER})
"""Of these, the ones under which the order that was placed is never spoken of on the stream either."""
_PACING = "Historical Market Data Service error message:Historical data request pacing violation"
_REFUSALS = {
    FaultKind.RATE_LIMITED: (100, "Max rate of messages per second has been exceeded:50"),
    FaultKind.SERVER_ERROR: (320, "Server error when processing an API client request."),
}
_HTML = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html><body>502 Bad Gateway</body></html>"
_NO_MESSAGES = {FaultKind.GARBAGE: encode(["\ufffdno message", "53"]), FaultKind.EMPTY_REPLY: encode([])}
"""Frames that say nothing, in the place of an answer."""
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def call_of(name: str) -> str:
    """The name of a request as a script writes it: `placeOrder` is `place_order`."""
    return _CAPITAL.sub("_", name).lower()


def strike_before(session: Session, fault: Fault, request: Request | None = None) -> bool:
    """Carry out what comes before a request; True where the request itself is not carried out."""
    req_id = request.req_id if request is not None else -1
    history = request is not None and request.name == "reqHistoricalData"
    if fault.kind in (FaultKind.REPLY_LOST_BEFORE, FaultKind.DISCONNECT):
        session.close()
    elif fault.kind == FaultKind.RESET:
        session.reset()
    elif fault.kind == FaultKind.GATEWAY_TIMEOUT_BEFORE:
        if history:
            session.open_history.add(req_id)
    elif fault.kind == FaultKind.RATE_LIMITED and history:
        session.error(req_id, 162, _PACING)
    elif fault.kind in _REFUSALS:
        session.error(req_id, *_REFUSALS[FaultKind(fault.kind)])
    elif fault.kind == FaultKind.CODE and fault.detail.get("instead"):
        session.error(req_id, *_code(fault))
    else:
        return False
    return True


def strike_after(session: Session, fault: Fault, request: Request) -> None:
    """Carry out what comes after a request that was carried out."""
    door = session.door
    if fault.kind == FaultKind.REPLY_LOST_AFTER:
        session.close()
    elif fault.kind == FaultKind.HTML_BODY:
        session.write_raw(_HTML)
        session.close()
    elif fault.kind in _NO_MESSAGES:
        session.write_raw(_NO_MESSAGES[FaultKind(fault.kind)])
    elif fault.kind == FaultKind.CODE:
        door.soon(session.error, request.req_id, *_code(fault))
    elif fault.kind == FaultKind.CONNECTION_LOST:
        door.lose_connectivity(requests=int(fault.detail.get("requests", 3)), kept=bool(fault.detail.get("kept")))
    elif fault.kind == FaultKind.RESTART:
        door.book.forget_ids()
        door.close_all()


def _code(fault: Fault) -> tuple[int, str]:
    return int(fault.detail["code"]), str(fault.detail.get("text", ""))
