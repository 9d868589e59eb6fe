"""The ledger kept, and brought back: backups, a ledger restored from one, and one built anew from the broker's books.

What belongs here: what must be asked and stopped around `ledger.backup` and `execution.rebuilding`. What does not: the
file, and the rows.

After either way back every account that may have traded with what was lost is halted: a person looks, and resumes.
Real money is armed anew, a plan or strategy code approved anew, a key of the services made anew: what a backup says of
such a permission may have been taken back, or used up, since.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from os import getpid
from pathlib import Path

import sqlalchemy as sa

from scizor_dagster.errors import InputError, LedgerError
from scizor_dagster.execution.rebuilding import Rebuilt, rebuild_account
from scizor_dagster.flow.archives import LEDGER
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import execution_settings
from scizor_dagster.flow.ledger_choice import note_server, refuse_forgotten_server
from scizor_dagster.flow.moving import refuse_unfinished_move
from scizor_dagster.ledger.api_keys import keys_of, revoke_key
from scizor_dagster.ledger.arming import disarm
from scizor_dagster.ledger.backup import Manifest, read_manifest, restore, write_backup
from scizor_dagster.ledger.known import known_portfolios
from scizor_dagster.ledger.plan_approvals import withdraw_unused
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.strategy_code import codes_of, is_approved, judge_code
from scizor_dagster.ledger.verification import verify
from scizor_dagster.risk.trading_state import TradingState, set_state

LOOKED_BACK = timedelta(days=30)
"""How far back the broker is asked for orders and fills where nobody says otherwise."""


def verify_ledger(desk: Desk, against: Path | None) -> list[str]:
    """What is not as the history says; with a backup, also what was cut off or written anew since.

    Raises:
        InputError: there is no ledger, or the file is no backup.
    """
    require_ledger(desk)
    if against is not None and against.is_dir():
        against = against / LEDGER
    manifest = read_manifest(against) if against is not None else None
    with desk.ledger.read() as connection:
        if manifest is None or manifest.seq == 0:
            return verify(connection)
        return verify(connection, seq=manifest.seq, seal=manifest.seal)


def backup_ledger(desk: Desk, path: Path, now: datetime) -> Manifest:
    """Write a backup of the ledger alone.

    Raises:
        InputError: there is no ledger, or the file cannot be written.
        LedgerError: the ledger is not what its history says, so that a backup of it would be none.
    """
    found = verify_ledger(desk, None)
    if found:
        raise LedgerError(
            f"The ledger is not what its history says: {found[0]}",
            remedy="Nothing was written. See: scizor ledger verify.",
            where=str(desk.settings.home),
        )
    return write_backup(desk.ledger, path, now=now)


def restore_ledger(
    desk: Desk,
    ledger: Ledger,
    path: Path,
    *,
    actor: str,
    now: datetime,
    name: str,
    also: Callable[[sa.Connection], None] = lambda _: None,
) -> tuple[Manifest, list[str]]:
    """Fill an empty ledger from a backup, halt every account, and end what was permitted on any of them.

    Also an account that the backup does not know: it may have begun since, and would begin anew.

    Args:
        desk: Whose configuration names the accounts.
        ledger: The empty one.
        path: The file.
        actor: Who brings it back.
        now: Aware instant.
        name: What the backup is called.
        also: Called in the same transaction, at its end.

    Returns:
        The manifest, and the accounts.

    Raises:
        InputError: the file is no whole backup.
        LedgerError: the ledger is not empty, or the backup is not what its history says.
    """
    manifest = read_manifest(path)
    reason = f"the ledger was restored from {name} of {manifest.made_at}; what was sent since then is not in it"
    halted: list[str] = []

    def halt(connection: sa.Connection) -> None:
        known = known_portfolios(connection)
        for account, portfolio in [(name, item) for name in sorted(known) for item in sorted(known[name])]:
            disarm(connection, account, portfolio, actor=actor, reason=reason, now=now)
            withdraw_unused(connection, account, portfolio, actor=actor, reason=reason, now=now)
        _end_permissions_of_services(connection, reason, actor, now)
        halted.extend(sorted({*known, *_traded_accounts(desk)}))
        _halt(connection, halted, reason, actor, now)
        also(connection)

    return restore(ledger, path, then=halt), halted


def rebuild_ledger(
    desk: Desk,
    account: str,
    *,
    first: date | None,
    adopt_to: str | None,
    cash: Decimal | None,
    actor: str,
) -> tuple[Rebuilt, list[str]]:
    """Take what the broker shows of `account` into the ledger: orders, fills, activities, and positions if asked.

    See `execution.rebuilding` for what is taken and how. With it come the accounts that are halted: this one, and
    where nothing was left of the ledger every other one, of which it still knows nothing.

    Raises:
        InputError: no portfolio trades on the account, several do and no order tells which, the first day is ahead, or
            positions are to be adopted without saying what cash the portfolio has.
        BrokerUnavailable, WrongAccount, AccountBusy, LedgerError: as for every run.
    """
    portfolios = [name for name, item in desk.config.portfolios.items() if item.account == account]
    desk.account(account)
    _check_request(account, portfolios, adopt_to, cash)
    refuse_unfinished_move(desk.settings)
    refuse_forgotten_server(desk.settings)
    portfolio = adopt_to or portfolios[0]
    market = desk.portfolio(portfolio).market
    calendar = desk.calendar(market)
    now = desk.clock()
    today = calendar.current_session(now)
    if first is not None and first > today:
        raise InputError(
            f"{first} is ahead: nothing was traded since then.", remedy="Give an earlier day.", where="--first"
        )
    lost = not Ledger.holds_anything(desk.settings.ledger_url)
    halted = [account, *(name for name in _traded_accounts(desk) if lost and name != account)]
    reason = "the ledger is being built anew from the broker's books"
    with _to_be_filled(desk) as ledger, ledger.transaction() as connection:
        _halt(connection, halted, reason, actor, now)
    broker = desk.broker(account, market)
    begins = first or (now.astimezone(calendar.timezone).date() - LOOKED_BACK)
    shown = broker.capabilities.fills_from
    sessions = calendar.sessions(max(begins, shown) if shown else begins, today)
    rebuilt = rebuild_account(
        ledger=desk.ledger,
        broker=broker,
        account=account,
        portfolio=portfolio,
        portfolio_of=_portfolio_of(desk, portfolios),
        sessions=sessions or [today],
        clock=desk.clock,
        holder=f"{socket.gethostname()}:{getpid()}:rebuild",
        settings=execution_settings(desk, portfolio),
        prefix=desk.portfolio(portfolio).idempotency.client_order_id_prefix,
        instrument_ids={symbol: item.id for symbol, item in desk.instruments(market).items()},
        adopt=adopt_to is not None,
        cash=cash,
        actor=actor,
    )
    return rebuilt, halted


def _traded_accounts(desk: Desk) -> list[str]:
    """The accounts that a portfolio of the configuration trades on, in its order."""
    return list(dict.fromkeys(item.account for item in desk.config.portfolios.values()))


def _end_permissions_of_services(connection: sa.Connection, reason: str, actor: str, now: datetime) -> None:
    for key in keys_of(connection):
        if key.revoked_at is None:
            revoke_key(connection, key.key_id, actor=actor, reason=reason, now=now)
    for code in codes_of(connection):
        if is_approved(connection, code.code_hash):
            judge_code(connection, code.code_hash, approved=False, actor=actor, reason=reason, now=now)


def _halt(connection: sa.Connection, accounts: Sequence[str], reason: str, actor: str, now: datetime) -> None:
    for account in accounts:
        set_state(connection, account, None, TradingState.HALTED, reason=reason, actor=actor, now=now)


@contextmanager
def _to_be_filled(desk: Desk) -> Iterator[Ledger]:
    """The ledger that is brought back, which may be empty; once it is filled, the home keeps in mind where it lies."""
    ledger = Ledger.open(desk.settings.ledger_url)
    try:
        yield ledger
        note_server(desk.settings, ledger.place, holds=True)
    finally:
        ledger.close()


def require_ledger(desk: Desk) -> None:
    """Raise `InputError` where there is no ledger: asking creates none."""
    if not desk.has_ledger:
        raise InputError(
            "There is no ledger here.",
            remedy="Nothing has traded with this home. Name another one with SCIZOR_HOME, or restore a backup.",
            where=str(desk.settings.home),
        )


def _check_request(account: str, portfolios: Sequence[str], adopt_to: str | None, cash: Decimal | None) -> None:
    if not portfolios:
        raise InputError(
            f"No portfolio of the configuration trades on account '{account}'.",
            remedy="Configure the portfolio that owns what the account holds, then rebuild.",
            where="--account",
        )
    if adopt_to is not None and adopt_to not in portfolios:
        raise InputError(
            f"Portfolio '{adopt_to}' does not trade on account '{account}'.",
            remedy=f"Use one of: {', '.join(portfolios)}.",
            where="--adopt-to",
        )
    if (adopt_to is None) != (cash is None):
        raise InputError(
            "Positions are adopted together with the cash that the portfolio has beside them.",
            remedy="Give both --adopt-to PORTFOLIO and --cash AMOUNT, or neither.",
            where="--adopt-to, --cash",
        )


def _portfolio_of(desk: Desk, portfolios: Sequence[str]) -> Callable[[str], str | None]:
    """Who planned an order, by its id: the only portfolio there is, or the one whose plan in the lake names it."""
    if len(portfolios) == 1:
        return lambda _: portfolios[0]
    planned: dict[str, str] = {}
    if desk.has_lake:
        with desk.lake.read() as cursor:
            rows = cursor.execute("SELECT DISTINCT client_order_id, portfolio FROM planned_orders").fetchall()
        planned = {str(name): str(portfolio) for name, portfolio in rows if portfolio in portfolios}
    return planned.get
