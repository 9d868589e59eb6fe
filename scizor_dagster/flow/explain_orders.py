"""The lower half of the chain: from an order to its fills, the position afterwards and the reconciliation.

What belongs here: the links order, checks, permission, events, fills, position and reconciliation. What does not: why
it was ordered (`explain_weights`), and how a position grew over sessions (`explain_positions`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from scizor_dagster.analytics.explain.model import Link, Step, moment, money, number, sentences
from scizor_dagster.flow.explain_facts import SessionFacts
from scizor_dagster.ledger.account_books import AccountBooks, sessions_between
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import IntentRow, release_of
from scizor_dagster.planning.model import PlannedOrder
from scizor_dagster.risk.context import Decision

PASS = Decision.PASS.value
NO_PERMISSION = "Neither arming nor approval was needed."
_QUIET = (
    "from", "to", "reason", "fill_id", "version", "revision", "portfolio", "client_order_id", "symbol", "session",
    "reply", "seen", "executed_at", "limit",
)  # fmt: skip


def orders_of(facts: SessionFacts, symbol: str) -> list[str]:
    """Client order ids of an instrument in the session, those of the ledger and planned ones, in plan order."""
    sent = [name for name, row in facts.intents.items() if row.symbol == symbol]
    planned = [order.client_order_id for order in facts.plan.orders if order.symbol == symbol] if facts.plan else []
    return list(dict.fromkeys([*sent, *planned]))


def order_links(facts: SessionFacts, client_order_id: str) -> Iterator[Link]:
    """One order, from its terms to its fills."""
    intent = facts.intents.get(client_order_id)
    if intent is None:
        yield _not_sent(facts, client_order_id)
        return
    yield _order(facts, intent)
    yield _checks(facts, intent)
    yield _permission(facts, intent)
    yield _events(facts, intent)
    yield fills_link(facts.trades_of(client_order_id), "Fills")


def after_links(facts: SessionFacts, symbol: str) -> Iterator[Link]:
    """What became of the instrument in the session: its position, and whether everybody agrees."""
    yield _position(facts, symbol)
    yield _reconciliation(facts, symbol)


def _not_sent(facts: SessionFacts, client_order_id: str) -> Link:
    planned = (
        next((row for row in facts.plan.orders if row.client_order_id == client_order_id), None) if facts.plan else None
    )
    said = "The ledger has no such order: the plan was not admitted, so that nothing of it was sent."
    if planned is None:
        return Link(Step.ORDER, f"Order {client_order_id}", "ledger: orders", missing=said)
    said = f"{_terms(planned)} {said}"
    body = {"client_order_id": client_order_id, "state": "not_admitted", "planned_qty": planned.qty}
    return Link(Step.ORDER, f"Order {client_order_id}", "lake: planned_orders", (said,), body)


def _terms(order: PlannedOrder | IntentRow) -> str:
    qty = order.planned_qty if isinstance(order, IntentRow) else order.qty
    prices = [(order.limit_price, "limit"), (order.take_profit, "take profit"), (order.stop_loss, "stop")]
    extra = "".join(f", {name} {number(price)}" for price, name in prices if price is not None)
    worth = money(qty * order.price_used)
    return (
        f"{order.side} {number(qty)} {order.symbol}, {order.order_type} {order.time_in_force}{extra}, {order.intent}, "
        f"worth {worth} at {number(order.price_used)}."
    )


def _order(facts: SessionFacts, intent: IntentRow) -> Link:
    release = _release(facts, intent)
    why = f": {intent.reason}" if intent.reason else ""
    said = sentences(
        _terms(intent),
        f"Phase {intent.phase}, leg {intent.leg}, slice {intent.slice}"
        + (f", after {', '.join(intent.depends_on)}." if intent.depends_on else "."),
        _sent(intent) + release,
        f"State: {intent.state}{why}; {number(intent.filled_qty)} filled. "
        f"At the broker: {intent.broker_order_id or 'no id'}.",
    )
    body = {name: getattr(intent, name) for name in (
        "client_order_id", "batch_id", "symbol", "instrument_id", "side", "planned_qty", "final_qty", "order_type",
        "time_in_force", "intent", "limit_price", "take_profit", "stop_loss", "price_used", "leg", "slice", "phase",
        "depends_on", "parameter_hash", "state", "reason", "broker_order_id", "filled_qty",
    )}  # fmt: skip
    gone = ""
    if facts.is_rebuilt:
        of_plan = "; its plan has them." if facts.is_its_plan else ", and its plan is not known."
        gone = f"The ledger was built anew from the broker's books, which say nothing of its type and intent{of_plan}"
    return Link(Step.ORDER, f"Order {intent.client_order_id}", "ledger: orders, releases", said, body, missing=gone)


def _sent(intent: IntentRow) -> str:
    if intent.final_qty is None:
        return "Its quantity is not final: its batch was not released."
    if intent.final_qty == intent.planned_qty:
        return f"Sent quantity {number(intent.final_qty)}, as planned."
    return f"Sent quantity {number(intent.final_qty)} of {number(intent.planned_qty)} planned."


def _release(facts: SessionFacts, intent: IntentRow) -> str:
    if facts.sources.ledger is None or intent.phase == 1:
        return ""
    found = release_of(facts.sources.ledger, intent.batch_id)
    if found is None:
        return ""
    return f" Released with factor {number(found.factor)}: cash {money(found.cash)}, needed {money(found.needed)}."


def _checks(facts: SessionFacts, intent: IntentRow) -> Link:
    rows = []
    for row in facts.verdicts_of(intent.client_order_id):
        checked = json.loads(row["checked"] or "{}")
        for name, (value, threshold) in checked.items():
            stopped = row["verdict"] != PASS and name == row["limit_name"]
            rows.append(
                {"limit": name, "found": value, "allowed": threshold, "verdict": row["verdict"] if stopped else PASS}
            )
        if row["verdict"] != PASS and row["limit_name"] not in checked:
            rows.append(
                {
                    "limit": row["limit_name"],
                    "found": row["value"],
                    "allowed": row["threshold"],
                    "verdict": row["verdict"],
                }
            )
    if not rows:
        said = "No verdict is recorded: the order was not checked, or its verdict looked at no limit."
        return Link(Step.CHECKS, "Pre-trade checks", "ledger: risk_events", (said,), {"passed": None})
    failed = [row for row in rows if row["verdict"] != PASS]
    said = (
        f"{len(rows)} check(s), {len(failed)} of which did not pass."
        if failed
        else f"{len(rows)} check(s), all passed."
    )
    return Link(Step.CHECKS, "Pre-trade checks", "ledger: risk_events", (said,), {"passed": not failed}, tuple(rows))


def _permission(facts: SessionFacts, intent: IntentRow) -> Link:
    batch = next((row for row in facts.batches if row.batch_id == intent.batch_id), None)
    permitted = batch.permitted if batch is not None else ()
    sends = facts.armed_sends_of(intent.client_order_id)
    counted = tuple(
        f"Counted {money(row['notional'])} against arming {row['arming']}, {money(row['total'])} with it."
        for row in sends
    )
    said = (*(f"{text[0].upper()}{text[1:]}." for text in permitted), *counted) or (NO_PERMISSION,)
    return Link(
        Step.PERMISSION, "Permission", "ledger: batches, armed_sends", said, {"permitted": permitted, "sends": sends}
    )


def _events(facts: SessionFacts, intent: IntentRow) -> Link:
    found = facts.events_of(intent.client_order_id)
    if not found:
        gone = "The history has no entry of this order."
        return Link(Step.EVENTS, "What happened", "ledger: events", missing=gone)
    rows = tuple(
        {"entry": row["seq"], "at": moment(row["at"]), "kind": row["kind"], "detail": _detail(row["payload"])}
        for row in found
    )
    return Link(Step.EVENTS, "What happened", "ledger: events", (), {"entries": found}, rows)


def _detail(payload: Mapping[str, Any]) -> str:
    """What an entry says beside what its kind and the order say already; all of it is among the facts."""
    reason = [payload["reason"]] if payload.get("reason") else []
    rest = [
        f"{name} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in payload.items()
        if name not in _QUIET and not name.endswith("_hash") and value not in (None, False, "")
    ]
    return ", ".join([*reason, *rest, *(["raw reply kept"] if {"reply", "seen"} & payload.keys() else [])])


def fills_link(rows: Sequence[Mapping[str, Any]], title: str) -> Link:
    """Executions with every version of them: the last one of each counts."""
    last = {row["fill_id"]: row["version"] for row in rows}
    table = tuple(
        {
            "fill": row["fill_id"],
            "at": moment(row["executed_at"]),
            "side": row["side"],
            "qty": number(row["qty"]),
            "price": number(row["price"]),
            "fee": number(row["fee"]),
            "counts": _counts(row, last[row["fill_id"]]),
        }
        for row in rows
    )
    standing = [row for row in rows if row["version"] == last[row["fill_id"]]]
    qty = sum((row["qty"] for row in standing), Decimal(0))
    fees = sum((row["fee"] for row in standing), Decimal(0))
    if not rows:
        return Link(Step.FILLS, title, "ledger: trades", ("Nothing has filled.",), {"filled_qty": qty})
    paid = sum((row["qty"] * row["price"] for row in standing), Decimal(0))
    average = paid / qty if qty else None
    said = f"{number(qty)} filled" + (f" at {number(round(average, 6))} on average" if average is not None else "")
    body = {"filled_qty": qty, "average_price": average, "fees": fees}
    return Link(Step.FILLS, title, "ledger: trades", (f"{said}, fees {number(fees)}.",), body, table)


def _counts(row: Mapping[str, Any], last: int) -> str:
    if row["version"] < last:
        return f"no: corrected by version {row['version'] + 1}"
    if row["qty"] == 0:
        return "taken back by the broker"
    return "yes" if row["version"] == 1 else f"yes, as version {row['version']}"


def _position(facts: SessionFacts, symbol: str) -> Link:
    ledger = facts.sources.ledger
    if ledger is None:
        return Link(Step.POSITION, "Position", "ledger: trades", missing="There is no ledger.")
    before = owned(ledger, facts.account, facts.portfolio, before=facts.session).get(symbol, Decimal(0))
    after = owned(ledger, facts.account, facts.portfolio, through=facts.session).get(symbol, Decimal(0))
    stored = facts.sources.lake_rows(
        "SELECT qty, broker_qty FROM end_of_day_positions WHERE portfolio = ? AND session = ? AND symbol = ?",
        [facts.portfolio, facts.session, symbol],
    )
    said = [f"{number(before)} before the session, {number(after)} after it."]
    body: dict[str, Any] = {"before": before, "after": after}
    if stored and stored[0]["broker_qty"] is not None:
        # Other portfolios of the account may hold of it as well: what differs is of all of them together.
        beside = Decimal(stored[0]["broker_qty"]) - Decimal(stored[0]["qty"])
        way = f"{number(abs(beside))} {'more' if beside > 0 else 'fewer'} than" if beside else "what"
        said.append(f"At its reconciliation the broker showed {way} the account's portfolios own of it together.")
        body["broker_difference"] = beside
    return Link(Step.POSITION, "Position afterwards", "ledger: trades; lake: end_of_day_positions", tuple(said), body)


def _reconciliation(facts: SessionFacts, symbol: str) -> Link:
    row = facts.reconciliation
    if row is None:
        said = "The session was not reconciled yet."
        return Link(Step.RECONCILIATION, "Reconciliation", "lake: reconciliations", (said,), {"state": None})
    found = facts.breaks(symbol)
    said = (
        f"{row['state']}: {row['orders']} order(s), {row['filled']} filled, {row['breaks']} break(s) in the session, "
    )
    said += f"{len(found)} finding(s) of {symbol}." if found else f"none of {symbol}."
    body = {"state": row["state"], "breaks": row["breaks"], "at": row["fetched_at"]}
    return Link(Step.RECONCILIATION, "Reconciliation", "lake: reconciliations, breaks", (said,), body, tuple(found))


def books_through(facts: SessionFacts) -> AccountBooks:
    """The account's books at the session's end, added up from its first row: no checkpoint is believed."""
    books = AccountBooks()
    if facts.sources.ledger is not None:
        for rows in sessions_between(facts.sources.ledger, facts.account, last=facts.session).values():
            books.pass_session(rows)
    return books
