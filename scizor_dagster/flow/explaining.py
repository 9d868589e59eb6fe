"""`explain`: what a person means, and the chain of it, in both directions.

What belongs here: finding the order, fill, instrument, position or line that is meant, and putting its links in order.
What does not: the links (`explain_weights`, `explain_orders`, `explain_positions`), and lines (`explain_lines`).

Only reads: one snapshot of the lake, one transaction of the ledger, so that it may run while a session trades.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from scizor_dagster.analytics.explain.model import Explanation, Link, Step, moment, number
from scizor_dagster.errors import InputError
from scizor_dagster.exports.orders import exits_of
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_facts import SessionFacts, Sources, opened
from scizor_dagster.flow.explain_lines import explain_line
from scizor_dagster.flow.explain_orders import after_links, fills_link, order_links, orders_of
from scizor_dagster.flow.explain_positions import position_links
from scizor_dagster.flow.explain_weights import plan_links, weight_links
from scizor_dagster.ledger.events import events_of_orders
from scizor_dagster.ledger.manual_tables import manual_orders
from scizor_dagster.ledger.rows import STANDING
from scizor_dagster.ledger.tables import adoptions, orders, trades
from scizor_dagster.planning.frames import BY_WEIGHTS

_PLACE = re.compile(r"(?P<path>.+\S):(?P<line>[1-9][0-9]*)")
_INSTRUMENT = re.compile(r"(?P<symbol>.+)\.(?P<mic>[A-Z0-9]{4})")
_SHOWN = 12
GIVE = (
    "Give a client order id, a fill id, the key of a manual order, a ticker with --date (AAPL), an instrument for its "
    "position (AAPL.XNAS), or FILE:LINE."
)


@dataclass(frozen=True)
class Meant:
    """One thing that a word may mean. `words` tells it apart from others."""

    kind: str
    portfolio: str
    session: date
    words: str
    explain: Callable[[], Explanation]


def explain(desk: Desk, name: str, *, portfolio: str | None = None, session: date | None = None) -> Explanation:
    """The chain of what `name` means.

    Args:
        desk: Its stores are only read.
        name: A client order id or the broker's, a fill id, the key of a manual order, a ticker or a file's own id for
            the line of a session's plan, an instrument (`TICKER.MIC`) for its position, or `FILE:LINE`.
        portfolio: Where several have it.
        session: For a ticker, position or line; without it the newest planned session.

    Raises:
        InputError: it means nothing, or several things, which are listed.
    """
    place = _PLACE.fullmatch(name)
    if place is not None:
        return explain_line(desk, place["path"], int(place["line"]), portfolio=portfolio, session=session)
    with opened(desk) as sources:
        names = [portfolio] if portfolio is not None else list(desk.config.portfolios)
        if portfolio is not None and portfolio not in sources.accounts:
            desk.portfolio(portfolio)
        # What was sent stays explained, also of a portfolio that the configuration has no more.
        ever = [portfolio] if portfolio is not None else list(sources.accounts)
        found = _orders_named(sources, name, ever) or _fills_named(sources, name, ever)
        found = found or _foreign_named(sources, name, ever) or _lines_named(sources, name, names, session)
        return _only(found, name, sources, names, session).explain()


def _only(found: Sequence[Meant], name: str, sources: Sources, names: Sequence[str], session: date | None) -> Meant:
    if len(found) == 1:
        return found[0]
    if not found:
        when = f" in session {session}" if session is not None else ""
        where = f"portfolio {names[0]}" if len(names) == 1 else "any portfolio"
        day = session or max((_newest(sources, one) or date.min for one in names), default=date.min)
        known = _known(sources, names, day)
        remedy = GIVE + (f" The plan of {day} has {known}." if known else " Nothing was planned yet: scizor run.")
        raise InputError(f"'{name}' is no order, fill or instrument of {where}{when}.", remedy=remedy, where=name)
    listed = "; ".join(item.words for item in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise InputError(
        f"'{name}' means {len(found)} things: {listed}{more}.",
        remedy="Name one of them with --portfolio and --date, or by an order's id.",
        where=name,
    )


def _known(sources: Sources, names: Sequence[str], day: date) -> str:
    found = sources.lake_rows(
        "SELECT DISTINCT symbol FROM plan_lines WHERE session = ? AND portfolio IN (SELECT unnest(?)) ORDER BY symbol",
        [day, list(names)],
    )
    symbols = [row["symbol"] for row in found]
    return ", ".join(symbols[:_SHOWN]) + (" and more" if len(symbols) > _SHOWN else "")


def _newest(sources: Sources, portfolio: str) -> date | None:
    query = f"SELECT max(session) AS session FROM plans WHERE portfolio = ? AND {BY_WEIGHTS}"
    found = sources.lake_rows(query, [portfolio])
    return found[0]["session"] if found else None


def _orders_named(sources: Sources, name: str, names: Sequence[str]) -> list[Meant]:
    names_of = ("client_order_id", "account", "portfolio", "session", "symbol", "batch_id")
    columns = [orders.c[column] for column in names_of]
    mine = sa.select(*columns).where(orders.c.portfolio.in_(names))
    sent = sources.ledger_rows(mine.where(orders.c.client_order_id == name))
    sent = sent or sources.ledger_rows(mine.where(orders.c.broker_order_id == name))
    if not sent:
        keyed = sa.select(manual_orders.c.batch_id).where(manual_orders.c.idempotency_key == name)
        sent = sources.ledger_rows(mine.where(orders.c.batch_id.in_(keyed)))
    rows = sent or sources.lake_rows(
        "SELECT DISTINCT client_order_id, portfolio, session, symbol FROM planned_orders "
        "WHERE client_order_id = ? AND portfolio IN (SELECT unnest(?))",
        [name, list(names)],
    )
    return [_order_meant(sources, row) for row in rows]


def _order_meant(sources: Sources, row: dict[str, Any]) -> Meant:
    facts, order = sources.facts(row["portfolio"], row["session"], row.get("account")), row["client_order_id"]
    facts = facts.of_order(row["batch_id"]) if "batch_id" in row else facts
    words = f"order {order} of {row['symbol']}, portfolio {row['portfolio']}, {row['session']}"
    return Meant("order", facts.portfolio, facts.session, words, lambda: _of_order(facts, row["symbol"], order))


def _of_order(facts: SessionFacts, symbol: str, order: str) -> Explanation:
    links = (
        *weight_links(facts, symbol),
        *plan_links(facts, symbol),
        *order_links(facts, order),
        *after_links(facts, symbol),
    )
    return _explanation("order", order, facts, links)


def _fills_named(sources: Sources, name: str, names: Sequence[str]) -> list[Meant]:
    """As it stands: an execution that was nobody's at first may have become a portfolio's."""
    columns = (trades.c.account, trades.c.portfolio, trades.c.client_order_id, trades.c.symbol, trades.c.session)
    chosen = sa.select(*columns).where(
        trades.c.account.in_(_accounts(sources, names)),
        trades.c.fill_id == name,
        trades.c.portfolio.in_(names),
        STANDING,
    )
    return [_fill_meant(sources, name, row) for row in sources.ledger_rows(chosen)]


def _accounts(sources: Sources, names: Sequence[str]) -> list[str]:
    return sorted({account for one in names for account in sources.accounts[one]})


def _fill_meant(sources: Sources, name: str, row: dict[str, Any]) -> Meant:
    """A fill has the session of its order: one that came late is recorded for another one.

    That of a bracket's exit, which the broker has placed, is explained by the order that it protects.
    """
    symbol, executed, account = row["symbol"], row["client_order_id"], row["account"]
    columns = (orders.c.client_order_id, orders.c.session, orders.c.batch_id)
    entry = None
    found = sources.ledger_rows(sa.select(*columns).where(orders.c.client_order_id == executed))
    if not found and (entry := _entry_of(sources, row)) is not None:
        found = sources.ledger_rows(sa.select(*columns).where(orders.c.client_order_id == entry))
    facts = sources.facts(row["portfolio"], found[0]["session"] if found else row["session"], account)
    facts = facts.of_order(found[0]["batch_id"]) if found else facts
    words = f"fill {name} of {symbol}, account {account}, portfolio {row['portfolio']}, {row['session']}"

    def of_fill() -> Explanation:
        made = _of_order(facts, symbol, entry or executed)
        versions = [item for item in facts.trades_of(executed) if item["fill_id"] == name]
        exits = () if entry is None else (_exit(executed, entry),)
        return Explanation(
            "fill", name, made.portfolio, made.account, made.session, made.lake_snapshot,
            (fills_link(versions, f"Fill {name}"), *exits, *made.links),
        )  # fmt: skip

    return Meant("fill", facts.portfolio, facts.session, words, of_fill)


def _entry_of(sources: Sources, row: dict[str, Any]) -> str | None:
    """The order of ours whose exit has executed; None where the history names none."""
    mine = [orders.c[column] == row[column] for column in ("account", "portfolio", "symbol")]
    names = [item["client_order_id"] for item in sources.ledger_rows(sa.select(orders.c.client_order_id).where(*mine))]
    exits = exits_of(events_of_orders(sources.ledger, names)) if sources.ledger is not None else {}
    return next((entry for entry, found in exits.items() if row["client_order_id"] in found), None)


def _exit(executed: str, entry: str) -> Link:
    said = (
        f"It is an exit of the bracket {entry}: it rested at the broker to close what that order had opened, and what "
        "follows is why that one was placed.",
    )
    return Link(
        Step.ORDER, f"Order {executed}", "ledger: events", said, {"client_order_id": executed, "exit_of": entry}
    )


def _foreign_named(sources: Sources, name: str, names: Sequence[str]) -> list[Meant]:
    accounts = _accounts(sources, names)
    chosen = sa.select(trades).where(trades.c.account.in_(accounts), trades.c.fill_id == name)
    rows = sources.ledger_rows(chosen.order_by(trades.c.account, trades.c.version))
    versions = [[row for row in rows if row["account"] == one] for one in accounts]
    return [_foreign_meant(sources, name, found) for found in versions if found and found[-1]["portfolio"] is None]


def _foreign_meant(sources: Sources, name: str, versions: Sequence[dict[str, Any]]) -> Meant:
    """What nobody here has caused ends where it began: at the broker."""
    row = versions[-1]
    account, session, order = row["account"], row["session"], row["client_order_id"]
    words = f"foreign fill {name} of {row['symbol']}, account {account}, {session}"
    since = _adopted_since(sources, account, row["symbol"], versions[0]["recorded_at"])
    owned = (
        f"What nobody owned of {row['symbol']} was handed to portfolios since, and this may be of it: {since}."
        if since
        else f"What it has moved of {row['symbol']} belongs to no portfolio, and no plan trades it."
    )
    said = (
        f"It is foreign: somebody else has placed its order {order} on the account, so that no weight, plan or order "
        "of Scizor's is behind it.",
        owned,
    )
    cause = Link(Step.ORDER, f"Order {order}", "ledger: orders, trades", said, {"foreign": True, "order": order})
    links = (fills_link(versions, f"Fill {name}"), cause)
    return Meant(
        "fill", "", session, words, lambda: Explanation("fill", name, "", account, session, sources.snapshot, links)
    )


def _adopted_since(sources: Sources, account: str, symbol: str, at: datetime) -> str:
    mine = (adoptions.c.account == account, adoptions.c.symbol == symbol, adoptions.c.recorded_at >= at)
    rows = sources.ledger_rows(sa.select(adoptions).where(*mine).order_by(adoptions.c.recorded_at))
    return "; ".join(
        f"{number(row['qty'])} to {row['portfolio']} by {row['actor']} {moment(row['recorded_at'])}" for row in rows
    )


def _lines_named(sources: Sources, name: str, names: Sequence[str], session: date | None) -> list[Meant]:
    found = []
    for portfolio in names:
        day = session or _newest(sources, portfolio)
        if day is None:
            continue
        facts = sources.facts(portfolio, day)
        lines = facts.plan.lines if facts.plan is not None else ()
        symbols = [line.symbol for line in lines if line.symbol == name]
        symbols = symbols or [line.symbol for line in lines if name in line.asset_ids]
        symbols = symbols or [
            row.symbol for row in facts.targets if row.symbol and name in (row.symbol, *row.asset_ids)
        ]
        symbols = symbols or [intent.symbol for intent in facts.intents.values() if intent.symbol == name][:1]
        found += [_line_meant(facts, symbol) for symbol in symbols]
        instrument = _INSTRUMENT.fullmatch(name)
        symbol = instrument["symbol"] if instrument is not None else name
        if not symbols and _ever_held(sources, facts, symbol, name if instrument is not None else None):
            found.append(_position_meant(facts, symbol, name))
    return found


def _line_meant(facts: SessionFacts, symbol: str) -> Meant:
    words = f"{symbol} in the plan of {facts.session}, portfolio {facts.portfolio}"

    def of_line() -> Explanation:
        planned = facts.each()[0].batch_id is None
        links = [*weight_links(facts, symbol), *plan_links(facts, symbol)] if planned else []
        for order in orders_of(facts, symbol):
            of_order = facts.of_order(facts.intents[order].batch_id) if order in facts.intents else facts
            if of_order is not facts:
                links += [*weight_links(of_order, symbol), *plan_links(of_order, symbol)]
            links += order_links(of_order, order)
        return _explanation("line", symbol, facts, (*links, *after_links(facts, symbol)))

    return Meant("line", facts.portfolio, facts.session, words, of_line)


def _ever_held(sources: Sources, facts: SessionFacts, symbol: str, instrument_id: str | None) -> bool:
    """Whether the portfolio has traded or planned it; an instrument by its id, if that is given."""
    chosen = sa.select(trades.c.symbol).where(trades.c.portfolio == facts.portfolio, trades.c.symbol == symbol).limit(1)
    if instrument_id is None:
        return bool(sources.ledger_rows(chosen))
    known = sources.lake_rows(
        "SELECT 1 AS one FROM plan_lines WHERE portfolio = ? AND instrument_id = ? LIMIT 1",
        [facts.portfolio, instrument_id],
    )
    sent = sa.select(orders.c.symbol).where(
        orders.c.portfolio == facts.portfolio, orders.c.instrument_id == instrument_id
    )
    return bool(known) or bool(sources.ledger_rows(sent.limit(1)))


def _position_meant(facts: SessionFacts, symbol: str, name: str) -> Meant:
    words = f"the position of {name} at the end of {facts.session}, portfolio {facts.portfolio}"
    return Meant(
        "position",
        facts.portfolio,
        facts.session,
        words,
        lambda: _explanation("position", name, facts, tuple(position_links(facts, symbol))),
    )


def _explanation(kind: str, subject: str, facts: SessionFacts, links: tuple[Link, ...]) -> Explanation:
    snapshot = facts.sources.snapshot
    return Explanation(kind, subject, facts.portfolio, facts.account, facts.session, snapshot, links)
