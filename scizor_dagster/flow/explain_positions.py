"""A position: every fill, split, correction and adoption that made it up, session by session.

What belongs here: the history of one instrument in one portfolio. What does not: why an order was placed
(`explain_weights`), which each row of the history leads to by its order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.analytics.explain.model import Link, Step, number
from scizor_dagster.exports.orders import exits_of
from scizor_dagster.flow.explain_facts import SessionFacts
from scizor_dagster.flow.explain_orders import books_through
from scizor_dagster.flow.explain_weights import short_path
from scizor_dagster.instruments import split_quantity
from scizor_dagster.ledger.events import events_of_orders
from scizor_dagster.ledger.holdings import NOISE
from scizor_dagster.ledger.manual_tables import manual_orders
from scizor_dagster.ledger.tables import activities, adoptions, orders, positions, trades

ZERO = Decimal(0)
_UNITS = ("split", "delisting")


@dataclass
class _Walk:
    """The rows of the history so far, and the quantity that they come to."""

    held: Decimal = ZERO
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: Mapping[str, Any], what: str, **more: Any) -> None:
        self.rows.append({"session": row["session"].isoformat(), "what": what, **more, "held": number(self.held)})


def position_links(facts: SessionFacts, symbol: str) -> Iterator[Link]:
    """How much is held at the session's end, and everything that it is made of."""
    walk = _history(facts, symbol)
    if facts.sources.ledger is None:
        yield Link(Step.HISTORY, "History", "ledger: trades", missing="There is no ledger.")
        return
    said = f"{len(walk.rows)} row(s) up to {facts.session}; each fill's order can be explained in turn."
    body = {"symbol": symbol, "rows": len(walk.rows)}
    source = "ledger: trades, activities, adoptions; lake: target_attribution"
    yield Link(Step.HISTORY, "How it came about", source, (said,), body, tuple(walk.rows))
    yield _now(facts, symbol, walk.held)


def _now(facts: SessionFacts, symbol: str, held: Decimal) -> Link:
    books = books_through(facts)
    owned = books.quantities.get((facts.portfolio, symbol), ZERO)
    said = [f"{number(held)} held by portfolio {facts.portfolio} at the end of {facts.session}."]
    gone = ""
    if abs(owned - held) > NOISE:
        gone = f"The account's books come to {number(owned)}: run scizor ledger verify."
    stored = facts.sources.ledger_rows(
        sa.select(positions.c.qty).where(
            positions.c.account == facts.account,
            positions.c.portfolio == facts.portfolio,
            positions.c.symbol == symbol,
        )
    )
    now = stored[0]["qty"] if stored else ZERO
    said.append(f"Held now: {number(now)}.")
    body = {"qty": held, "qty_now": now}
    return Link(Step.POSITION, "Position", "ledger: positions", tuple(said), body, missing=gone)


def _history(facts: SessionFacts, symbol: str) -> _Walk:
    """Of each session first what changes units, then fills, then adoptions, as the account's books go."""
    walk = _Walk()
    steps = [
        *((row["session"], 0, row["activity_id"], row) for row in _activities(facts, symbol)),
        *((row["session"], 1, _order_of_trade(row), row) for row in _trades(facts, symbol)),
        *((row["session"], 2, row["adoption_id"], row) for row in _adoptions(facts, symbol)),
    ]
    last = {row["fill_id"]: row["version"] for _, kind, _, row in steps if kind == 1}
    lines, by_hand, ordered = _lines_of_files(facts, symbol), _by_hand(facts, symbol), _ordered_in(facts, symbol)
    for session, kind, _, row in sorted(steps, key=lambda step: step[:3]):
        if kind == 0:
            walk.held = split_quantity(walk.held, row["qty_factor"])
            walk.add(row, row["kind"], qty=f"x {number(row['qty_factor'])}")
        elif kind == 1:
            entry, day = ordered.get(row["client_order_id"], (row["client_order_id"], session))
            cause = by_hand.get(entry) or lines.get(day, "")
            _pass_trade(walk, row, last[row["fill_id"]], cause)
        else:
            walk.held += row["qty"]
            walk.add(row, "adopted", qty=number(row["qty"]), price=number(row["price"]), cause=f"by {row['actor']}")
    return walk


def _by_hand(facts: SessionFacts, symbol: str) -> dict[str, str]:
    """Who has placed those orders of the instrument that no line of a file is behind, by client order id."""
    chosen = (
        sa.select(orders.c.client_order_id, manual_orders.c.actor, manual_orders.c.idempotency_key)
        .join(manual_orders, manual_orders.c.batch_id == orders.c.batch_id)
        .where(orders.c.account == facts.account, orders.c.portfolio == facts.portfolio, orders.c.symbol == symbol)
    )
    return {
        row["client_order_id"]: f"manual order {row['idempotency_key']} of {row['actor']}"
        for row in facts.sources.ledger_rows(chosen)
    }


def _ordered_in(facts: SessionFacts, symbol: str) -> dict[str, tuple[str, date]]:
    """By the id that an execution names: the order behind it and that one's session.

    A fill may come in a later session, and so may that of a bracket's exit, behind which is its entry.
    """
    mine = (orders.c.account == facts.account, orders.c.portfolio == facts.portfolio, orders.c.symbol == symbol)
    rows = facts.sources.ledger_rows(sa.select(orders.c.client_order_id, orders.c.session).where(*mine))
    found = {row["client_order_id"]: (row["client_order_id"], row["session"]) for row in rows}
    exits = exits_of(events_of_orders(facts.sources.ledger, found)) if facts.sources.ledger is not None else {}
    return found | {name: found[entry] for entry, names in exits.items() for name in names}


def _order_of_trade(row: Mapping[str, Any]) -> str:
    return f"{row['executed_at'].isoformat()} {row['fill_id']} {row['version']:06d}"


def _pass_trade(walk: _Walk, row: Mapping[str, Any], last: int, cause: str) -> None:
    signed = row["qty"] if row["side"] == "buy" else -row["qty"]
    if row["version"] < last:
        what = "corrected later"
    else:
        walk.held += signed
        what = "fill" if row["version"] == 1 else "fill, corrected" if row["qty"] else "fill, taken back"
    walk.add(
        row,
        what,
        qty=number(signed),
        price=number(row["price"]),
        fee=number(row["fee"]),
        order=row["client_order_id"],
        cause=cause,
    )


def _trades(facts: SessionFacts, symbol: str) -> list[dict[str, Any]]:
    chosen = sa.select(trades).where(
        trades.c.account == facts.account,
        trades.c.portfolio == facts.portfolio,
        trades.c.symbol == symbol,
        trades.c.session <= facts.session,
    )
    return facts.sources.ledger_rows(chosen.order_by(trades.c.fill_id, trades.c.version))


def _activities(facts: SessionFacts, symbol: str) -> list[dict[str, Any]]:
    chosen = sa.select(activities).where(
        activities.c.account == facts.account,
        activities.c.symbol == symbol,
        activities.c.kind.in_(_UNITS),
        activities.c.qty_factor.is_not(None),
        activities.c.session <= facts.session,
    )
    return facts.sources.ledger_rows(chosen)


def _adoptions(facts: SessionFacts, symbol: str) -> list[dict[str, Any]]:
    chosen = sa.select(adoptions).where(
        adoptions.c.account == facts.account,
        adoptions.c.portfolio == facts.portfolio,
        adoptions.c.symbol == symbol,
        adoptions.c.session <= facts.session,
    )
    return facts.sources.ledger_rows(chosen)


def _lines_of_files(facts: SessionFacts, symbol: str) -> dict[Any, str]:
    """File and line that the instrument's target of each session came from."""
    found = facts.sources.lake_rows(
        "SELECT DISTINCT a.session, s.path, a.line FROM target_attribution a "
        "JOIN signals s USING (strategy, file_hash, line, asset_id) "
        "WHERE a.portfolio = ? AND a.symbol = ? AND a.session <= ? ORDER BY ALL",
        [facts.portfolio, symbol, facts.session],
    )
    lines: dict[Any, list[str]] = {}
    for row in found:
        lines.setdefault(row["session"], []).append(f"{short_path(row['path'])}:{row['line']}")
    return {session: ", ".join(places) for session, places in lines.items()}
