"""Watchlists: lists of symbols with a name, by id or by name.

What belongs here: the endpoints under `/v2/watchlists`. What does not: how they are kept (`paper_exchange.watchlists`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from scizor_dagster.paper_exchange.alpaca_door import render_account
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import NOT_FOUND, WireError, asset_not_found, malformed
from scizor_dagster.paper_exchange.alpaca_door.formats import instant
from scizor_dagster.paper_exchange.watchlists import Watchlist

_LONGEST_NAME = 64


def list_watchlists(door: Door, call: Call) -> Reply:
    return Reply(200, [_head(door, call, row) for row in _known(door, call)])


def get_watchlist(door: Door, call: Call) -> Reply:
    return Reply(200, _body(door, call, _wanted(call, _known(door, call))))


def create_watchlist(door: Door, call: Call) -> Reply:
    body, now = call.json(), door.venue.now()
    name, symbols = _name(body), _symbols(door, body) or ()
    if name is None:
        raise malformed("name is required")
    made = Watchlist(str(uuid4()), name, now, now, symbols)

    def change(rows: Sequence[Watchlist]) -> Sequence[Watchlist]:
        _check_name(rows, made)
        return [*rows, made]

    door.venue.change_watchlists(call.account, change)
    return Reply(200, _body(door, call, made))


def update_watchlist(door: Door, call: Call) -> Reply:
    """Another name, other symbols, or both; what is not named stays."""
    body, now = call.json(), door.venue.now()
    name, symbols = _name(body), _symbols(door, body)

    def change(row: Watchlist) -> Watchlist:
        own = row.symbols if symbols is None else symbols
        return replace(row, name=name or row.name, symbols=own, updated_at=now)

    return _change_one(door, call, change)


def add_to_watchlist(door: Door, call: Call) -> Reply:
    symbol, now = call.json().get("symbol"), door.venue.now()
    if not isinstance(symbol, str) or not symbol:
        raise malformed("symbol is required")
    _check_listed(door, symbol)
    return _change_one(door, call, lambda row: _with_symbols(row, (*row.symbols, symbol), now))


def remove_from_watchlist(door: Door, call: Call) -> Reply:
    symbol, now = call.path["symbol"], door.venue.now()

    def change(row: Watchlist) -> Watchlist:
        if symbol not in row.symbols:
            raise asset_not_found(symbol)
        return _with_symbols(row, tuple(name for name in row.symbols if name != symbol), now)

    return _change_one(door, call, change)


def delete_watchlist(door: Door, call: Call) -> Reply:
    def change(rows: Sequence[Watchlist]) -> Sequence[Watchlist]:
        gone = _wanted(call, rows)
        return [row for row in rows if row.list_id != gone.list_id]

    door.venue.change_watchlists(call.account, change)
    return Reply(204)


def _change_one(door: Door, call: Call, change: Callable[[Watchlist], Watchlist]) -> Reply:
    changed: list[Watchlist] = []

    def put(rows: Sequence[Watchlist]) -> Sequence[Watchlist]:
        new = change(_wanted(call, rows))
        _check_name(rows, new)
        changed[:] = [new]
        return [new if row.list_id == new.list_id else row for row in rows]

    door.venue.change_watchlists(call.account, put)
    return Reply(200, _body(door, call, changed[0]))


def _check_name(rows: Sequence[Watchlist], wanted: Watchlist) -> None:
    if any(row.name == wanted.name and row.list_id != wanted.list_id for row in rows):
        raise malformed("watchlist name must be unique")


def _with_symbols(row: Watchlist, symbols: Sequence[str], now: datetime) -> Watchlist:
    return replace(row, symbols=tuple(dict.fromkeys(symbols)), updated_at=now)


def _known(door: Door, call: Call) -> Sequence[Watchlist]:
    return door.venue.account(call.account).settings.watchlists


def _wanted(call: Call, rows: Sequence[Watchlist]) -> Watchlist:
    list_id, name = call.path.get("watchlist_id"), call.get("name")
    for row in rows:
        if row.list_id == list_id or (list_id is None and row.name == name):
            return row
    raise WireError(404, NOT_FOUND, f"watchlist not found for {list_id or name}")


def _name(body: Mapping[str, Any]) -> str | None:
    name = body.get("name")
    if name is None:
        return None
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise malformed(f"name must have 1 to {_LONGEST_NAME} characters")
    return name


def _symbols(door: Door, body: Mapping[str, Any]) -> tuple[str, ...] | None:
    symbols = body.get("symbols")
    if symbols is None:
        return None
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        raise malformed("symbols must be a list of strings")
    for symbol in symbols:
        _check_listed(door, symbol)
    return tuple(dict.fromkeys(symbols))


def _check_listed(door: Door, symbol: str) -> None:
    if door.listing(symbol) is None:
        raise asset_not_found(symbol)


def _head(door: Door, call: Call, row: Watchlist) -> dict[str, Any]:
    return {
        "id": row.list_id,
        "account_id": door.venue.account(call.account).account_id,
        "created_at": instant(row.created_at),
        "updated_at": instant(row.updated_at),
        "name": row.name,
    }


def _body(door: Door, call: Call, row: Watchlist) -> dict[str, Any]:
    listings = (door.listing(symbol) for symbol in row.symbols)
    assets = [render_account.asset(listing) for listing in listings if listing is not None]
    return _head(door, call, row) | {"assets": assets}
