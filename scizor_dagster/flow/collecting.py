"""What a collection of past prices is asked for: which dates, and the configuration of its run.

What belongs here: refusing before anything runs what cannot be collected. What does not: collecting (`flow.markets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk

DEFAULT_RANGE = timedelta(days=3 * 365 + 1)


def collection_range(
    desk: Desk, market: str, first: date | None, last: date | None, names: tuple[str, str]
) -> tuple[date, date]:
    """First and last date to collect; by default three years up to the last closed session.

    Args:
        desk: Its clock says what time it is.
        market: Of the configuration.
        first: First date asked for.
        last: Last date asked for.
        names: How the caller has named the two, for the message of an error.

    Raises:
        InputError: a date is ahead or before the market's first session, or the first is after the last.
    """
    calendar, begins, now = desk.calendar(market), desk.market(market).first_session, desk.clock()
    today = now.astimezone(calendar.timezone).date()
    end = last if last is not None else calendar.last_settled(now)
    if end > today:
        raise InputError(f"{end} is ahead; it is {today}.", remedy="Use an earlier date.", where=names[1])
    begin = first if first is not None else max(max(end, begins) - DEFAULT_RANGE, begins)
    for day, name in ((end, names[1]), (begin, names[0])):
        if day < begins:
            raise InputError(
                f"{day} is before the market's first session, {begins}.",
                remedy="Use a later date, or set markets.<name>.first_session back.",
                where=name,
            )
    if begin > end:
        raise InputError(
            f"{begin} is after {end}: there is nothing to collect.",
            remedy=f"Use an earlier {names[0]}, or a later {names[1]}.",
            where=", ".join(names),
        )
    return begin, end


def history_config(
    market: str,
    through: date | None,
    since: date | None = None,
    *,
    symbols: Sequence[str] = (),
    force: bool = False,
    again_as: str = "",
) -> dict[str, Any]:
    """Run configuration of `collect_history_<market>`."""
    settings: dict[str, Any] = {"symbols": list(symbols), "force": force, "again_as": again_as}
    settings |= {name: day.isoformat() for name, day in (("since", since), ("through", through)) if day}
    return {"ops": {f"{market}__historical_chunks": {"config": settings}}}


def daily_config(market: str, *, force: bool = False) -> dict[str, Any]:
    """Run configuration of `collect_daily_<market>`."""
    return {"ops": {f"{market}__daily_prices": {"config": {"force": force}}}}
