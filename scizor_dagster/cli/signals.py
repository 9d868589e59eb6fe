"""`scizor signals`: is this weight file good, and what would it make of a portfolio? Stores nothing.

What belongs here: choosing the rules that apply, and printing. What does not: the rules (`signals`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli.dates import parse_date
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.config import Config, Portfolio, load_config
from scizor_dagster.errors import ConfigError, SignalRefused
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    from scizor_dagster.instruments import Instrument
    from scizor_dagster.sessions import TradingCalendar
    from scizor_dagster.signals.consolidation import TargetWeights
    from scizor_dagster.signals.manifest import StrategyEntry
    from scizor_dagster.signals.report import SignalReport, Violation

MAX_PRINTED = 50
app = typer.Typer(help="Check weight files, and see the targets they give.", no_args_is_help=True)
DateOption = Annotated[str, typer.Option("--date", help="Session that the weights trade in.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
PortfolioOption = Annotated[
    str | None,
    typer.Option(help="Whose rules apply; default: the first that selects the strategy, else the first of all."),
]


@dataclass(frozen=True)
class _Setting:
    """The configuration a command works with: one strategy under the rules of one portfolio."""

    settings: Settings
    config: Config
    name: str
    portfolio: Portfolio
    entry: StrategyEntry

    @property
    def calendar(self) -> TradingCalendar:
        from scizor_dagster.sessions import TradingCalendar

        return TradingCalendar(self.config.markets[self.portfolio.market].calendar)


@app.command()
def check(
    strategy: Annotated[str, typer.Option(help="Strategy of the manifest; says how the file is to be read.")],
    file: Annotated[Path | None, typer.Argument(help="Weight file; default: the strategy's own.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Manifest; default: the configuration's.")] = None,
    day: Annotated[str | None, typer.Option("--date", help="Also require rows for this session.")] = None,
    portfolio: PortfolioOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept or refuse a weight file, with every reason. Exit code 0 only when it is accepted.

    Example: scizor signals check weights.csv --strategy demo_momentum --date 2026-11-20
    """
    from scizor_dagster.signals.intake import check_file

    session = parse_date(day, "--date") if day else None
    found = _setting(portfolio, strategy, manifest)
    chosen = found.portfolio.signals
    report = check_file(
        found.entry,
        found.calendar,
        found.portfolio.weights,
        found.portfolio.risk.fractional_shares,
        file,
        session=session,
        as_of=chosen.as_of,
        max_age_sessions=chosen.max_age_sessions,
    )
    _print_report(report, found.name, as_json=as_json)
    if not report.accepted:
        raise typer.Exit(1)


@app.command()
def consolidate(
    portfolio: Annotated[str, typer.Option(help="Portfolio of the configuration.")],
    day: DateOption,
    as_json: JsonOption = False,
) -> None:
    """Show the targets that a portfolio's weight file gives for a session.

    Example: scizor signals consolidate --portfolio main --date 2026-11-20
    """
    from scizor_dagster.signals.report import SignalReport

    session = parse_date(day, "--date")
    found = _setting(portfolio, None, None)
    try:
        targets = _targets(found, session)
    except SignalRefused as refused:
        if not isinstance(refused.report, SignalReport):
            raise
        _print_report(refused.report, found.name, as_json=as_json)
        raise typer.Exit(refused.exit_code) from refused
    _print_targets(targets, found, session, as_json=as_json)


def _setting(portfolio: str | None, strategy: str | None, manifest: Path | None) -> _Setting:
    from scizor_dagster.signals.manifest import load_manifest

    settings = Settings.from_environment(os.environ)
    config = load_config(settings.config_path, settings.environment)
    name = portfolio or _portfolio_of(config, strategy)
    if name not in config.portfolios:
        known = ", ".join(sorted(config.portfolios))
        raise ConfigError(f"There is no portfolio '{name}'.", remedy=f"Use one of: {known}.", where=config.source)
    path = manifest or config.folder / config.strategy_manifest
    chosen = config.portfolios[name]
    entry = load_manifest(path, settings.environment).strategy(strategy or chosen.signals.strategy)
    return _Setting(settings, config, name, chosen, entry)


def _portfolio_of(config: Config, strategy: str | None) -> str:
    names = [name for name, item in config.portfolios.items() if item.signals.strategy == strategy]
    if not names and not config.portfolios:
        raise ConfigError("There is no portfolio.", remedy="Add one under 'portfolios'.", where=config.source)
    return names[0] if names else next(iter(config.portfolios))


def _targets(found: _Setting, session: date) -> TargetWeights:
    from scizor_dagster.signals.consolidation import consolidate as consolidated
    from scizor_dagster.signals.dating import select_session
    from scizor_dagster.signals.intake import take_in
    from scizor_dagster.signals.mapping import read_identifier_map

    rules, chosen = found.portfolio, found.portfolio.signals
    found.calendar.require(session)
    accepted = take_in(found.entry, found.calendar, rules.weights, rules.risk.fractional_shares)
    rows = select_session(accepted, session, chosen.as_of, chosen.max_age_sessions, found.calendar)
    return consolidated(
        rows,
        found.entry,
        read_identifier_map(found.entry),
        _instruments(found),
        priced=_priced(found, found.calendar.previous_session(session)),
        weights=rules.weights,
        fractional=rules.risk.fractional_shares,
        accepted=accepted,
        market=rules.market,
    )


def _instruments(found: _Setting) -> Mapping[str, Instrument]:
    from scizor_dagster.market_data.universe import read_universe

    market = found.portfolio.market
    paths = [found.config.folder / name for name in found.config.markets[market].universes]
    return {entry.instrument.symbol: entry.instrument for entry in read_universe(paths, market)}


def _priced(found: _Setting, through: date) -> frozenset[str] | None:
    """Tickers with a stored price, only where an id may mean several and there is a lake to ask."""
    mapping = found.entry.mapping
    folder = found.settings.lake_folder
    if mapping is None or mapping.on_ambiguous != "first_priced" or not (folder / "catalog.sqlite").exists():
        return None
    from scizor_dagster.lake.connection import Lake, LakeLocation
    from scizor_dagster.market_data.reading import last_closes

    lake = Lake(LakeLocation.embedded(folder))
    try:
        return frozenset(last_closes(lake, found.portfolio.market, through)["symbol"])
    finally:
        lake.close()


def _print_report(report: SignalReport, portfolio: str, *, as_json: bool) -> None:
    if as_json:
        emit_json(report.to_json() | {"portfolio": portfolio})
        return
    for title, items in (("Why it is refused", report.violations), ("Warnings", report.warnings)):
        if items:
            print_table(title, ("line", "rule", "value", "what, and what to do"), _finding_rows(items))
    color = typer.colors.GREEN if report.accepted else typer.colors.RED
    span = f" from {report.first_date} to {report.last_date}" if report.dates else ""
    typer.secho(
        f"{report.status}: {report.path} ({report.rows} rows, {report.dates} dates{span}), "
        f"{len(report.violations)} violation(s), {len(report.warnings)} warning(s), "
        f"rules of portfolio {portfolio}",
        fg=color,
    )


def _finding_rows(items: Sequence[Violation]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        (item.line, item.rule, item.value, f"{item.problem} {item.remedy}") for item in items[:MAX_PRINTED]
    ]
    if len(items) > MAX_PRINTED:
        rows.append(("...", "", "", f"{len(items) - MAX_PRINTED} more: see --json."))
    return rows


def _print_targets(targets: TargetWeights, found: _Setting, session: date, *, as_json: bool) -> None:
    if as_json:
        emit_json(_targets_json(targets, found, session))
        return
    print_table(
        f"Targets of portfolio {found.name} for {session}, strategy {found.entry.id}",
        ("symbol", "weight", "asset id", "line", "status", "note"),
        [
            (row.symbol, f"{row.target_weight:.6f}", row.asset_id, row.line, row.status, row.note)
            for row in targets.rows
        ],
    )
    typer.echo(
        f"{len(targets.rows)} targets, {targets.total:.6f} of the capital; "
        f"set aside: {len(targets.set_aside)} with {targets.weight_set_aside:.6f}"
    )


def _targets_json(targets: TargetWeights, found: _Setting, session: date) -> dict[str, Any]:
    return {
        "status": "accepted",
        "portfolio": found.name,
        "strategy": found.entry.id,
        "session": session.isoformat(),
        "targets": [asdict(row) for row in targets.rows],
        "weight_sum": targets.total,
        "weight_set_aside": targets.weight_set_aside,
        "warnings": targets.warnings,
    }
