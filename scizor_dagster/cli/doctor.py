"""`scizor doctor`: is everything there that the configuration needs?

What belongs here: looking, and saying what to do. What does not: mending.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.doctor_stores import stores
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import check_home, check_market
from scizor_dagster.errors import BrokerUnavailable, ConfigError, InputError, ScizorError
from scizor_dagster.logs import format_problem
from scizor_dagster.settings import LOG_LEVELS, Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from scizor_dagster.flow.desk import Desk

MIN_FREE_BYTES = 2 * 1024**3


DeepOption = Annotated[
    bool, typer.Option("--deep", help="Also read every file and row, and look at the machines around; takes its time.")
]


def doctor(deep: DeepOption = False, as_json: JsonOption = False) -> None:
    """Check whether everything is there that the configuration needs, and say what to do where it is not.

    Looks at Python, environment variables, configuration, strategies (also those in Python), calendars, universes,
    providers, accounts, the connection to each broker, disk, stores, prices, benchmarks and who is told, and lists the
    older keys that have no effect. With --deep also reads every file and row of the lake, brings a copy of the ledger
    back, and looks at versions, backup, database, clocks, permissions, Dagster's daemon and schedules, sessions and
    metrics. Mends nothing, sends no order and no notice, and creates nothing.

    When: after every change of the configuration, and when anything else refuses to work.
    Writes: Nothing.
    Exit codes: 0 all is well; 1 something is not, and is named with what to do.
    JSON: ok, checks[check, ok, detail], notes.
    Example: scizor doctor --deep
    """
    from scizor_dagster.flow.desk import Desk

    desk = Desk(Settings.from_environment(os.environ), dates.now)
    findings = _findings(desk, deep=deep)
    well = all(ok for _, ok, _ in findings)
    notes = desk.config.legacy_notes if _readable(findings) else ()
    if as_json:
        checks = [{"check": name, "ok": ok, "detail": detail} for name, ok, detail in findings]
        emit_json({"ok": well, "checks": checks, "notes": notes})
    else:
        rows = [(name, "ok" if ok else "PROBLEM", detail) for name, ok, detail in findings]
        print_table("scizor doctor", ["check", "", "detail"], rows)
        for note in notes:
            typer.echo(f"note: {note}")
    raise typer.Exit(0 if well else 1)


Finding = tuple[str, bool, str]


def _findings(desk: Desk, *, deep: bool) -> list[Finding]:
    from scizor_dagster.cli.doctor_deep import DEEP_CHECKS

    findings = [_finding(name, check, desk) for name, check in FIRST_CHECKS.items()]
    checks = CHECKS | (DEEP_CHECKS if deep else {})
    if _readable(findings):
        return findings + [_finding(name, check, desk) for name, check in checks.items()]
    return findings + [(name, False, "not checked: the configuration comes first") for name in checks]


def _readable(findings: list[Finding]) -> bool:
    return all(ok for name, ok, _ in findings if name == "configuration")


def _finding(name: str, check: Callable[[Desk], str], desk: Desk) -> Finding:
    try:
        return name, True, check(desk)
    except ScizorError as error:
        return name, False, str(error)
    except Exception as error:
        # A damaged store fails in ways of its own; the other checks are still worth an answer.
        return name, False, f"{type(error).__name__}: {error}"


def _python(desk: Desk) -> str:  # noqa: ARG001
    return f"{sys.version.split()[0]} at {sys.executable}"


def _environment(desk: Desk) -> str:
    """Variables that are read, each with a value that means something."""
    from scizor_dagster.databases import parse, place_of

    problem = _log_level(desk.settings.environment) or format_problem(desk.settings.environment)
    if problem:
        raise ConfigError(problem, remedy="Then run scizor doctor again.")
    places = f"SCIZOR_HOME {desk.settings.home}, SCIZOR_CONFIG {desk.settings.config_path}"
    if not desk.settings.on_server:
        return f"{places}, all stores in files there"
    stores = f"{place_of(parse(desk.settings.database_url))} (schemas ledger, lake, dagster)"
    return f"{places}, all stores in {stores}, lake data in {desk.settings.lake_data}"


def _log_level(environment: Mapping[str, str]) -> str:
    level = environment.get("LOG_LEVEL", "WARNING")
    return "" if level.upper() in LOG_LEVELS else f"LOG_LEVEL is '{level}'; use one of {', '.join(LOG_LEVELS)}."


def _configuration(desk: Desk) -> str:
    config = desk.config
    notes = f"; {len(config.legacy_notes)} older key(s) without effect, listed below" if config.legacy_notes else ""
    return f"{config.source}: {len(config.markets)} market(s), {len(config.portfolios)} portfolio(s){notes}"


def _strategies(desk: Desk) -> str:
    from scizor_dagster.flow.strategies import strategy_of
    from scizor_dagster.flow.weight_files import missing_files

    described = []
    for name, portfolio in desk.config.portfolios.items():
        missing = missing_files(desk, name)
        for entry in map(desk.manifest.strategy, portfolio.signals.ids):
            there = "" if entry.id not in missing else f", no weight file yet at {entry.path}"
            if entry.function is not None:
                there = f", {strategy_of(desk, entry).rebalance} by {entry.function}"
            if entry.mapping is not None and not Path(entry.mapping.file).is_file():
                there += f", no mapping table yet at {entry.mapping.file}"
            described.append(f"{name}: {entry.id}{there}")
    return "; ".join(described)


def _strategy_folder(desk: Desk) -> str:
    """The user's own strategies, and records: each is loaded, and what cannot be is named with file and line."""
    from scizor_dagster.analytics.report.formats import counted
    from scizor_dagster.flow.strategies import registry_of
    from scizor_dagster.flow.strategy_views import listed

    found = [row for row in listed(desk) if row["origin"] != "shipped" or not row["usable"]]
    problems = [row["about"] for row in found if not row["usable"]]
    if problems:
        raise ConfigError(
            f"{counted(len(problems), 'strategy', 'strategies')} in Python cannot be used: {' '.join(problems)}",
            remedy="See all with: scizor strategy list.",
            where=str(registry_of(desk).folder),
        )
    own = [row["name"] for row in found if row["origin"] != "record"]
    records = [row["name"] for row in found if row["origin"] == "record"]
    said = f"own: {', '.join(own) or 'none'}, records: {', '.join(records) or 'none'}"
    return f"{registry_of(desk).folder}: {said}"


def _accounts(desk: Desk) -> str:
    return ", ".join(
        f"{name}: {account.broker}, {account.initial_cash:,.2f} {account.currency} at the start"
        for name, account in desk.config.accounts.items()
    )


def _connections(desk: Desk) -> str:
    """Every account and every source of prices that is asked over a network, one after the other."""
    from scizor_dagster.config import PaperAccount
    from scizor_dagster.flow.connections import connected_sources, prove_connection, prove_prices

    accounts = [name for name, item in desk.config.accounts.items() if not isinstance(item, PaperAccount)]
    proofs = {name: partial(prove_connection, desk, name) for name in accounts}
    for market in desk.config.markets:
        for key, source in connected_sources(desk, market).items():
            proofs[f"markets.{key}"] = partial(prove_prices, desk, source, market)
    said, problems = [], []
    try:
        for name, proof in proofs.items():
            try:
                said.append(proof())
            except ScizorError as error:
                problems.append(f"{name}: {error}")
    finally:
        desk.disconnect()
    if problems:
        raise BrokerUnavailable(" ".join([*problems, *said]), remedy="Then run scizor doctor again.")
    return "; ".join(said) or "none: every account is on the embedded exchange, and every price at hand"


def _trading(desk: Desk) -> str:
    """Which limits hold and which trading state; a halt is a decision and not a fault."""
    from scizor_dagster.flow.limits import limits_in_force
    from scizor_dagster.risk.trading_state import standing

    described = []
    for name, portfolio in desk.config.portfolios.items():
        limits = limits_in_force(desk, name)
        own = "limits" in portfolio.risk.model_fields_set
        source = "risk.limits" if own else "the defaults, for risk.limits is not set"
        state = "active"
        if desk.has_ledger:
            with desk.ledger.read() as connection:
                state = standing(connection, portfolio.account, name, dates.now()).sentence
                state += _armed(desk, connection, name)
        described.append(f"{name}: {state}, limits {limits.hash[:8]} from {source} (scizor limits --portfolio {name})")
    return "; ".join(described)


def _armed(desk: Desk, connection: sa.Connection, portfolio: str) -> str:
    """Whether a live portfolio is armed; nothing of a paper one."""
    from scizor_dagster.ledger.arming import armed_for

    account = desk.portfolio(portfolio).account
    pinned = desk.pinned_identity(account)
    if pinned.environment != "live":
        return ""
    found, why = armed_for(connection, account, portfolio, pinned, dates.now())
    return f", live and {found.sentence}" if found is not None else f", live and {why}"


def _calendars(desk: Desk) -> str:
    for name in desk.config.markets:
        calendar = desk.calendar(name)
        if not calendar.covers_next_year(dates.now()):
            raise ScizorError(
                f"Calendar {calendar.code} ends on {calendar.last}; a year ahead is needed to plan.",
                remedy="Update exchange_calendars.",
                where=name,
            )
    return ", ".join(
        f"{name}: {desk.calendar(name).code} to {desk.calendar(name).last}" for name in desk.config.markets
    )


def _universes(desk: Desk) -> str:
    return ", ".join(f"{name}: {len(desk.universe(name))} symbols" for name in desk.config.markets)


def _providers(desk: Desk) -> str:
    from scizor_dagster.config import FilesProvider

    described = []
    for name in desk.config.markets:
        check_market(desk, name)
        provider = desk.provider(name)
        found = _read_prices(desk, name) if isinstance(desk.market(name).provider, FilesProvider) else ""
        label = ", synthetic" if provider.synthetic else ""
        described.append(f"{name}: {provider.name} ({provider.adjustment}{label}){found}{_further(desk, name)}")
    return ", ".join(described)


def _further(desk: Desk, market: str) -> str:
    """The sources behind and beside the first one."""
    from scizor_dagster.market_data.fallback import FallbackMarket

    provider, second = desk.provider(market), desk.second_source(market)
    others = [source.name for source in provider.sources[1:]] if isinstance(provider, FallbackMarket) else []
    behind = f", then {', then '.join(others)}" if others else ""
    return behind + (f", compared with {second.name} ({second.adjustment})" if second else "")


def _read_prices(desk: Desk, market: str) -> str:
    """Read the files as a collection would: the first of them that a symbol of the universe is in, and the actions."""
    from scizor_dagster.market_data.fallback import FallbackMarket

    provider, first = desk.provider(market), desk.market(market).first_session
    if isinstance(provider, FallbackMarket):
        provider = provider.sources[0]
    symbols = [entry.instrument.symbol for entry in desk.universe(market)]
    known = next((symbol for symbol in symbols if provider.lookup([symbol])[symbol]), None)
    if known is None:
        shown = ", ".join(symbols[:3]) + (", ..." if len(symbols) > 3 else "")
        raise InputError(
            f"The prices of market '{market}' hold none of its {len(symbols)} symbols ({shown}).",
            remedy=f"Correct path, format and columns of markets.{market}.provider, or the universe.",
            where=str(desk.config.source),
        )
    provider.corporate_actions([known], first, first)
    return f", read for {known}"


def _disk(desk: Desk) -> str:
    check_home(desk.settings)
    folder = desk.settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise ScizorError(f"{free / 1024**3:.1f} GiB are free.", remedy="Free some space.", where=str(folder))
    return f"{free / 1024**3:.0f} GiB free at {folder}"


def _prices(desk: Desk) -> str:
    if not desk.has_lake:
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
        behind = calendar.age_in_sessions(newest, calendar.last_settled(desk.clock()))
        described.append(f"{name}: {count} bars, newest {newest}, {behind} session(s) behind")
    return ", ".join(described)


def _benchmarks(desk: Desk) -> str:
    from scizor_dagster.flow.performance import benchmark_problem

    named = {name: item.benchmark for name, item in desk.config.portfolios.items() if item.benchmark is not None}
    problems = [(name, problem) for name in named if (problem := benchmark_problem(desk, name))]
    if problems:
        raise InputError(
            " ".join(f"{name}: {problem}" for name, problem in problems),
            remedy=f"Or correct portfolios.{problems[0][0]}.benchmark.",
            where=str(desk.config.source),
        )
    return ", ".join(f"{name}: {symbol}" for name, symbol in named.items()) or "none"


def _notifications(desk: Desk) -> str:
    """Who is told, by name and kind; addresses are read, and nothing is sent."""
    from scizor_dagster.flow.notifying import notifier_of

    targets = notifier_of(desk, lambda: None).check()
    problems = [f"{row.target} ({row.kind}): {row.failure}" for row in targets if not row.went]
    if problems:
        raise ConfigError(
            f"Not everybody can be told: {'; '.join(problems)}.",
            remedy="Correct it under notifications in the configuration, then: scizor notify --test.",
            where=str(desk.config.source),
        )
    if not targets:
        return "nobody is told: a notice is a line in the log; name somebody under notifications.targets"
    return f"{', '.join(f'{row.target} ({row.kind})' for row in targets)}; scizor notify --test sends"


FIRST_CHECKS: dict[str, Callable[[Desk], str]] = {
    "python": _python,
    "environment": _environment,
    "disk": _disk,
    "configuration": _configuration,
}
CHECKS: dict[str, Callable[[Desk], str]] = {
    "strategies": _strategies,
    "own strategies": _strategy_folder,
    "calendars": _calendars,
    "universes": _universes,
    "providers": _providers,
    "accounts": _accounts,
    "connections": _connections,
    "trading": _trading,
    "stores": stores,
    "prices": _prices,
    "benchmarks": _benchmarks,
    "notifications": _notifications,
}
