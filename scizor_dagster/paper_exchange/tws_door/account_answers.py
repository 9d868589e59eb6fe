"""Answers to requests that concern accounts, positions and the session itself.

What belongs here: from a request to the messages that answer it. What does not: layouts (`account_messages`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from scizor_dagster.paper_exchange.tws_door.account_messages import (
    account_values,
    nothing_of,
    portfolio_line,
    position_line,
    summary_values,
)
from scizor_dagster.paper_exchange.tws_door.call import Answer, Call
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError
from scizor_dagster.paper_exchange.venue_views import PositionView

if TYPE_CHECKING:
    from scizor_dagster.paper_exchange.tws_door.session import Session


def _positions(call: Call) -> None:
    call.session.positions_wanted = True
    send_positions(call.session, call.door.book.accounts)
    call.send(62, 1)


def send_positions(session: Session, accounts: tuple[str, ...]) -> None:
    """A line for every position of the accounts, and one of zero for what is no longer held."""
    door = session.door
    for account in accounts:
        for row in _with_zeros(session, account, session.held):
            session.send(*position_line(row, door.contracts.required(row.symbol), door.book.ids[account]))


def send_position(session: Session, account: str, symbol: str) -> None:
    """The line of one position that has changed; zero where it is no longer held."""
    door = session.door
    rows = list(door.positions(account, session))
    session.held[account] = frozenset(row.symbol for row in rows)
    row = next((row for row in rows if row.symbol == symbol), nothing_of(symbol))
    session.send(*position_line(row, door.contracts.required(symbol), door.book.ids[account]))


def _with_zeros(session: Session, account: str, held: dict[str, frozenset[str]]) -> list[PositionView]:
    """Positions, and those of zero that `held` still has from the last time; `held` is brought up to date."""
    rows = list(session.door.positions(account, session))
    now = frozenset(row.symbol for row in rows)
    gone = sorted(held.get(account, frozenset()) - now)
    held[account] = now
    return [*rows, *(nothing_of(symbol) for symbol in gone)]


def _cancel_positions(call: Call) -> None:
    call.session.positions_wanted = False


def _positions_multi(call: Call) -> None:
    account = call.door.book.account_named(call.request["account"])
    if account is None:
        raise ApiError(321, "Error validating request.-'cL' : cause - Invalid account code")
    for row in call.door.positions(account, call.session):
        line = position_line(row, call.door.contracts.required(row.symbol), call.door.book.ids[account])
        call.send(71, 1, call.request.req_id, *line[2:], "")
    call.send(72, 1, call.request.req_id)


def _account_updates(call: Call) -> None:
    account = call.door.book.account_named(call.request["account"])
    if account is None:
        raise ApiError(321, "Error validating request.-'bX' : cause - Invalid account code")
    call.session.account_wanted = account if call.request.flag("subscribe") else None
    if call.session.account_wanted is not None:
        call.session.told.clear()
        send_account(call.session, account)
        call.send(54, 1, call.door.book.ids[account])


def send_account(session: Session, account: str) -> None:
    """Values and portfolio of an account, as far as they are not what the client has heard last, and the time."""
    door, account_id = session.door, session.door.book.ids[account]
    for tag, value, currency in account_values(door.venue.account(account)):
        session.send_changed((6, account_id, tag, currency), 6, 2, tag, value, currency, account_id)
    for row in _with_zeros(session, account, session.portfolio_held):
        line = portfolio_line(row, door.contracts.required(row.symbol), account_id)
        session.send_changed((7, account_id, row.symbol), *line)
    zone = ZoneInfo(door.switches.time_zone)
    session.send(8, 1, f"{door.venue.now().astimezone(zone):%H:%M}")


def _account_multi(call: Call) -> None:
    account = call.door.book.account_named(call.request["account"])
    if account is None:
        raise ApiError(321, "Error validating request.-'cX' : cause - Invalid account code")
    account_id = call.door.book.ids[account]
    for tag, value, currency in account_values(call.door.venue.account(account)):
        call.send(73, 1, call.request.req_id, account_id, "", tag, value, currency)
    call.send(74, 1, call.request.req_id)


def _summary(call: Call) -> None:
    door = call.door
    if len(call.session.summaries) >= door.switches.summaries:
        raise ApiError(
            322, "Error processing request.-'cA' : cause - Maximum number of account summary requests exceeded"
        )
    call.session.summaries[call.request.req_id] = call.request["tags"]
    call.session.told.clear()
    for account in door.book.accounts:
        send_summary(call.session, account, call.request.req_id)
    call.send(64, 1, call.request.req_id)


def send_summary(session: Session, account: str, req_id: int) -> None:
    """What one summary shows of an account now, as far as it is not what the client has heard last."""
    door = session.door
    for tag, value, currency in summary_values(door.venue.account(account), session.summaries[req_id]):
        account_id = door.book.ids[account]
        session.send_changed((63, account_id, req_id, tag), 63, 1, req_id, account_id, tag, value, currency)


def _cancel_summary(call: Call) -> None:
    call.session.summaries.pop(call.request.req_id, None)


def _ids(call: Call) -> None:
    call.send(9, 1, call.door.book.next_id(call.session.client))


def _accounts(call: Call) -> None:
    call.send(15, 1, ",".join(call.door.book.ids.values()))


def _time(call: Call) -> None:
    call.send(49, 1, int(call.door.venue.now().timestamp()))


def _nothing(_: Call) -> None:
    """A request that ends a subscription which ended with its answer."""


ACCOUNT_ANSWERS: dict[str, Answer] = {
    "reqPositions": _positions,
    "cancelPositions": _cancel_positions,
    "reqPositionsMulti": _positions_multi,
    "cancelPositionsMulti": _nothing,
    "reqAccountUpdates": _account_updates,
    "reqAccountUpdatesMulti": _account_multi,
    "cancelAccountUpdatesMulti": _nothing,
    "reqAccountSummary": _summary,
    "cancelAccountSummary": _cancel_summary,
    "cancelHeadTimeStamp": _nothing,
    "reqIds": _ids,
    "reqManagedAccts": _accounts,
    "reqCurrentTime": _time,
    "startApi": _nothing,
}
