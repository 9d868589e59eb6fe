"""`scizor symbols`: which symbols are tracked, what the provider says of them, and changes to the universe."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli.options import JsonOption, MarketOption
from scizor_dagster.cli.output import emit_json, print_table, working
from scizor_dagster.cli.preflight import check_home, check_market, open_desk
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.flow.symbols import Corrected
    from scizor_dagster.market_data.reports import SymbolsReport

app = typer.Typer(help="The tracked symbols: verify, list, add and remove them.", no_args_is_help=True)
ForceOption = Annotated[
    bool, typer.Option("--force", help="Believe at once that symbols are gone which the provider has stopped to know.")
]
RevalidateOption = Annotated[
    bool, typer.Option("--force-revalidate", help="Ask for every symbol, also where its verification is recent.")
]
CorrectionReason = Annotated[
    str, typer.Option("--reason", help="Why; kept with the day. Without it nothing is changed.")
]
LimitOption = Annotated[int | None, typer.Option("--limit", help="Ask the provider for at most so many symbols.")]


_POPULATE = """Bring the universe files into the lake, and verify the symbols that are due.

A symbol that is new, that the file describes otherwise than before, or whose verification is older than
markets.<market>.verify_after_days is asked for at the provider. One that is not a single instrument there, or that has
left the files, is retired with a day and a reason; its bars stay. Every day's collection does the same.

When: a universe file was edited, and nothing collects by itself.
Writes: The universe's symbols in the lake.
Exit codes: 0 done; 1 many symbols are gone at once, and none was retired; 2 an option or a universe file is wrong.
JSON: market, source, symbols, verified, asked, from_cache, more_are_due, returned, retired[symbol, reason, note,
retired_on], unverified[symbol, reason, note], doubted[symbol, note], without_answer[symbol, why], renamed[old, new,
before], reused[symbol, archived, cut], another_id[symbol, note].
Example: scizor symbols populate --market us
"""
_VALIDATE = """Verify the symbols that are due, and say which are not one certain instrument.

A provider that does not answer never takes a verification back.

When: before you rely on a market, and after a source has changed.
Writes: The universe's symbols in the lake.
Exit codes: 0 all are certain; 1 one of the universe is not verified, is doubted or got no answer, or a portfolio holds
or targets a retired one; 2 an option is wrong.
JSON: market, source, symbols, verified, asked, from_cache, more_are_due, returned, retired[symbol, reason, note,
retired_on], unverified[symbol, reason, note], doubted[symbol, note], without_answer[symbol, why], renamed[old, new,
before], reused[symbol, archived, cut], another_id[symbol, note].
Example: scizor symbols validate --market us --force-revalidate --limit 50
"""


def _verification(*, strict: bool) -> Callable[..., None]:
    """The command that verifies; a `strict` one ends with exit code 1 on whatever is not certain."""

    def verify(
        market: MarketOption = "us",
        force: ForceOption = False,
        force_revalidate: RevalidateOption = False,
        limit: LimitOption = None,
        as_json: JsonOption = False,
    ) -> None:
        report = _verify(market, force=force, force_revalidate=force_revalidate, limit=limit, as_json=as_json)
        if report.refused or (strict and _uncertain(report, quiet=as_json)):
            raise typer.Exit(1)

    return verify


app.command("populate", help=_POPULATE)(_verification(strict=False))
app.command("validate", help=_VALIDATE)(_verification(strict=True))


def _uncertain(report: SymbolsReport, *, quiet: bool) -> bool:
    """Whether anything of the report, or in the portfolios, is not one certain, tracked instrument."""
    from scizor_dagster.flow.symbols_in_use import retired_in_use

    in_use = retired_in_use(open_desk(), report.market)
    if in_use and not quiet:
        columns = ["symbol", "portfolio", "use", "reason", "retired_on"]
        print_table("retired, and in use", columns, [[getattr(item, name) for name in columns] for item in in_use])
    return bool(report.unverified or report.doubted or report.silent or in_use)


@app.command("list")
def list_symbols(
    market: MarketOption = "us",
    retired: Annotated[bool, typer.Option("--retired", help="Only those that are not tracked any more.")] = False,
    due: Annotated[bool, typer.Option("--due", help="Only those that the next run asks for.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List every symbol that is or was tracked: its state, when it was verified, when it is due, why it is out.

    When: you want to know what is tracked, and why something is not.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none; 2 there is no such market.
    JSON: market, symbols[symbol, state, verified, last_verified, next_due, retired_on, reason, note, provider_id].
    Example: scizor symbols list --market us --retired
    """
    from scizor_dagster.flow.symbols import known_symbols

    desk = open_desk()
    check_market(desk, market)
    found = [
        {
            "symbol": row.symbol,
            "state": "tracked" if row.tracked else "retired",
            "verified": row.verified,
            "last_verified": _moment(row.last_verified),
            "next_due": _moment(row.next_due) if row.tracked else None,
            "retired_on": row.retired_on,
            "reason": row.reason,
            "note": row.note,
            "provider_id": row.provider_id,
        }
        for row in known_symbols(desk, market, retired=retired, due=due)
    ]
    if as_json:
        emit_json({"market": market, "symbols": found})
    elif not found and (retired or due):
        typer.echo(f"No symbol of market '{market}' is {'retired' if retired else 'due'}.")
    elif not found:
        typer.echo(f"No symbol of market '{market}' is stored yet: scizor symbols populate --market {market}.")
    else:
        columns = ["symbol", "state", "last_verified", "next_due", "retired_on", "reason", "note"]
        print_table(f"Symbols of {market}", columns, [[row[name] for name in columns] for row in found])
    if due and not as_json and (provider := desk.provider(market)).lookup_calls == "none":
        typer.echo(f"To ask {provider.name} costs nothing: every run asks for all of them, whenever they are due.")


@app.command()
def add(
    symbol: Annotated[str, typer.Argument(help="Ticker as the exchange writes it.")],
    market: MarketOption = "us",
    mic: Annotated[str | None, typer.Option(help="Exchange, such as XNAS; default: the provider's answer.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the company or fund.")] = None,
    sector: Annotated[str | None, typer.Option(help="Sector of a share.")] = None,
    category: Annotated[str | None, typer.Option(help="Category of a fund.")] = None,
    file: Annotated[str | None, typer.Option(help="Which of the market's universe files, as it is configured.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Add a symbol to a universe file, and verify it.

    Exchange and name come from the provider where it knows the symbol as one instrument and they are not given. The
    file is replaced at once; every other line stays as it is.

    When: a strategy wants something that is not tracked.
    Writes: A line of the universe file, and the symbol in the lake.
    Exit codes: 0 tracked; 1 in the universe, and not verified: the reason is printed; 2 it is there already, or an
    option is wrong.
    JSON: market, symbol, verified, reason?, note?.
    Example: scizor symbols add PLTR --market us --mic XNAS --name "Palantir Technologies"
    """
    from scizor_dagster.flow.symbols import add_symbol, refresh_symbols
    from scizor_dagster.market_data.verification import Asking

    desk = _ready(market)
    given = {"mic": mic, "name": name, "sector": sector, "category": category}
    desk = add_symbol(desk, market, symbol, {key: value for key, value in given.items() if value}, file)
    report = refresh_symbols(desk, market, Asking(only=frozenset([symbol]), force_revalidate=True))
    against = next((item for item in report.unverified if item.symbol == symbol), None)
    if as_json:
        why = {"reason": against.reason, "note": against.note} if against else {}
        emit_json({"market": market, "symbol": symbol, "verified": against is None, **why})
    elif against is None:
        history = f"scizor collect history {symbol} --market {market}"
        typer.echo(f"{symbol} is tracked in market {market}. Its history: {history}.")
    else:
        typer.echo(f"{symbol} is in the universe, and not tracked: {against.reason} ({against.note}).")
    raise typer.Exit(0 if against is None else 1)


@app.command()
def remove(
    symbol: Annotated[str, typer.Argument(help="Symbol of the universe.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it is not tracked any more; kept with the day.")],
    market: MarketOption = "us",
    as_json: JsonOption = False,
) -> None:
    """Take a symbol out of its universe file, and retire it.

    Its bars stay, and a backtest that asks who was tracked on an earlier day still finds it. What a portfolio holds of
    it stays too, is named in every plan, and is not traded: sell it first.

    When: something is not wanted any more.
    Writes: The universe file without it, and the symbol as retired in the lake.
    Exit codes: 0 retired; 2 it is in no universe file, or an option is wrong.
    JSON: market, symbol, retired_on.
    Example: scizor symbols remove WBA --market us --reason "taken private"
    """
    from scizor_dagster.flow.symbols import refresh_symbols, remove_symbol
    from scizor_dagster.market_data.verification import Asking

    desk = remove_symbol(_ready(market), market, symbol, reason)
    report = refresh_symbols(desk, market, Asking(only=frozenset(), removal_reasons={symbol: reason.strip()}))
    gone = next((item for item in report.retired if item.symbol == symbol), None)
    if as_json:
        emit_json({"market": market, "symbol": symbol, "retired_on": gone.retired_on if gone else None})
    else:
        typer.echo(f"{symbol} is retired{f' on {gone.retired_on}' if gone else ''}; its bars stay.")


@app.command()
def join(
    old: Annotated[str, typer.Argument(help="Symbol that is tracked no more, or a name such as WM@2009-08-04.")],
    new: Annotated[str, typer.Argument(help="Ticker of the same company now.")],
    market: MarketOption = "us",
    reason: CorrectionReason = "",
    as_json: JsonOption = False,
) -> None:
    """Say that two histories are one company's, where the provider's ids do not.

    What was set apart as another company's goes back to its ticker; a former ticker's bars and actions become those of
    the present one as well, as at a rename. Without --reason it is only said what that would be.

    When: a rename was seen as another company.
    Writes: With --reason the histories in the lake; without it nothing.
    Exit codes: 0 joined, or shown; 2 the two cannot be one company.
    JSON: old, new, bars, first, last, made.
    Example: scizor symbols join WM@2009-08-04 WM --reason "a new contract id after the re-listing"
    """
    from scizor_dagster.flow.symbols import join_symbols

    found = join_symbols(_ready(market), market, old, new, reason)
    _show_correction(found, made=bool(reason.strip()), words="are the history of", as_json=as_json)


@app.command()
def part(
    symbol: Annotated[str, typer.Argument(help="Ticker that another company had before.")],
    on: Annotated[str, typer.Option("--on", help="First day on which the ticker meant the present company.")],
    market: MarketOption = "us",
    reason: CorrectionReason = "",
    as_json: JsonOption = False,
) -> None:
    """Say that a ticker's earlier history is another company's, where the provider's ids do not.

    The rows from before that day get a name of their own, such as WM@2009-08-04. Without --reason it is only said what
    that would be.

    When: a ticker was another company's before.
    Writes: With --reason the histories in the lake; without it nothing.
    Exit codes: 0 parted, or shown; 2 the ticker has no such history.
    JSON: old, new, bars, first, last, made.
    Example: scizor symbols part WM --on 2009-08-05 --reason "Washington Mutual until then"
    """
    from scizor_dagster.cli.dates import parse_date
    from scizor_dagster.flow.symbols import part_symbol

    found = part_symbol(_ready(market), market, symbol, parse_date(on, "--on"), reason)
    _show_correction(found, made=bool(reason.strip()), words="are no history of", as_json=as_json)


def _show_correction(found: Corrected, *, made: bool, words: str, as_json: bool) -> None:
    span = found.span
    if as_json:
        days = {"first": str(span.first) if span.first else None, "last": str(span.last) if span.last else None}
        emit_json({"old": found.old, "new": found.new, "bars": span.bars, **days, "made": made})
        return
    between = f" from {span.first} to {span.last}" if span.bars else ""
    begin = "Now" if made else "Nothing is changed yet. With --reason"
    typer.echo(f"{begin} {span.bars} bars{between}, under {found.old}, {words} {found.new}.")


def _ready(market: str) -> Desk:
    """The desk, once everything that can be known beforehand is."""
    desk = open_desk()
    check_market(desk, market)
    check_home(desk.settings)
    return desk


def _verify(market: str, *, force: bool, force_revalidate: bool, limit: int | None, as_json: bool) -> SymbolsReport:
    from scizor_dagster.flow.symbols import refresh_symbols
    from scizor_dagster.market_data.verification import Asking

    if limit is not None and limit < 1:
        raise InputError(f"{limit} symbols cannot be asked for.", remedy="Use 1 or more.", where="--limit")
    desk = _ready(market)
    with working(f"Verifying the symbols of {market}", quiet=as_json):
        report = refresh_symbols(desk, market, Asking(force_revalidate=force_revalidate, force=force, limit=limit))
    body = _body(report)
    if as_json:
        emit_json(body)
        return report
    counts = [(key, value) for key, value in body.items() if not isinstance(value, list)]
    print_table(f"Symbols of {market}", ["what", "value"], counts)
    names: dict[str, list[str]] = {
        "retired": ["symbol", "reason", "retired_on", "note"],
        "unverified": ["symbol", "reason", "note"],
        "doubted": ["symbol", "note"],
        "without_answer": ["symbol", "why"],
        "renamed": ["old", "new", "before"],
        "reused": ["symbol", "archived", "cut"],
        "another_id": ["symbol", "note"],
    }
    for title, columns in names.items():
        if body[title]:
            print_table(title.replace("_", " "), columns, [[row[name] for name in columns] for row in body[title]])
    return report


def _body(report: SymbolsReport) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "market": report.market,
        "source": report.source,
        "symbols": report.symbols,
        "verified": report.verified,
        "asked": report.asked,
        "from_cache": report.from_cache,
        "more_are_due": report.left_over,
        "returned": list(report.returned),
        "retired": [asdict(item) for item in report.retired],
        "unverified": [asdict(item) for item in report.unverified],
        "doubted": [asdict(item) for item in report.doubted],
        "without_answer": [{"symbol": symbol, "why": why} for symbol, why in report.silent],
        "renamed": [asdict(item) for item in report.renamed],
        "reused": [asdict(item) for item in report.reused],
        "another_id": [asdict(item) for item in report.reidentified],
    }


def _moment(value: datetime | None) -> str | None:
    return f"{value:%Y-%m-%d %H:%M}" if value else None
