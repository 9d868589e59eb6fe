"""`scizor keys`: who may ask the HTTP services, and for what.

What belongs here: the commands, and showing a key once. What does not: its form (`api.keys`), the rows
(`ledger.api_keys`), and what a scope opens (`api.security`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import check_home, open_desk
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.ledger.api_keys import ApiKey, Scope

app = typer.Typer(help="Make, list and revoke the keys of the HTTP services.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
MOST_DAYS = 366
USUAL_DAYS = 90


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whom it stands for: the name beside what is done with it.")],
    scope: Annotated[
        list[str],
        typer.Option(help="read, upload, dry-run, trade, admin or metrics; one or more, and none has another."),
    ],
    account: Annotated[
        list[str] | None, typer.Option(help="Account of the configuration that it may see; more than one may be given.")
    ] = None,
    all_accounts: Annotated[bool, typer.Option("--all-accounts", help="It may see every account.")] = False,
    days: Annotated[int, typer.Option(min=1, max=MOST_DAYS, help="How long it is valid.")] = USUAL_DAYS,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key, and show it this once. Only its digest is kept: one that is lost is revoked and made anew.

    read: look at everything of its accounts. upload: hand in weights and symbols, have data collected. dry-run:
    backtests, searches, plans. trade: whatever sends an order or stops one; it can also arm a live account, which no
    order goes to unarmed. admin: the audit and what only an operator may change. metrics: the
    figures at /metrics. A key that trades cannot read unless it has both.

    When: a person or a program is to use the HTTP services.
    Writes: The key's digest, scopes, accounts and expiry in the ledger.
    Exit codes: 0 made; 2 a scope, an account or a name is wrong.
    JSON: key, key_id, name, scopes, accounts, state, created_at, created_by,
    expires_at, last_used_at, revoked_by, reason.
    Example: scizor keys create dashboard --scope read --account paper --days 30
    """
    from scizor_dagster.api.keys import new_key
    from scizor_dagster.ledger.api_keys import add_key

    desk = open_desk()
    scopes = _scopes(scope)
    actor, operator = _holder(name), actor_of(by)
    accounts = _accounts(desk, account or [], every=all_accounts)
    check_home(desk.settings)
    now = desk.machine_clock()
    text, key = new_key(actor, scopes, accounts, created_by=operator, now=now, expires_at=now + timedelta(days=days))
    with desk.ledger.transaction() as connection:
        add_key(connection, key)
    if as_json:
        emit_json({"key": text, **_row(key, now)})
        return
    typer.echo(text)
    typer.echo(
        f"Key {key.key_id} of {key.actor}, valid until {key.expires_at:%Y-%m-%d %H:%M} UTC. It is shown this once; "
        "send it as the header Authorization: Bearer KEY.",
        err=True,
    )


@app.command(name="list")
def list_keys(as_json: JsonOption = False) -> None:
    """List every key that there ever was: whom it stands for, what it may do, until when, and when it was last used.

    When: you want to know who can get in.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none.
    JSON: keys[key_id, name, scopes, accounts, state, created_at, created_by,
    expires_at, last_used_at, revoked_by, reason].
    Example: scizor keys list
    """
    from scizor_dagster.ledger.api_keys import keys_of

    desk = open_desk()
    found = []
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            found = keys_of(connection)
    rows = [_row(key, desk.machine_clock()) for key in found]
    if as_json:
        emit_json({"keys": rows})
        return
    columns = ("key_id", "name", "scopes", "accounts", "state", "expires_at", "last_used_at", "created_by")
    print_table("Keys of the HTTP services", columns, [[_text(row[column]) for column in columns] for row in rows])


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The 12 digits of the key, as `scizor keys list` shows them.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger.")],
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close a key for good, from the next request on.

    When: a key is lost, or whoever has it should not get in any more.
    Writes: The end of the key in the ledger.
    Exit codes: 0 revoked; 2 there is no such key.
    JSON: key_id, name, revoked_by, reason.
    Example: scizor keys revoke 3f0a9c21b4d7 --reason "the laptop was lost"
    """
    from scizor_dagster.ledger.api_keys import revoke_key

    desk = open_desk()
    actor, now = actor_of(by), desk.machine_clock()
    if not desk.has_ledger:
        raise InputError("There is no ledger, and so no key.", remedy="See: scizor keys list.", where="KEY_ID")
    with desk.ledger.transaction() as connection:
        revoked = revoke_key(connection, key_id, actor=actor, reason=reason.strip(), now=now)
    if as_json:
        emit_json({"key_id": key_id, "name": revoked.actor, "revoked_by": actor, "reason": reason.strip()})
        return
    typer.echo(f"Key {key_id} of {revoked.actor} is revoked by {actor}; it opens nothing any more.")


def _holder(name: str) -> str:
    try:
        return actor_of(name)
    except InputError as error:
        raise InputError(error.problem, remedy=error.remedy, where="NAME") from error


def _scopes(words: list[str]) -> list[Scope]:
    from scizor_dagster.ledger.api_keys import Scope

    known = {item.shown: item for item in Scope}
    unknown = [word for word in words if word not in known]
    if unknown:
        raise InputError(f"'{unknown[0]}' is no scope.", remedy=f"Give one of: {', '.join(known)}.", where="--scope")
    return [known[word] for word in words]


def _accounts(desk: Desk, named: list[str], *, every: bool) -> list[str] | None:
    if every == bool(named):
        raise InputError(
            "A key sees the accounts that are named, or every one.",
            remedy="Give --account for each, or --all-accounts.",
            where="--account",
        )
    unknown = sorted(set(named) - set(desk.config.accounts))
    if unknown:
        known = ", ".join(sorted(desk.config.accounts))
        raise InputError(f"There is no account '{unknown[0]}'.", remedy=f"Name one of: {known}.", where="--account")
    return None if every else named


def _row(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.actor,
        "scopes": sorted(scope.shown for scope in key.scopes),
        "accounts": sorted(key.accounts) if key.accounts is not None else ["all"],
        "state": key.refusal(now).removeprefix("key ") or "valid",
        "created_at": key.created_at.isoformat(timespec="seconds"),
        "created_by": key.created_by,
        "expires_at": key.expires_at.isoformat(timespec="seconds"),
        "last_used_at": key.last_used_at.isoformat(timespec="seconds") if key.last_used_at else None,
        "revoked_by": key.revoked_by,
        "reason": key.reason or None,
    }


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value or "")
