"""`explain`: what a person means, and the chain of it, in both directions.

What belongs here: finding the order, fill, instrument, position or line that is meant, and putting its links in order.
What does not: the links (`explain_weights`, `explain_orders`, `explain_positions`).

Only reads: one snapshot of the lake, one transaction of the ledger, so that it may run while a session trades.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from scizor_dagster.analytics.explain.model import Explanation, Link, Step, number
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_facts import SessionFacts, Sources, content_of, opened, text_line
from scizor_dagster.flow.explain_orders import after_links, fills_link, order_links, orders_of
from scizor_dagster.flow.explain_positions import position_links
from scizor_dagster.flow.explain_weights import files_of_session, plan_links, short_path, weight_links
from scizor_dagster.ledger.tables import orders, trades

if TYPE_CHECKING:
    import pandas as pd

_PLACE = re.compile(r"(?P<path>.+\S):(?P<line>[1-9][0-9]*)")
_INSTRUMENT = re.compile(r"(?P<symbol>.+)\.(?P<mic>[A-Z0-9]{4})")
_SHOWN = 12
GIVE = (
    "Give a client order id, a fill id, a ticker with --date (AAPL), an instrument for its position (AAPL.XNAS), or "
    "FILE:LINE."
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
        name: A client order id or the broker's, a fill id, a ticker or a file's own id for the line of a session's
            plan, an instrument (`TICKER.MIC`) for its position, or `FILE:LINE`.
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
        for one in names:
            desk.portfolio(one)
        found = _orders_named(sources, name, names) or _fills_named(sources, name, names)
        found = found or _lines_named(sources, name, names, session)
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
    found = sources.lake_rows("SELECT max(session) AS session FROM plans WHERE portfolio = ?", [portfolio])
    return found[0]["session"] if found else None


def _orders_named(sources: Sources, name: str, names: Sequence[str]) -> list[Meant]:
    either = sa.or_(orders.c.client_order_id == name, orders.c.broker_order_id == name)
    columns = (orders.c.client_order_id, orders.c.portfolio, orders.c.session, orders.c.symbol)
    sent = sources.ledger_rows(sa.select(*columns).where(either, orders.c.portfolio.in_(names)))
    rows = sent or sources.lake_rows(
        "SELECT DISTINCT client_order_id, portfolio, session, symbol FROM planned_orders "
        "WHERE client_order_id = ? AND portfolio IN (SELECT unnest(?))",
        [name, list(names)],
    )
    return [_order_meant(sources, row) for row in rows]


def _order_meant(sources: Sources, row: dict[str, Any]) -> Meant:
    facts, order = sources.facts(row["portfolio"], row["session"]), row["client_order_id"]
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
    columns = (trades.c.account, trades.c.portfolio, trades.c.client_order_id, trades.c.symbol, trades.c.session)
    chosen = sa.select(*columns).where(trades.c.fill_id == name, trades.c.portfolio.in_(names), trades.c.version == 1)
    return [_fill_meant(sources, name, row) for row in sources.ledger_rows(chosen)]


def _fill_meant(sources: Sources, name: str, row: dict[str, Any]) -> Meant:
    """A fill has the session of its order: one that came late is recorded for another one."""
    symbol, order = row["symbol"], row["client_order_id"]
    found = sources.ledger_rows(sa.select(orders.c.session).where(orders.c.client_order_id == order))
    facts = sources.facts(row["portfolio"], found[0]["session"] if found else row["session"])
    words = f"fill {name} of {symbol}, account {row['account']}, portfolio {row['portfolio']}, {row['session']}"

    def of_fill() -> Explanation:
        made = _of_order(facts, symbol, order)
        versions = [item for item in facts.trades_of(order) if item["fill_id"] == name]
        return Explanation(
            "fill", name, made.portfolio, made.account, made.session, made.lake_snapshot,
            (fills_link(versions, f"Fill {name}"), *made.links),
        )  # fmt: skip

    return Meant("fill", facts.portfolio, facts.session, words, of_fill)


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
        links = [*weight_links(facts, symbol), *plan_links(facts, symbol)]
        for order in orders_of(facts, symbol):
            links += order_links(facts, order)
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


def explain_line(
    desk: Desk, path: str, line: int, *, portfolio: str | None = None, session: date | None = None
) -> Explanation:
    """Everything that came of one line of a weight file: targets, plan lines, orders and fills of every session.

    Raises:
        InputError: no accepted row is of this line.
    """
    if portfolio is not None:
        desk.portfolio(portfolio)
    with opened(desk) as sources:
        rows = _rows_of_line(sources, path, line, session)
        links = [_file_row(row) for row in rows]
        for row in rows:
            links += _consequences(sources, row, portfolio)
        if not rows:
            raise _no_row(sources, path, line, session)
        subject = f"{path}:{line}"
        return Explanation("file_line", subject, portfolio or "", "", session, sources.snapshot, tuple(links))


def _rows_of_line(sources: Sources, path: str, line: int, session: date | None) -> list[dict[str, Any]]:
    """Accepted rows of the line, by session; a path may be given by its end."""
    when, key = ("AND session = ?", [session]) if session is not None else ("", [])
    whole, end = str(Path(path).resolve()), "/" + path.lstrip("./")
    found = sources.lake_rows(
        f"SELECT * FROM signals WHERE line = ? AND (path = ? OR path = ? OR ends_with(path, ?)) {when} "
        "ORDER BY session, path, fetched_at",
        [line, whole, path, end, *key],
    )
    paths = sorted({row["path"] for row in found})
    if len(paths) > 1:
        raise InputError(
            f"'{path}' means {len(paths)} files: {', '.join(paths)}.", remedy="Give the whole path.", where=path
        )
    return found


def _no_row(sources: Sources, path: str, line: int, session: date | None) -> InputError:
    known = sources.lake_rows("SELECT DISTINCT path FROM signals ORDER BY path")
    data = content_of(Path(path))
    text = text_line(Path(path), data, line) if data is not None else ""
    reads = f" The line reads: {text}" if text else ""
    when = f" for session {session}" if session is not None else ""
    names = ", ".join(row["path"] for row in known[:_SHOWN]) or "none"
    return InputError(
        f"No accepted row came of line {line}{when}.{reads}",
        remedy="A line counts once its file was accepted and its session taken in: scizor signals check. Files that "
        f"were: {names}.",
        where=path,
    )


def _file_row(row: dict[str, Any]) -> Link:
    said = (
        f"{row['asset_id']} {number_of(row['weight'])} for {row['weights_date']}, strategy {row['strategy']}, taken "
        f"in for session {row['session']}.",
        f"{row['path']}, SHA-256 {row['file_hash']}.",
    )
    names = ("strategy", "session", "weights_date", "asset_id", "sheet", "line", "path")
    body = {name: row[name] for name in names} | {"weight": number_of(row["weight"]), "file_sha256": row["file_hash"]}
    return Link(Step.FILE, f"Line {row['line']} in session {row['session']}", "lake: signals", said, body)


def number_of(weight: float) -> str:
    """A weight as the lake has it, as the decimal number that a person wrote."""
    from scizor_dagster.planning.rules import exact

    return number(exact(weight))


def _consequences(sources: Sources, row: dict[str, Any], portfolio: str | None) -> Iterator[Link]:
    """What each portfolio made of an accepted row in its session."""
    where, key = ("AND portfolio = ?", [portfolio]) if portfolio is not None else ("", [])
    parts = sources.lake_rows(
        "SELECT * FROM target_attribution WHERE strategy = ? AND file_hash = ? AND line = ? AND asset_id = ? "
        f"AND session = ? {where} ORDER BY portfolio, target",
        [row["strategy"], row["file_hash"], row["line"], row["asset_id"], row["session"], *key],
    )
    if not parts:
        said = (
            f"No target of {row['session']} is made of it: another delivery took its place, or none was consolidated."
        )
        yield Link(Step.CONSEQUENCE, f"Session {row['session']}", "lake: target_attribution", (said,))
    for part in parts:
        if part["portfolio"] in sources.desk.config.portfolios:
            yield _consequence(sources.facts(part["portfolio"], part["session"]), part)


def _consequence(facts: SessionFacts, part: dict[str, Any]) -> Link:
    symbol = part["symbol"]
    target = facts.target_of(symbol) if symbol else None
    line = next((line for line in facts.plan.lines if line.symbol == symbol), None) if facts.plan else None
    said = [f"{symbol or part['asset_id']}: contributes {number_of(float(part['contribution']))} of the portfolio."]
    if target is not None:
        said[0] += f" The target is {number(target.target_weight)} ({target.status})."
    if line is None:
        said.append("No line of a plan came of it.")
    else:
        said.append(f"Plan: {line.reason}, held {number(line.current_qty)}, target {number(line.target_qty)}, change "
                    f"{number(line.delta_qty)}.")  # fmt: skip
    rows = []
    for order in orders_of(facts, symbol) if symbol else ():
        rows += _order_rows(facts, order)
    if not rows:
        said.append("No order came of it.")
    source = "lake: target_attribution, plan_lines; ledger: orders, trades"
    body = {"symbol": symbol, "portfolio": facts.portfolio, "contribution": part["contribution"]}
    body |= {"reason": line.reason if line is not None else None}
    title = f"Portfolio {facts.portfolio}, session {facts.session}"
    return Link(Step.CONSEQUENCE, title, source, tuple(said), body, tuple(rows))


def _order_rows(facts: SessionFacts, order: str) -> list[dict[str, Any]]:
    intent = facts.intents.get(order)
    if intent is None:
        return [{"order": order, "state": "not admitted"}]
    head = {"order": order, "side": intent.side.value, "qty": number(intent.qty), "state": intent.state.value}
    fills = facts.trades_of(order)
    last = {row["fill_id"]: row["version"] for row in fills}
    rows = [
        head | {"fill": row["fill_id"], "filled": number(row["qty"]), "price": number(row["price"])}
        for row in fills
        if row["version"] == last[row["fill_id"]]
    ]
    return rows or [head]


def order_origins(desk: Desk, portfolio: str, session: date) -> pd.DataFrame:
    """For each order of the session the line of the file that caused it.

    Columns: order, symbol, side, qty, state, strategy, file, line, weight, contribution; one row for each line that has
    a part in the order's target, and one that says so where no line names the instrument.
    """
    import pandas as pd

    with opened(desk) as sources:
        facts = sources.facts(portfolio, session)
        files = ", ".join(short_path(row["path"]) for row in files_of_session(facts))
        rows = []
        for order, intent in facts.intents.items():
            head = {"order": order, "symbol": intent.symbol, "side": intent.side.value, "qty": number(intent.qty),
                    "state": intent.state.value}  # fmt: skip
            target = facts.target_of(intent.symbol)
            if target is None:
                rows.append(head | {"file": files, "line": "names it not: sold"})
                continue
            for item in target.contributions:
                row = facts.signal_row(item)
                rows.append(
                    head
                    | {
                        "strategy": item.strategy,
                        "file": short_path(row["path"]) if row is not None else f"SHA-256 {item.file_hash[:12]}",
                        "line": str(item.line),
                        "weight": number(item.weight_stated),
                        "contribution": number(item.contribution),
                    }
                )
    columns = ["order", "symbol", "side", "qty", "state", "strategy", "file", "line", "weight", "contribution"]
    return pd.DataFrame(rows, columns=columns, dtype=object)
