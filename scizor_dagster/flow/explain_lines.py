"""From a line of a weight file down to its fills, and from each order of a session to the line that caused it.

What belongs here: everything that came of one line, and the short table of a session's orders. What does not: the chain
of one order (`explaining`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scizor_dagster.analytics.explain.model import Explanation, Link, Step, number
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_facts import SessionFacts, Sources, opened
from scizor_dagster.flow.explain_files import content_of, text_line
from scizor_dagster.flow.explain_orders import orders_of
from scizor_dagster.flow.explain_weights import files_of_session, short_path
from scizor_dagster.planning.rules import exact

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 12


def explain_line(
    desk: Desk, path: str, line: int, *, portfolio: str | None = None, session: date | None = None
) -> Explanation:
    """Everything that came of one line of a weight file: targets, plan lines, orders and fills of every session.

    Raises:
        InputError: no accepted row is of this line.
    """
    with opened(desk) as sources:
        if portfolio is not None and portfolio not in sources.accounts:
            desk.portfolio(portfolio)
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
        if part["portfolio"] in sources.accounts:
            yield _consequence(sources.facts(part["portfolio"], part["session"]), part)


def _consequence(facts: SessionFacts, part: dict[str, Any]) -> Link:
    symbol = part["symbol"]
    target = facts.target_of(symbol) if symbol else None
    line = next((line for line in facts.plan.lines if line.symbol == symbol), None) if facts.plan else None
    said = [f"{symbol or part['asset_id']}: contributes {number(Decimal(part['contribution']))} of the portfolio."]
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
            of_order = facts.of_order(intent.batch_id)
            if of_order.batch_id is not None:
                asked = of_order.by_hand
                said = ("manual order", "its request is lost") if asked is None else (
                    f"manual order of {asked.actor}", asked.idempotency_key
                )  # fmt: skip
                rows.append(head | {"file": said[0], "line": said[1]})
                continue
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
