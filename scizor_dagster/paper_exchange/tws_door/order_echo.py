"""What an order says of itself that the venue has no use for, kept so that the order can be told as it was sent.

What belongs here: which words are kept, and how they stand behind the order's address in its ticket. What
does not: words that the venue knows (`tickets`), and the messages (`order_messages`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from scizor_dagster.paper_exchange.tws_door.order_fields import ALGO_PARAMETERS, SEPARATOR
from scizor_dagster.paper_exchange.tws_door.order_layouts import UNSET_DOUBLE, UNSET_INTEGER
from scizor_dagster.paper_exchange.tws_door.wire import Field

_KEPT = (
    *("openClose", "hidden", "discretionaryAmt", "goodAfterTime", "faGroup", "faMethod", "faPercentage", "modelCode"),
    *("rule80A", "settlingFirm", "shortSaleSlot", "designatedLocation", "displaySize", "blockOrder", "sweepToFill"),
    *("ocaType", "eTradeOnly", "firmQuoteOnly", "nbboPriceCap", "triggerMethod", "optOutSmartRouting"),
    *("clearingAccount", "clearingIntent", "notHeld", "solicited", "randomizeSize", "randomizePrice"),
    *("usePriceMgmtAlgo", "duration", "autoCancelParent", "algoStrategy", ALGO_PARAMETERS),
)
_NOTHING = frozenset({"", "0", "0.0", UNSET_DOUBLE, UNSET_INTEGER})


def owner_of(client: int, order: int, request: Mapping[str, str]) -> str:
    """The owner of a ticket: its address, and behind it the words that are kept."""
    said = {name: request[name] for name in _KEPT if request.get(name, "") not in _NOTHING}
    return f"{client}/{order}" + (f" {json.dumps(said)}" if said else "")


def address_in(owner: str) -> tuple[int, int] | None:
    """Client and order id of an owner; None where no client of this door has placed the order."""
    client, _, order = owner.partition(" ")[0].partition("/")
    return (int(client), int(order)) if client.isdigit() and order.isdigit() else None


def said_in(owner: str) -> dict[str, str]:
    """The words behind the address."""
    said = owner.partition(" ")[2]
    return dict(json.loads(said)) if said and address_in(owner) is not None else {}


def in_order(layout: tuple[str, ...], values: Mapping[str, str]) -> list[Field]:
    """The fields of a message; an algorithm brings its parameters with it."""
    fields: list[Field] = []
    for name in layout:
        fields.append(values.get(name, ""))
        if name == "algoStrategy" and values.get(name):
            said = values.get(ALGO_PARAMETERS, "")
            parameters = said.split(SEPARATOR) if said else []
            fields += [len(parameters) // 2, *parameters]
    return fields
