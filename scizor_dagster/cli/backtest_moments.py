"""One symbol in one session of a backtest, in sentences and as JSON.

What belongs here: what `scizor backtest show --symbol --date` prints. What does not: whole backtests (`backtest`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.output import emit_json
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.backtest.storage import Head, Moment
    from scizor_dagster.flow.desk import Desk


def plain(value: Any) -> Any:
    """The value as JSON has it: what is no number is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show_moment(desk: Desk, head: Head, symbol: str, day: str, *, as_json: bool) -> None:
    """Say what was decided, traded and held of one symbol in one session.

    Raises:
        InputError: the session is none of the backtest's.
    """
    from scizor_dagster.backtest.storage import moment_of

    session = dates.parse_date(day, "--date")
    if not head.first_session <= session <= head.last_session:
        raise InputError(
            f"{session} is no session of this backtest, which is of {head.first_session} to {head.last_session}.",
            remedy="Use one of its sessions.",
            where="--date",
        )
    moment = moment_of(desk.lake, head.backtest_id, symbol, session)
    if as_json:
        emit_json({"backtest_id": head.backtest_id, "symbol": symbol, "session": session, **_moment_json(moment)})
        return
    for line in _sentences(head, symbol, moment):
        typer.echo(line)


def _moment_json(moment: Moment) -> dict[str, Any]:
    trades = [{key: plain(value) for key, value in row.items()} for row in moment.trades]
    return {"decided": moment.decided, "trades": trades, "held": moment.held, "held_before": moment.before}


def _sentences(head: Head, symbol: str, moment: Moment) -> list[str]:
    from scizor_dagster.analytics.report.formats import price, words
    from scizor_dagster.backtest.pages import shares

    said = []
    after = 0 if moment.held is None else moment.held["units"]
    held = after - sum(row["filled"] for row in moment.trades)
    if moment.decided is None:
        said.append(f"No plan up to {moment.session} has a weight of {symbol}, or a holding of it to sell.")
    else:
        of = moment.decided
        said.append(
            f"{symbol}: the plan for {of['session']} wants {of['weight']:.4%} of equity; {words(of['reason'])}."
        )
    for row in moment.trades:
        side, planned = "Buy" if row["planned"] > 0 else "Sell", shares(abs(row["planned"]))
        target = held + row["planned"]
        sized = f"sized at {price(row['reference'])} {head.currency}"
        said.append(f"{side} {planned}, from {shares(held)} to {shares(target)}, {sized}.")
        held += row["filled"]
        if not row["filled"]:
            said.append("Nothing of it filled: the session had no price, no volume or too little cash for it.")
            continue
        parts = {name: row[name] for name in ("commission", "spread", "slippage", "impact") if row[name]}
        cost = ", ".join(f"{name} {value:,.2f}" for name, value in parts.items()) or "nothing"
        said.append(f"Filled {shares(abs(row['filled']))} at {price(row['price'])}; it cost {cost} ({head.currency}).")
    if not moment.trades:
        said.append(f"No order in session {moment.session}.")
    for position, when in ((moment.before, "before"), (moment.held, "at its close")):
        holding = "nothing" if position is None else _worth(head, position)
        said.append(f"Held {when}: {holding}.")
    return said


def _worth(head: Head, position: Any) -> str:
    from scizor_dagster.backtest.pages import shares

    return f"{shares(position['units'])} worth {position['value']:,.2f} {head.currency}"
