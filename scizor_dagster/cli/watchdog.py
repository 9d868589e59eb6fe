"""`scizor watchdog`: says that a rebalance did not happen, or ended half done; for cron, beside Dagster.

What belongs here: which looks are made, what Dagster's databases add to them, the answer, and telling somebody. What
does not: the looks (`flow.watch_trading`, `flow.watch_inputs`). Dagster is not imported and no broker is asked, so that
neither can keep the answer away.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.dagster_state import DagsterState, read_dagster
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.jobnames import name_for
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    from scizor_dagster.flow.watch import Finding, Watch, WatchingDesk

_DOCTOR = "See scizor doctor, which names what is not there and what to do."


def watchdog(
    portfolio: Annotated[
        list[str] | None, typer.Option(help="Portfolio of the configuration; several times for several. Default: all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what should have happened by now and did not. For cron or a timer of systemd, beside Dagster and its daemon.

    Looks whether the last session was traded, ended and reconciled, whether prices and weights are there, whether a run
    has died over its orders, whether somebody could not be told, and whether Dagster's daemon is alive where schedules
    are switched on. Asks no broker, and changes nothing. What cannot be read is a finding. Whom the section
    notifications of the configuration names is told, once a day while the findings stay the same; without it no network
    is used.

    When: by cron, some minutes after the things that should have happened.
    Writes: The ledger's notes of who was told what; nothing else.
    Exit codes: 0 all is well; 1 there is a finding, or somebody could not be told; 2 the call is wrong.
    JSON: ok, at, portfolios, findings[*], notes, notification.
    Example: scizor watchdog --portfolio main
    """
    from scizor_dagster.flow.watch import Watch, WatchingDesk

    now = dates.now()
    desk = WatchingDesk(Settings.from_environment(os.environ), dates.now)
    watch = Watch()
    names = _portfolios(desk, portfolio, watch)
    state = _dagster(desk, watch)
    if names is not None:
        look_at(desk, names, state, now, watch)
    body: dict[str, Any] = {
        "ok": not watch.findings,
        "at": now.isoformat(timespec="seconds"),
        "portfolios": names or [],
        "findings": [finding.to_json() for finding in watch.findings],
        "notes": watch.notes,
    }
    failed = _tell(desk, body, now) if names is not None else "Nobody was told: the configuration cannot be read."
    _print(body | {"notification": failed}, as_json)
    raise typer.Exit(0 if body["ok"] and not failed else 1)


def _portfolios(desk: WatchingDesk, asked: list[str] | None, watch: Watch) -> list[str] | None:
    """The portfolios to look at; None where the configuration cannot be read, which is a finding.

    Raises:
        ConfigError: there is no portfolio of a name that was asked for.
    """
    known: list[str] = []

    def read() -> Iterator[Finding]:
        known.extend(desk.config.portfolios)
        yield from ()

    watch.look("The configuration", _DOCTOR, read)
    if watch.findings:
        return None
    for name in asked or ():
        desk.portfolio(name)
    return list(dict.fromkeys(asked)) if asked else known


def _dagster(desk: WatchingDesk, watch: Watch) -> DagsterState | None:
    found: list[DagsterState] = []

    def read() -> Iterator[Finding]:
        state = read_dagster(desk.settings)
        found.extend([state] if state is not None else [])
        yield from ()

    watch.look("Dagster", "Look at the daemon and its home.", read)
    if not found and not watch.findings:
        watch.notes.append(f"There is no Dagster instance in {desk.settings.dagster_home}: nothing runs by itself.")
    return found[0] if found else None


def look_at(desk: WatchingDesk, names: list[str], state: DagsterState | None, now: datetime, watch: Watch) -> None:
    """Every look at the portfolios of these names, their accounts and markets, and at Dagster's daemon."""
    from scizor_dagster.flow.open_breaks import looked_findings
    from scizor_dagster.flow.watch_inputs import missing_prices
    from scizor_dagster.flow.watch_notices import not_told
    from scizor_dagster.flow.watch_trading import (
        Switches,
        account_findings,
        lost_ledger,
        stopped,
        unclosed,
        unfinished,
        unreconciled,
        untraded,
    )

    config = desk.config
    watch.look("The ledger", _DOCTOR, partial(lost_ledger, desk))
    for name in names:
        schedule = f"{name_for('rebalance', name, config.portfolios)}_before_open"
        switches = Switches(schedule, state.is_on(schedule) if state is not None else None)
        if switches.on is False:
            watch.notes.append(f"The schedule {schedule} is switched off.")
        what = f"Portfolio {name}"
        watch.look(what, _DOCTOR, partial(untraded, desk, name, now, switches, watch.notes))
        watch.look(what, _DOCTOR, partial(unfinished, desk, name, now))
        watch.look(what, _DOCTOR, partial(unreconciled, desk, name, now))
        watch.look(what, _DOCTOR, partial(unclosed, desk, name, now))
        watch.look(what, _DOCTOR, partial(stopped, desk, name, now, watch.notes))
    for account in dict.fromkeys(config.portfolios[name].account for name in names):
        traded = [name for name in names if config.portfolios[name].account == account]
        watch.look(f"Account {account}", _DOCTOR, partial(account_findings, desk, account, traded, now))
        watch.look(f"Account {account}", _DOCTOR, partial(looked_findings, desk, account, traded[0]))
    for market in dict.fromkeys(config.portfolios[name].market for name in names):
        watch.look(f"Market {market}", _DOCTOR, partial(missing_prices, desk, market, now))
    watch.look("Notifications", _DOCTOR, partial(not_told, desk))
    if state is not None:
        oldest = timedelta(minutes=config.watchdog.heartbeat_minutes)
        watch.look("Dagster", _DOCTOR, partial(_silent_daemon, state, now, oldest))


def _silent_daemon(state: DagsterState, now: datetime, oldest: timedelta) -> Iterator[Finding]:
    """A daemon that is needed, because something is switched on, and has not been heard of."""
    from scizor_dagster.flow.watch import Finding

    on = sorted(name for name, running in state.switches.items() if running)
    if not on:
        return
    heard = state.oldest()
    if heard is None or now - heard > oldest:
        since = f"since {heard.isoformat(timespec='seconds')}" if heard is not None else "ever"
        yield Finding(
            "daemon_silent",
            f"Dagster's daemon has not been heard of {since}, and {len(on)} schedule(s) and sensor(s) are switched on.",
            "Start it again (scizor dev, or your own service), and see why it ended.",
        )


def _tell(desk: WatchingDesk, body: dict[str, Any], now: datetime) -> str:
    """Tell whom the configuration names; what went wrong, or nothing."""
    from scizor_dagster.flow.notifying import notifier_of
    from scizor_dagster.flow.watch_notices import remembering_ledger
    from scizor_dagster.notifications import texts

    if not desk.config.notifications.tells_somebody:
        return ""
    notifier = notifier_of(desk, cache(partial(remembering_ledger, desk.settings)))
    if body["ok"]:
        outcomes = notifier.tell_every_time(texts.all_well(body["portfolios"], now))
    else:
        outcomes = notifier.tell([texts.watchdog_found(body["findings"], body["portfolios"], now)])
    return " ".join(item.failure for item in outcomes if not item.went)


def _print(body: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(body)
        return
    if body["findings"]:
        columns = ["finding", "of", "session", "what", "what to do"]
        rows = [
            (item["kind"], item["portfolio"] or item["account"], item["session"], item["problem"], item["remedy"])
            for item in body["findings"]
        ]
        print_table("scizor watchdog", columns, rows)
    else:
        typer.echo(f"All is well with {', '.join(body['portfolios']) or 'no portfolio'}.")
    for note in body["notes"]:
        typer.echo(f"note: {note}")
    if body["notification"]:
        typer.secho(body["notification"], err=True, fg=typer.colors.RED)
