"""The page of a backtest: the sections of a live session's page that it has too, from the same functions.

What belongs here: their order, and what a backtest alone has: costs by year, exposure, orders, what it was made from.
What does not: figures (`figures`, `analytics`), and HTML (`analytics.report.page`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scizor_dagster.analytics.report.facts import Measured
from scizor_dagster.analytics.report.formats import (
    UNKNOWN,
    bps,
    command,
    counted,
    gain,
    growth,
    known,
    money,
    plain,
    price,
    quantity,
    rate,
    short,
    words,
)
from scizor_dagster.analytics.report.model import Block, Cell, Page, Said, Section, Tile, Tiles, Tone, table
from scizor_dagster.analytics.report.results import curve, figures, gain_of_cost, months, spans
from scizor_dagster.backtest.figures import COSTS, INCOME, Frames
from scizor_dagster.backtest.storage import Head
from scizor_dagster.planning.kernel_model import UNIT

if TYPE_CHECKING:
    import pandas as pd

_MOST = 10
_BASIS_POINTS = 10_000.0


def page_of(head: Head, frames: Frames) -> Page:
    """The sections of a backtest, in the order in which a person asks."""
    both = (_earned, _paid, _held, _decided)
    sections = (_result(head), *(section(head, frames) for section in both), _made_from(head))
    return Page(
        portfolio=head.title,
        session=f"{head.first_session} to {head.last_session}",
        subtitle=f"backtest {head.short}, {head.instruments} instruments, {head.currency}, {head.adjustment} prices",
        tone=_tone(head),
        sections=sections,
    )


def _tone(head: Head) -> Tone:
    return "warn" if _is_synthetic(head) else "good" if head.equity >= head.capital else "bad"


def _is_synthetic(head: Head) -> bool:
    return any(note.startswith("Prices are synthetic") for note in head.notes)


def measured_of(head: Head, frames: Frames) -> Measured:
    """The curve as the live page has it."""
    rows = frames.equity
    compared = rows.set_index("session")["benchmark_return"].astype(float) if head.benchmark else None
    return Measured(
        rows=rows,
        starting_equity=head.capital,
        starts=head.start,
        profits={},
        exposures={},
        sessions_a_year=head.sessions_a_year,
        benchmark=head.benchmark,
        benchmark_returns=compared,
        notes=(),
    )


def _result(head: Head) -> Section:
    found, costs = head.figures, sum(head.figures[name] for name in COSTS)
    return Section(
        "verdict",
        "Result",
        (
            Said(
                f"{money(head.capital)} {head.currency} at the close of {head.start} came to {money(head.equity)} at "
                f"that of {head.last_session}, over {counted(head.sessions, 'session')}.",
                _tone(head),
            ),
            Tiles(
                (
                    Tile("return", growth(found["total_return"]), f"{head.start} to {head.last_session}"),
                    Tile("a year", growth(found["annual_return"]), f"of {head.sessions_a_year} sessions"),
                    Tile("Sharpe ratio", Cell(plain(found["sharpe_ratio"]))),
                    Tile("deepest drawdown", Cell(rate(found["max_drawdown"]))),
                    Tile("costs", gain_of_cost(_exact(costs)), f"{head.currency}, {_of_traded(head, costs)}"),
                    Tile(
                        "turnover a year", Cell(rate(found["turnover_a_year"])), "(bought + sold) / 2 over the equity"
                    ),
                )
            ),
            *(Said(note, "warn") for note in head.notes if _matters(note)),
        ),
    )


def _matters(note: str) -> bool:
    return note.startswith(("Prices are synthetic", "Orders fill at the very close"))


def _exact(value: float) -> Decimal:
    return Decimal(repr(float(value)))


def _of_traded(head: Head, costs: float) -> str:
    traded = head.figures["traded"]
    return f"{bps(costs / traded * _BASIS_POINTS)} of what was traded" if traded else "nothing was traded"


def _earned(head: Head, frames: Frames) -> Section:
    measured = measured_of(head, frames)
    columns = ("over", "#return", "#profit", f"#return of {head.benchmark}")
    shown = len(columns) if head.benchmark else len(columns) - 1
    blocks = [
        table("Returns and profits", columns[:shown], [one[:shown] for one in spans(measured)], unit=head.currency),
        *curve(measured, head.title, head.currency),
        *figures(measured),
        *months(measured),
        *_profits(head, frames),
    ]
    return Section("earned", "What was earned", tuple(blocks))


def _profits(head: Head, frames: Frames) -> Iterator[Block]:
    rows = frames.instruments.sort_values(["profit", "symbol"], ascending=[False, True]).to_dict("records")
    chosen, title = rows, "Profit by instrument"
    if len(rows) > 2 * _MOST:
        chosen, title = [*rows[:_MOST], *rows[-_MOST:]], f"{title}: the {_MOST} best and worst of {len(rows)}"
    yield table(
        title,
        ("symbol", "#profit", "#dividends and delistings", "#costs", "#traded", "#orders"),
        [
            (row["symbol"], gain(row["profit"]), money(row["income"]), money(row["costs"]), money(row["traded"]),
             str(row["orders"]))
            for row in chosen
        ],
        "After costs; interest and fees for borrowed shares are of the account.",
        unit=head.currency,
    )  # fmt: skip


def _paid(head: Head, frames: Frames) -> Section:
    by_year = _by_year(frames.equity)
    parts = [(name, [float(row[name].sum()) for _, row in by_year]) for name in (*COSTS, *INCOME)]
    years = [str(year) for year, _ in by_year]
    shown = [(words(name), *map(money, values), money(sum(values))) for name, values in parts if any(values)]
    traded = [float(row["traded"].sum()) for _, row in by_year]
    shown.append(("traded", *map(money, traded), money(sum(traded))))
    costs = [sum(values[at] for name, values in parts if name in COSTS) for at in range(len(years))]
    of = [bps(cost / value * _BASIS_POINTS) if value else UNKNOWN for cost, value in zip(costs, traded, strict=True)]
    shown.append(("costs of what was traded", *of, _of_traded(head, sum(costs)).partition(" of ")[0]))
    note = (
        "Commission, spread, slippage and impact were paid; dividends, interest and delistings came in, fees for "
        "borrowed shares went out."
    )
    blocks: list[Block] = [table("Costs and income by year", ("what", *(f"#{year}" for year in years), "#all"), shown,
                                 note, unit=head.currency)]  # fmt: skip
    worst = frames.trades.assign(cost=frames.trades[list(COSTS)].sum(axis=1)).nlargest(_MOST, "cost")
    blocks.append(
        table(
            "The orders that cost the most",
            ("session", "symbol", "#filled", "#price", "#cost", "reason"),
            [
                (_day(row["session"]), row["symbol"], shares(row["filled"]), price(row["price"]),
                 gain_of_cost(_exact(row["cost"])), words(row["reason"]))
                for row in worst.to_dict("records")
                if row["cost"] > 0
            ],
            unit=head.currency,
        )
    )  # fmt: skip
    return Section("paid", "What was paid", tuple(blocks))


def _day(value: Any) -> str:
    return str(value)[:10]


def _by_year(equity: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    years = [day.year for day in equity["session"]]
    return [(int(str(year)), rows) for year, rows in equity.groupby(years)]


def shares(units: Any) -> str:
    """Units as shares, without a digit lost."""
    return quantity(Decimal(int(units)) / UNIT)


def _held(head: Head, frames: Frames) -> Section:
    rows = []
    for year, part in _by_year(frames.equity):
        worth = part["equity"].where(part["equity"] > 0)
        rows.append(
            (
                str(year),
                rate((part["gross"] / worth).mean()),
                rate((part["net"] / worth).mean()),
                plain(part["positions"].mean()),
                rate(part["turnover"].sum()),
                rate((part["cash"] / worth).mean()),
            )
        )
    columns = ("year", "#gross", "#net", "#positions", "#turnover", "#cash")
    blocks: list[Block] = [
        table("Exposure and turnover by year", columns, rows, "Means over the sessions' closes; turnover is the sum.")
    ]
    last = frames.instruments[frames.instruments["units"] != 0]
    last = last.reindex(last["value"].abs().sort_values(ascending=False, kind="stable").index)
    blocks.append(
        table(
            f"Holdings at the close of {head.last_session}",
            ("symbol", "#shares", "#value", "#share of equity"),
            [
                (row["symbol"], shares(row["units"]), money(row["value"]), rate(row["value"] / head.equity))
                for row in last.to_dict("records")
            ],
            unit=head.currency,
        )
        if len(last)
        else Said("Nothing is held at the end.")
    )
    return Section("positions", "What was held", tuple(blocks))


def _decided(head: Head, frames: Frames) -> Section:
    trades = frames.trades
    counts = trades.groupby("reason", observed=True).size()
    reasons = {str(name): int(counts[name]) for name in sorted(counts.index, key=lambda name: (-counts[name], name))}
    unfilled = int((trades["filled"] != trades["planned"]).sum())
    blocks: list[Block] = [
        table("Orders by reason", ("reason", "#orders"), [(words(name), str(count)) for name, count in reasons.items()])
        if len(trades)
        else Said("There was no order.", "warn")
    ]
    if unfilled:
        blocks.append(
            Said(
                f"{counted(unfilled, 'order')} of {len(trades)} did not fill whole: no bar, too little volume or cash."
            )
        )
    blocks.append(
        Said(
            "Why one is what it is:",
            "",
            (command("backtest", "show", head.short, "--symbol", "SYMBOL", "--date", "DATE"),),
        )
    )
    return Section("done", "What was ordered", tuple(blocks))


def _made_from(head: Head) -> Section:
    request = json.loads(head.request)
    facts: Sequence[tuple[str, str]] = (
        ("prices", head.prices_from),
        ("weights", head.weights_from),
        ("inputs", f"SHA-256 {short(head.inputs_sha256)}"),
        ("lake snapshot", UNKNOWN if head.lake_snapshot is None else str(head.lake_snapshot)),
        ("code", head.code_version),
        ("id", head.backtest_id),
    )
    blocks: list[Block] = [
        table("Made from", ("what", "value"), [row for row in facts if row[1] != UNKNOWN]),
        table("Asked for", ("option", "value"), [(name, str(value)) for name, value in request.items()]),
        table("Rules", ("rule", "value"), [(name, _said(value)) for name, value in json.loads(head.rules).items()]),
        *(Said(note) for note in head.notes if not _matters(note)),
    ]
    return Section("provenance", "What it was made from", tuple(blocks))


def _said(value: Any) -> str:
    return "unlimited" if value is None else str(value)


def tiles_text(head: Head) -> list[tuple[str, str]]:
    """The first figures, for a terminal."""
    found = head.figures
    rows = [
        ("sessions", f"{head.sessions}, {head.first_session} to {head.last_session}"),
        ("equity", f"{head.capital:,.2f} to {head.equity:,.2f} {head.currency}"),
        *((words(name), rate(found[name])) for name in ("total_return", "annual_return", "annual_volatility")),
        *_beside(head),
        *((words(name), plain(found[name])) for name in ("sharpe_ratio", "sortino_ratio", "calmar_ratio")),
        ("deepest drawdown", rate(found["max_drawdown"])),
        ("turnover a year", rate(found["turnover_a_year"])),
        ("gross exposure", rate(found["gross_exposure"])),
        *((words(name), f"{found[name]:,.2f}") for name in (*COSTS, *INCOME) if known(found[name]) and found[name]),
    ]
    return [(name, value) for name, value in rows if value != UNKNOWN]


def _beside(head: Head) -> list[tuple[str, str]]:
    """The benchmark's return, and how the backtest moved with it; nothing without one."""
    if not head.benchmark:
        return []
    found = head.figures
    return [
        (f"return of {head.benchmark}", rate(found["benchmark_return"])),
        *((words(name), plain(found[name])) for name in ("alpha", "beta", "information_ratio")),
    ]
