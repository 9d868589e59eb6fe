"""`scizor end-order`: a person says that an order is over.

What belongs here: the command. What does not: which order may be ended (`execution.ending`).
"""

from __future__ import annotations

from typing import Annotated

import typer

from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json
from scizor_dagster.cli.preflight import open_desk


def end_order(
    client_order_id: Annotated[str, typer.Argument(help="Id of the order, as `scizor reconcile` shows it.")],
    reason: Annotated[str, typer.Option(help="Where you have seen that it is over; it stands in the ledger.")],
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """End an order of an earlier session that the broker cannot tell of any more, so that its account trades on.

    Look it up in the broker's statement first. It ends with the fills that the ledger has; shares that it got beside
    them stay nobody's. Refused while its session goes on, and where the broker shows the order.

    When: scizor reconcile names an order that the broker knows nothing of, and its statement shows no trade.
    Writes: The order's end in the ledger, with your name and reason. Nothing is sent.
    Exit codes: 0 ended; 1 the broker shows it, or its session goes on; 2 there is no such order.
    JSON: client_order_id, state, filled_qty, by.
    Example: scizor end-order SCZ_20261120_1_AAPL_B_3f9c02a41be7 --reason "the statement has no such trade"
    """
    from scizor_dagster.flow.ending import end_order as end

    desk = open_desk()
    actor = actor_of(by)
    try:
        ended = end(desk, client_order_id, actor=actor, reason=reason.strip())
    finally:
        desk.disconnect()
    filled = f"{ended.filled_qty.normalize():f}"
    if as_json:
        emit_json({"client_order_id": client_order_id, "state": ended.state.value, "filled_qty": filled, "by": actor})
        return
    day = ended.session.isoformat()
    typer.echo(
        f"{ended.side} {ended.qty.normalize():f} {ended.symbol} of {day} has ended with {filled} filled, by {actor}. "
        f"Compare what is held: scizor reconcile --portfolio {ended.portfolio} --date {day}"
    )
