"""How far a backtest or an optimization is, as events, from the log of its run.

What belongs here: lines of the log to events. What does not: the form of the stream (`events`).
"""

from __future__ import annotations

import re

from scizor_dagster.api.events import Event, Read, Told
from scizor_dagster.api.problems import NotFound
from scizor_dagster.api.runs import ENDED, Runs, RunState
from scizor_dagster.api.security import Actor
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.handing_in import followers_of
from scizor_dagster.flow.strategies import records_of, registry_of

PORTFOLIO_TAG, STRATEGY_TAG = "scizor/portfolio", "scizor/strategy"
_LINE = re.compile(r"([0-9]+) of ([0-9]+|\?) (sessions|sets)")


def state_of(runs: Runs, desk: Desk, actor: Actor, run_id: str, kind: str) -> RunState:
    """A run of this kind.

    Raises:
        NotFound: there is none, or it is of a portfolio or a strategy that the key may not see.
    """
    state = runs.state(run_id, kind)
    if not is_visible(desk, actor, state.tags.get(PORTFOLIO_TAG), state.tags.get(STRATEGY_TAG)):
        raise NotFound(kind, run_id)
    return state


def is_visible(desk: Desk, actor: Actor, portfolio: str | None, strategy: str | None) -> bool:
    """Whether a key may see what was asked for of a portfolio, a strategy or both.

    That of a portfolio belongs to its account, and that of a strategy of the manifest to those of its portfolios. One
    of a portfolio or a strategy that is not there any more is for keys that may see every account.
    """
    if actor.accounts is None:
        return True
    if portfolio and portfolio not in actor.portfolios(desk):
        return False
    if not strategy:
        return True
    if any(entry.id == strategy for entry in desk.manifest.strategies):
        return all(actor.may_see(desk.portfolio(name).account) for name in followers_of(desk, strategy))
    return strategy in records_of(desk) or strategy in registry_of(desk).names()


def progress_of(runs: Runs, run_id: str, kind: str) -> Read:
    """What `events.stream` tells: `progress` (done, total, of), and the `end` with the backtest that was kept."""

    def read(after: int) -> Told:
        state = runs.state(run_id, kind)
        events = []
        for number, line in runs.said(run_id, after):
            found = _LINE.fullmatch(line)
            if found is not None:
                done, total, of = found.groups()
                told = {"done": int(done), "total": int(total) if total != "?" else None, "of": of}
                events.append(Event(number, "progress", told))
        if state.status not in ENDED:
            return Told(events, ended=False)
        made = runs.made(run_id).get("backtest")
        told_last = {"status": state.status.value, "problem": state.problem or None, "backtest_id": made}
        end = _end(runs, run_id)
        return Told([*events, Event(end, "end", told_last)] if after < end else [], ended=True)

    return read


def _end(runs: Runs, run_id: str) -> int:
    """The number of the event after the last line, the same each time."""
    last = 0
    while lines := runs.said(run_id, last):
        last = lines[-1][0]
    return last + 1
