"""The page of a session: read from the stores at one instant, written whole.

What belongs here: the questions to both stores, and getting the page to its file. What does not: what the page says
(`analytics.report`). Nothing is measured and no broker is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from scizor_dagster.analytics.attribution import GROUPINGS, read_lines, read_sums
from scizor_dagster.analytics.costs_store import read_costs
from scizor_dagster.analytics.explain.model import number
from scizor_dagster.analytics.exposure import exposures
from scizor_dagster.analytics.performance import began_with
from scizor_dagster.analytics.ratios import sessions_a_year
from scizor_dagster.analytics.report.facts import Measured, Quality, Reconciled, ReportFacts, SourceFile, Trading
from scizor_dagster.errors import DataError, ScizorError
from scizor_dagster.exports.orders import exits_of
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_facts import SessionFacts, Sources, opened
from scizor_dagster.flow.explain_weights import files_of_session, short_path
from scizor_dagster.flow.measured import measured_sessions
from scizor_dagster.flow.money import starting_cash
from scizor_dagster.flow.performance import benchmark_returns
from scizor_dagster.flow.summary import session_summary
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.ledger.breaks import open_breaks
from scizor_dagster.ledger.days import day_of
from scizor_dagster.ledger.events import events_of_orders
from scizor_dagster.ledger.rows import fills_for_orders
from scizor_dagster.market_data.reading import session_bars
from scizor_dagster.planning.model import SYNTHETIC, Plan
from scizor_dagster.risk.trading_state import FREE, standing
from scizor_dagster.tabular.whole_files import write_whole

FOLDER = "reports"
PAGES = (".html", ".htm")


@dataclass(frozen=True, slots=True)
class Written:
    """Where the page is, and what its verdict is: `good`, `warn` or `bad`."""

    path: Path
    tone: Literal["", "good", "warn", "bad"]


def report_session(desk: Desk, portfolio: str, session: date, out: Path | None = None) -> Written:
    """Write the page of a session, whole or not at all.

    Args:
        desk: Its stores are read.
        portfolio: Whose session.
        session: Any that something is stored of.
        out: A file that ends with `.html`, or a folder; None for `reports/PORTFOLIO/DATE.html` in the data folder.

    Raises:
        DataError: nothing is stored of the session.
        InputError: the file cannot be written.
    """
    from scizor_dagster.analytics.report.page import page_of, render

    page = page_of(report_facts(desk, portfolio, session))
    path = _place(desk, portfolio, session, out)
    # A file's name may hold bytes that are no text.
    content = render(page).encode("utf-8", "replace")
    remedy = "Name a file or a folder that can be written to with --out."
    paths = write_whole([(path.name, content)], path.parent, what="The report", remedy=remedy)
    return Written(paths[path.name], page.tone)


def report_as_part(desk: Desk, portfolio: str, session: date) -> tuple[Path | None, str]:
    """Write the page of a session to its place, as a part of a step that has another purpose.

    Returns:
        Its path, and what went wrong, as a sentence; empty where all is well. No trouble with a page is one of the
        session.
    """
    try:
        return report_session(desk, portfolio, session).path, ""
    except ScizorError as error:
        return None, str(error)
    except Exception as error:
        return None, f"The report cannot be made ({type(error).__name__}: {error})."


def _place(desk: Desk, portfolio: str, session: date, out: Path | None) -> Path:
    if out is None:
        return desk.settings.home / FOLDER / portfolio / f"{session}.html"
    if out.is_dir() or out.suffix.lower() not in PAGES:
        return out / f"{portfolio}-{session}.html"
    return out


def report_facts(desk: Desk, portfolio: str, session: date) -> ReportFacts:
    """What the page is made from.

    Raises:
        DataError: nothing is stored of the session.
    """
    settings = desk.portfolio(portfolio)
    market = desk.market(settings.market)
    calendar = desk.calendar(settings.market)
    calendar.require(session)
    if not desk.has_lake:
        raise _nothing(portfolio, session)
    summary = session_summary(desk, portfolio, session)
    with opened(desk) as sources:
        assert sources.lake is not None
        facts = sources.facts(portfolio, session)
        trading = _trading(desk, facts)
        reconciled = _reconciled(desk, sources, facts)
        measured = _measured(desk, sources.lake, portfolio, session)
        if trading.plan is None and not trading.batches and not reconciled.passes:
            row = measured.row
            if row is None or row["session"] != session:
                raise _nothing(portfolio, session)
        now = desk.clock()
        ledger = sources.ledger
        return ReportFacts(
            portfolio=portfolio,
            account=settings.account,
            market=settings.market,
            session=session,
            currency=market.currency,
            zone=calendar.timezone,
            is_over=calendar.has_closed(session, now),
            is_synthetic=_is_synthetic(trading.plan, measured),
            summary=summary,
            standing=FREE if ledger is None else standing(ledger, settings.account, portfolio, now),
            trading=trading,
            reconciled=reconciled,
            measured=measured,
            quality=_quality(sources, settings.market, session, trading, reconciled),
        )


def _is_synthetic(plan: Plan | None, measured: Measured) -> bool:
    row = measured.row
    planned = plan is not None and any(note.startswith(SYNTHETIC) for note in plan.notes)
    return planned or (row is not None and bool(row["synthetic"]))


def _trading(desk: Desk, facts: SessionFacts) -> Trading:
    sources, plan = facts.sources, facts.plan
    intents = tuple(facts.intents.values())
    fills: Mapping[str, Any] = {}
    if sources.ledger is not None and intents:
        ids = list(facts.intents)
        exits = [name for names in exits_of(events_of_orders(sources.ledger, ids)).values() for name in names]
        fills = fills_for_orders(sources.ledger, facts.account, [*ids, *exits])
    lake = sources.lake
    assert lake is not None
    return Trading(
        plan=plan,
        head=facts.head or {},
        price_ages=_ages(desk, facts, [line.price_session for line in plan.lines], plan.priced_on) if plan else {},
        files=_files(facts),
        origins=_origins(facts),
        batches=tuple(facts.batches),
        intents=intents,
        fills=fills,
        results=sources.lake_rows(
            "SELECT * FROM order_results WHERE portfolio = ? AND session = ? ORDER BY symbol, client_order_id",
            [facts.portfolio, facts.session],
        ),
        costs=tuple(read_costs(lake, facts.portfolio, facts.session, facts.session)),
        by_hand=[each.by_hand for each in facts.each() if each.by_hand is not None],
    )


def _ages(desk: Desk, facts: SessionFacts, days: Sequence[date | None], at: date | None) -> dict[date, int]:
    calendar = desk.calendar(desk.portfolio(facts.portfolio).market)
    return {day: calendar.age_in_sessions(day, at) for day in {*days} if day is not None} if at is not None else {}


def _files(facts: SessionFacts) -> tuple[SourceFile, ...]:
    lines: dict[tuple[str, str], set[int]] = {}
    for target in facts.targets:
        for item in target.contributions:
            lines.setdefault((item.strategy, item.file_hash), set()).add(item.line)
    found = []
    for row in files_of_session(facts):
        used = lines[row["strategy"], row["file_sha256"]]
        path = short_path(row["path"]) if row["path"] is not None else None
        found.append(
            SourceFile(row["strategy"], path, row["file_sha256"], (min(used), max(used)), len(used)),
        )
    return tuple(sorted(found, key=lambda file: (file.strategy, file.sha256)))


def _origins(facts: SessionFacts) -> dict[str, list[str]]:
    """Where the weight of each ordered instrument stands."""
    found: dict[str, list[str]] = {}
    for symbol in dict.fromkeys(order.symbol for order in facts.plan.orders) if facts.plan is not None else ():
        target = facts.target_of(symbol)
        for item in target.contributions if target is not None else ():
            row = facts.signal_row(item)
            name = Path(row["path"]).name if row is not None else item.file_hash[:12]
            found.setdefault(symbol, []).append(f"{name}:{item.line} ({number(item.weight_stated)})")
    return found


def _reconciled(desk: Desk, sources: Sources, facts: SessionFacts) -> Reconciled:
    key = [facts.portfolio, facts.session]
    where = "WHERE portfolio = ? AND session = ?"
    passes = sources.lake_rows(f"SELECT * FROM reconciliations {where} ORDER BY fetched_at, pass", key)
    newest = passes[-1]["pass"] if passes else None
    rows = sources.lake_rows(
        f"SELECT * FROM breaks {where} AND pass IS NOT DISTINCT FROM ? "
        "ORDER BY severity, kind, symbol, client_order_id",
        [*key, newest],
    )
    held = sources.lake_rows(f"SELECT * FROM end_of_day_positions {where} ORDER BY symbol", key)
    ledger = sources.ledger
    mine = [
        row
        for row in (open_breaks(ledger, facts.account) if ledger is not None else ())
        if row.portfolio in (None, facts.portfolio)
    ]
    return Reconciled(
        passes=passes,
        breaks=rows,
        open_breaks=tuple(mine),
        day=day_of(ledger, facts.account, facts.portfolio, facts.session) if ledger is not None else None,
        positions=held,
        ages=_ages(desk, facts, [row["price_session"] for row in held], facts.session),
    )


def _measured(desk: Desk, lake: Lake, portfolio: str, session: date) -> Measured:
    settings = desk.portfolio(portfolio)
    calendar = desk.calendar(settings.market)
    rows = measured_sessions(desk, portfolio, session, lake)
    common: dict[str, Any] = {
        "rows": rows,
        "sessions_a_year": sessions_a_year(calendar, session.year),
        "benchmark": settings.benchmark or "",
    }
    if rows.empty:
        nothing: Any = {"starting_equity": 0.0, "starts": None, "benchmark_returns": None, "notes": ()}
        return Measured(**common, **nothing, profits={}, exposures={})
    start, last = calendar.previous_session(rows["session"].iloc[0]), rows["session"].iloc[-1]
    compared, notes = benchmark_returns(desk, lake, portfolio, [start, *rows["session"]])
    spans = {"session": last, "year": date(last.year, 1, 1)}
    return Measured(
        **common,
        starting_equity=began_with(rows, float(starting_cash(desk, portfolio))),
        starts=start,
        profits={
            name: {by: read_sums(lake, by, portfolio, first, last) for by in GROUPINGS} for name, first in spans.items()
        },
        exposures={by: exposures(read_lines(lake, by, portfolio, last, last), by) for by in GROUPINGS},
        benchmark_returns=compared,
        notes=notes if settings.benchmark else ("No benchmark is configured: portfolios.<name>.benchmark.",),
    )


def _quality(sources: Sources, market: str, session: date, trading: Trading, reconciled: Reconciled) -> Quality:
    assert sources.lake is not None
    lines = trading.plan.lines if trading.plan is not None else ()
    mine = {line.symbol for line in lines} | {row["symbol"] for row in reconciled.positions}
    rows = sources.lake_rows(
        f"SELECT symbol, reason, detail, source FROM {whole('quarantined_bars')} WHERE market = ? AND session = ? "
        "ORDER BY symbol, reason, source",
        [market, session],
    )
    return Quality(
        collected=not session_bars(sources.lake, market, session).empty,
        quarantined=[row for row in rows if row["symbol"] in mine],
        elsewhere=sum(row["symbol"] not in mine for row in rows),
    )


def _nothing(portfolio: str, session: date) -> DataError:
    return DataError(
        f"Nothing is stored of {session} that a report tells of.",
        remedy=f"Run the session first: scizor run --portfolio {portfolio} --date {session}.",
        where=f"portfolio {portfolio}",
    )
