"""`parity`: what a portfolio has traded, beside the backtest of the same sessions, with what differs and why.

What belongs here: putting the comparison, the split of money and the replays together, and a cause to each difference.
What does not: both sides (`parity_sides`), and the arithmetic (`backtest.parity`, `backtest.parity_split`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from scizor_dagster.analytics.replays import Replays
from scizor_dagster.backtest.model import FillAt
from scizor_dagster.backtest.parity import Difference, Parity, Told, by_key, compare, is_of_an_order
from scizor_dagster.backtest.parity_split import Split, split
from scizor_dagster.errors import InputsGone
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.parity_sides import both_sides, modelled_sides
from scizor_dagster.flow.replaying import replay_sessions

CARRIED = "cash or holdings before the session differ already"
OTHER_VERSION = "this version makes another plan of what the recorded one was made from"
AT_THE_RELEASE = "another part of the purchases was paid for by the cash that was there"
BY_THE_VENUE = "it was filled otherwise"
OTHERWISE = "it was planned on something else: prices, rules or what an instrument may do"
_FILLED = ("filled", "fills", "state")


@dataclass(frozen=True)
class ParityReport:
    """What `scizor parity` says.

    Attributes:
        split: Recorded less backtest.
        other_versions: Sessions whose plan is not the stored one when it is made again.
        not_replayed: Sessions whose plan cannot be made again.
    """

    portfolio: str
    parity: Parity
    split: Split
    replayed: int
    other_versions: tuple[date, ...]
    not_replayed: tuple[date, ...]
    notes: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether both runs are the same in every number, and every plan is made again as it was."""
        return self.parity.equal and not self.other_versions

    def to_json(self) -> dict[str, Any]:
        parity = self.parity
        return {
            "portfolio": self.portfolio,
            "equal": self.equal,
            "sessions": parity.sessions,
            "orders": parity.orders,
            "differing_orders": parity.differing_orders,
            "fills": parity.fills,
            "differences": [item.to_json() for item in parity.differences],
            "split": self.split.to_json(),
            "replayed": self.replayed,
            "made_otherwise": list(self.other_versions),
            "not_replayed": list(self.not_replayed),
            "notes": list(self.notes),
        }


def parity_report(desk: Desk, portfolio: str, first: date, last: date, at: FillAt | None = None) -> ParityReport:
    """Compare the recorded sessions from `first` to `last` with their backtest.

    The backtest fills as the embedded exchange does; with `at`, by a model: all of a session's orders at that price.

    Raises:
        InputError: nothing was admitted in these sessions, or the portfolio held something before them and `at` is set.
        PriceUnavailable: the lake has no prices of them.
    """
    asked = (desk, portfolio, first, last)
    sides = both_sides(*asked) if at is None else modelled_sides(*asked, at)
    replays = _replays(desk, portfolio, first, last)
    others = tuple(item.session for item in replays.sessions if not item.equal)
    parity = compare(sides.recorded, sides.backtest)
    explained = tuple(_caused(item, sides.recorded, sides.backtest, others) for item in parity.differences)
    return ParityReport(
        portfolio,
        replace(parity, differences=explained),
        split(sides.backtest, sides.recorded),
        len(replays.sessions),
        others,
        tuple(item.session for item in replays.missing),
        sides.notes,
    )


def _replays(desk: Desk, portfolio: str, first: date, last: date) -> Replays:
    try:
        return replay_sessions(desk, portfolio, first, last)
    except InputsGone:
        return Replays((), ())


def _caused(item: Difference, recorded: Told, backtest: Told, others: tuple[date, ...]) -> Difference:
    """The difference with its cause, where it is an order's and nothing is said of it yet."""
    if item.cause or not is_of_an_order(item):
        return item
    if item.what in _FILLED:
        return replace(item, cause=BY_THE_VENUE)
    if item.what == "final" and _planned_alike(item, recorded, backtest):
        return replace(item, cause=AT_THE_RELEASE)
    if _before(recorded, item.session) != _before(backtest, item.session):
        return replace(item, cause=CARRIED)
    return replace(item, cause=OTHER_VERSION if item.session in others else OTHERWISE)


def _planned_alike(item: Difference, recorded: Told, backtest: Told) -> bool:
    planned = [{str(key): order.planned for key, order in by_key(run).items()}[item.of] for run in (recorded, backtest)]
    return planned[0] == planned[1]


def _before(run: Told, session: date) -> object:
    """Cash and holdings before the session."""
    day = max((day for day in run.days if day.session < session), key=lambda each: each.session)
    return day.cash, dict(day.holdings)
