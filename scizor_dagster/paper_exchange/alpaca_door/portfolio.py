"""The history of an account's worth, made again from its fills and from what moved without a trade.

What belongs here: which instants a period has, and equity and profit at each. What does not: the account
as it is now (`reference`).

A day's point is at its close, or now, and bears the midnight of UTC after it, as at Alpaca; points within a
day bear their own instants. There is none from before the account was opened, but for the last session before it
where it has seen none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import malformed
from scizor_dagster.paper_exchange.alpaca_door.formats import cents, new_york_date, plain, read_date
from scizor_dagster.paper_exchange.alpaca_door.timeframes import Timeframe, Unit, read_timeframe
from scizor_dagster.paper_exchange.price_path import Hours
from scizor_dagster.paper_exchange.traces import Trace
from scizor_dagster.paper_exchange.venue_orders import ZERO
from scizor_dagster.paper_exchange.venue_views import AccountView

_PERIOD = re.compile(r"(\d{1,3})([DWMAY])", re.IGNORECASE)
_DAYS = {"W": 7, "M": 30, "A": 365, "Y": 365}
_LONGEST_INTRADAY = timedelta(days=30)
_SHARE_STEP = Decimal("0.000001")
_DAY = timedelta(days=1)
_TIMEFRAMES = {
    Timeframe(1, Unit.MINUTE): "1Min",
    Timeframe(5, Unit.MINUTE): "5Min",
    Timeframe(15, Unit.MINUTE): "15Min",
    Timeframe(1, Unit.HOUR): "1H",
    Timeframe(1, Unit.DAY): "1D",
}


@dataclass(frozen=True, slots=True)
class _Move:
    """What changed cash and a holding at an instant; `former` is the name that it was held under until then."""

    at: datetime
    cash: Decimal
    symbol: str | None = None
    qty: Decimal = ZERO
    former: str | None = None


@dataclass(slots=True)
class _Worth:
    """An account on its way through time: instants are asked in ascending order."""

    cash: Decimal
    moves: list[_Move]
    traces: Mapping[str, Mapping[date, Trace]]
    held: dict[str, Decimal] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)

    def at(self, session: date, at: datetime) -> Decimal:
        while self.moves and self.moves[0].at <= at:
            self._take(self.moves.pop(0))
        for symbol in self.held:
            if (trace := self.traces.get(symbol, {}).get(session)) is not None:
                self.prices[symbol] = trace.price(at)
        return self.cash + sum((qty * self.prices.get(symbol, ZERO) for symbol, qty in self.held.items()), ZERO)

    def _take(self, move: _Move) -> None:
        self.cash += move.cash
        if move.symbol is None:
            return
        before = self.held.pop(move.former, ZERO) if move.former is not None else ZERO
        self.held[move.symbol] = self.held.get(move.symbol, ZERO) + before + move.qty


def get_portfolio_history(door: Door, call: Call) -> Reply:
    view = door.venue.account(call.account)
    sessions = _sessions(door, call, new_york_date(view.created_at))
    timeframe = _timeframe(call, sessions)
    return Reply(200, _history(door, call, view, sessions, timeframe))


def _history(
    door: Door, call: Call, view: AccountView, sessions: Sequence[date], timeframe: Timeframe
) -> dict[str, Any]:
    is_daily = timeframe.unit is Unit.DAY
    is_reset = not is_daily and (call.get("pnl_reset") or "per_day") == "per_day"
    calendar, now = door.venue.calendar, door.venue.now()
    worth = _worth(door, call.account, view, sessions)
    base, asof = view.last_equity, None
    points: list[tuple[int, Decimal, Decimal, Decimal]] = []
    if sessions:
        asof = calendar.previous_session(sessions[0])
        base = worth.at(asof, calendar.close_at(asof))
    from_value = base
    for session, instants in groupby(_instants(door, sessions, timeframe, now), lambda point: point[0]):
        for _, at in instants:
            equity = worth.at(session, at)
            stamp = datetime.combine(session + _DAY, datetime.min.time(), UTC) if is_daily else at
            points.append((int(stamp.timestamp()), equity, equity - from_value, from_value))
        if is_reset:
            from_value = points[-1][1]
    body: dict[str, Any] = {
        "timestamp": [stamp for stamp, *_ in points],
        "equity": [_money(equity) for _, equity, _, _ in points],
        "profit_loss": [_money(profit) for _, _, profit, _ in points],
        "profit_loss_pct": [_share(profit, start) for _, _, profit, start in points],
        "base_value": _money(base),
        "timeframe": _TIMEFRAMES[timeframe],
    }
    return body | ({"base_value_asof": asof.isoformat()} if asof is not None else {})


def _worth(door: Door, account: str, view: AccountView, sessions: Sequence[date]) -> _Worth:
    """The account as it was opened, with everything that has happened since."""
    venue = door.venue
    opened, today = new_york_date(view.created_at) - _DAY, new_york_date(venue.now()) + _DAY
    fills = venue.executions(account, view.created_at - _DAY, venue.now() + _DAY)
    symbols = sorted({fill.symbol for fill in fills})
    renames = {
        (action.session, action.new_symbol): action.symbol
        for action in venue.corporate_actions(symbols, opened, today)
        if action.kind == "rename"
    }
    moves = [
        _Move(
            fill.at,
            (-fill.qty if fill.side is Side.BUY else fill.qty) * fill.price - fill.commission,
            fill.symbol,
            fill.qty if fill.side is Side.BUY else -fill.qty,
        )
        for fill in fills
    ]
    for row in venue.activities(account, opened, today):
        former = renames.get((row.session, row.symbol)) if row.kind == "rename" else None
        moves.append(_Move(row.at, row.amount, row.symbol, row.qty, former))
    moves.sort(key=lambda move: move.at)
    cash = view.cash - sum((move.cash for move in moves), ZERO)
    traces: dict[str, dict[date, Trace]] = {}
    if sessions:
        first = venue.calendar.previous_session(sessions[0])
        for symbol in {move.symbol for move in moves if move.symbol is not None}:
            # Some days more, for what had no trade on the first of them.
            found = venue.traces(symbol, first - timedelta(days=7), sessions[-1])
            traces[symbol] = {trace.session: trace for trace in found}
    return _Worth(cash, moves, traces)


def _instants(
    door: Door, sessions: Sequence[date], timeframe: Timeframe, now: datetime
) -> Iterator[tuple[date, datetime]]:
    calendar = door.venue.calendar
    for session in sessions:
        opens, closes = calendar.open_at(session), calendar.close_at(session)
        if timeframe.unit is Unit.DAY:
            yield session, min(closes, now)
            continue
        for at in timeframe.edges(Hours(session, opens, closes)):
            if opens <= at < closes and at <= now:
                yield session, at


def _sessions(door: Door, call: Call, opened: date) -> list[date]:
    """Sessions of the period that have begun, none from before the account."""
    calendar = door.venue.calendar
    last = calendar.session_on_or_before(new_york_date(door.venue.now()))
    if calendar.open_at(last) > door.venue.now():
        last = calendar.previous_session(last)
    end = _day(call, "end") or _day(call, "date_end")
    if end is not None:
        last = min(last, end)
    first = _day(call, "start")
    if first is None:
        first = _first(call.get("period") or "1M", last, opened, door)
    # Of an account that has not seen a session yet, the last before it: there is one point at least.
    first = max(first, min(opened, last))
    return list(calendar.sessions(first, last)) if first <= last else []


def _first(period: str, last: date, opened: date, door: Door) -> date:
    if period.lower() == "all":
        return opened
    match = _PERIOD.fullmatch(period)
    if match is None or match[1].strip("0") == "":
        raise malformed("invalid period")
    count, unit = int(match[1]), match[2].upper()
    if unit != "D":
        return last - timedelta(days=count * _DAYS[unit] - 1)
    day = door.venue.calendar.session_on_or_before(last)
    for _ in range(count - 1):
        day = door.venue.calendar.previous_session(day)
    return day


def _timeframe(call: Call, sessions: Sequence[date]) -> Timeframe:
    length = sessions[-1] - sessions[0] if sessions else timedelta()
    word = call.get("timeframe")
    if word is None:
        word = "1Min" if length < timedelta(days=7) else "15Min" if length < _LONGEST_INTRADAY else "1D"
        if call.get("period") is None and call.get("start") is None:
            word = "1D"
    found = read_timeframe(word)
    if found is None or found not in _TIMEFRAMES:
        raise malformed("invalid timeframe")
    if found.unit is not Unit.DAY and length > _LONGEST_INTRADAY:
        raise malformed("timeframes of less than 1D are for 30 days at most")
    return found


def _day(call: Call, name: str) -> date | None:
    text = call.get(name)
    if text is None:
        return None
    found = read_date(text)
    if found is None:
        raise malformed(f"invalid {name}")
    return found


def _money(value: Decimal) -> int | float:
    return plain(cents(value))


def _share(part: Decimal, whole: Decimal) -> int | float:
    return plain((part / whole).quantize(_SHARE_STEP)) if whole else 0
