"""`scizor doctor`: is everything there that the configuration needs?

What belongs here: looking, and saying what to do. What does not: mending.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.settings import Settings

MIN_FREE_BYTES = 2 * 1024**3
MIN_CALENDAR_DAYS = 60


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False) -> None:
    """Check Python, configuration, calendars, universes, stores, prices and accounts. Exit code 0 when all is well."""
    desk = Desk(Settings.from_environment(os.environ), lambda: datetime.now(UTC))
    findings = [_finding(name, check, desk) for name, check in CHECKS.items()]
    if as_json:
        emit_json({"ok": all(ok for _, ok, _ in findings),
                   "checks": [{"check": name, "ok": ok, "detail": detail} for name, ok, detail in findings]})
    else:
        print_table("scizor doctor", ["check", "", "detail"],
                    [(name, "ok" if ok else "PROBLEM", detail) for name, ok, detail in findings])
    raise typer.Exit(0 if all(ok for _, ok, _ in findings) else 1)


def _finding(name: str, check: Callable[[Desk], str], desk: Desk) -> tuple[str, bool, str]:
    try:
        return name, True, check(desk)
    except ScizorError as error:
        return name, False, str(error)


def _python(desk: Desk) -> str:  # noqa: ARG001
    return f"{sys.version.split()[0]} at {sys.executable}"


def _configuration(desk: Desk) -> str:
    config = desk.config
    notes = f"; {len(config.legacy_notes)} older key(s) without effect" if config.legacy_notes else ""
    return f"{config.source}: {len(config.markets)} market(s), {len(config.portfolios)} portfolio(s){notes}"


def _strategies(desk: Desk) -> str:
    return ", ".join(desk.manifest.strategy(item.signals.strategy).id for item in desk.config.portfolios.values())


def _calendars(desk: Desk) -> str:
    today = datetime.now(UTC).date()
    for name in desk.config.markets:
        calendar = desk.calendar(name)
        if calendar.last < today + timedelta(days=MIN_CALENDAR_DAYS):
            raise ScizorError(
                f"Calendar {calendar.code} ends on {calendar.last}.", remedy="Update exchange_calendars.", where=name
            )
    return ", ".join(f"{name}: {desk.calendar(name).code}" for name in desk.config.markets)


def _universes(desk: Desk) -> str:
    return ", ".join(f"{name}: {len(desk.universe(name))} symbols" for name in desk.config.markets)


def _providers(desk: Desk) -> str:
    described = []
    for name in desk.config.markets:
        provider = desk.provider(name)
        label = ", synthetic" if provider.synthetic else ""
        described.append(f"{name}: {provider.name} ({provider.adjustment}{label})")
    return ", ".join(described)


def _disk(desk: Desk) -> str:
    folder = desk.settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise ScizorError(f"{free / 1024**3:.1f} GiB are free.", remedy="Free some space.", where=str(folder))
    return f"{free / 1024**3:.0f} GiB free at {folder}"


def _stores(desk: Desk) -> str:
    if not desk.settings.lake_folder.exists():
        return f"none yet; the first command that needs them creates them in {desk.settings.home}"
    with desk.ledger.read() as connection:
        connection.exec_driver_sql("SELECT 1")
    return f"lake at snapshot {desk.lake.snapshot()}, ledger readable, in {desk.settings.home}"


def _prices(desk: Desk) -> str:
    if not desk.settings.lake_folder.exists():
        return "none collected yet: scizor collect history"
    described = []
    for name in desk.config.markets:
        with desk.lake.read() as cursor:
            row = cursor.execute("SELECT max(session), count(*) FROM bars WHERE market = ?", [name]).fetchone()
        newest, count = row if row is not None else (None, 0)
        if newest is None:
            described.append(f"{name}: none")
            continue
        calendar = desk.calendar(name)
        behind = calendar.age_in_sessions(newest, calendar.last_closed(datetime.now(UTC)))
        described.append(f"{name}: {count} bars, newest {newest}, {behind} session(s) behind")
    return ", ".join(described)


CHECKS: dict[str, Callable[[Desk], str]] = {
    "python": _python,
    "configuration": _configuration,
    "strategies": _strategies,
    "calendars": _calendars,
    "universes": _universes,
    "providers": _providers,
    "disk": _disk,
    "stores": _stores,
    "prices": _prices,
}
