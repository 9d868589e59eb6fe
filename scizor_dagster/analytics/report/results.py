"""What was earned, and what was paid.

What belongs here: these two sections. What does not: how figures come about (`ratios`, `rolling`, `costs`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal

from scizor_dagster.analytics.attribution import GROUPINGS, THE_ACCOUNT, By
from scizor_dagster.analytics.costs import PARTS, Part
from scizor_dagster.analytics.costs_store import OrderCost
from scizor_dagster.analytics.costs_summary import all_costs, worst_orders
from scizor_dagster.analytics.report.charts import equity_chart, rolling_chart
from scizor_dagster.analytics.report.facts import Measured, ReportFacts, Row
from scizor_dagster.analytics.report.formats import (
    UNKNOWN,
    bps,
    counted,
    gain,
    growth,
    known,
    money,
    plain,
    quantity,
    rate,
    words,
)
from scizor_dagster.analytics.report.model import Block, Cell, Said, Section, Tile, Tiles, Tone, table

_MOST_PROFITS = 10
_MOST_WORST = 5
_PLAIN = ("sharpe_ratio", "sortino_ratio", "calmar_ratio", "omega_ratio", "tail_ratio", "stability", "beta",
          "correlation", "information_ratio", "sharpe")  # fmt: skip
_PEOPLE = ("sharpe", "sortino", "calmar")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DRAWN_WINDOW = 20


def earned(facts: ReportFacts) -> Section:
    return Section("earned", "What was earned", tuple(_earned(facts)))


def _earned(facts: ReportFacts) -> Iterator[Block]:
    measured = facts.measured
    row = measured.row
    if row is None:
        yield Said("Nothing is measured yet: there is no equity, no return and no profit to show.", "warn")
        return
    if not facts.is_measured:
        yield Said(f"{facts.session} is not measured yet. What follows ends with {row['session']}.", "warn")
    yield Tiles(
        (
            Tile("equity", Cell(money(row["equity"])), f"{facts.currency}, {row['session']}"),
            Tile("cash", Cell(money(row["cash"])), facts.currency),
            Tile("positions", Cell(money(row["market_value"])), f"{facts.currency}, {_unpriced(row)}"),
            Tile("from outside", Cell(money(row["flows"])), f"{facts.currency}; deposits, withdrawals, adopted"),
            Tile("drawdown", Cell(rate(row["drawdown"])), "from the highest so far"),
        )
    )
    columns = ("over", "#return", "#profit", f"#return of {measured.benchmark}")
    shown = len(columns) if measured.benchmark_returns is not None else len(columns) - 1
    shown_spans = [one[:shown] for one in spans(measured)]
    yield table("Returns and profits", columns[:shown], shown_spans, unit=facts.currency)
    yield from curve(measured, facts.portfolio, facts.currency)
    for by in GROUPINGS:
        yield from _profits(facts, by)
    yield from figures(measured)
    yield from months(measured)
    for note in measured.notes:
        yield Said(note)


def _unpriced(row: Row) -> str:
    return f"{row['unpriced']} without a price, counted as nothing" if row["unpriced"] else "each with a price"


def spans(measured: Measured) -> list[tuple[str | Cell, ...]]:
    """Return and profit of the last session, its month, its year, and of all; money that came from outside is none."""
    rows, last = measured.rows, measured.rows["session"].iloc[-1]
    before = rows["equity"].astype(float).shift(1, fill_value=measured.starting_equity)
    profits = rows["equity"].astype(float) - rows["flows"].astype(float) - before
    days: list[date] = list(rows["session"])
    spans = {
        f"session {last}": [day == last for day in days],
        f"month {last:%Y-%m}": [(day.year, day.month) == (last.year, last.month) for day in days],
        f"year {last.year}": [day.year == last.year for day in days],
        f"since {measured.starts}": [True for _ in days],
    }
    found: list[tuple[str | Cell, ...]] = []
    for name, chosen in spans.items():
        compared = None
        if measured.benchmark_returns is not None:
            compared = linked(measured.benchmark_returns[chosen])
        found.append(
            (name, growth(linked(rows["return"][chosen])), gain(float(profits[chosen].sum())), growth(compared))
        )
    return found


def linked(returns: Iterable[float]) -> float | None:
    """Returns one after the other as one; None where one of them is not known, or there is none."""
    values = [float(value) for value in returns]
    return math.prod(1 + value for value in values) - 1 if values and all(map(known, values)) else None


def curve(measured: Measured, name: str, currency: str) -> Iterator[Block]:
    rows = measured.rows
    days = [measured.starts or rows["session"].iloc[0], *rows["session"]]
    equity = [measured.starting_equity, *rows["equity"].astype(float)]
    drawdown = [0.0, *rows["drawdown"].astype(float)]
    beside = None
    if measured.benchmark_returns is not None:
        grown = (1 + measured.benchmark_returns.fillna(0.0)).cumprod() * measured.starting_equity
        beside = [measured.starting_equity, *grown]
    names = (f"equity of {name}", f"the same money in {measured.benchmark}")
    yield equity_chart(days, equity, drawdown, beside, names, currency)


def _profits(facts: ReportFacts, by: By) -> Iterator[Block]:
    """Of the session and the year, the best and the worst."""
    session, year = facts.measured.profits["session"][by], facts.measured.profits["year"][by]
    if not year:
        yield Said(f"Profits by {by} are not stored of these sessions.", "warn")
        return
    today = {row[by]: row for row in session}
    exposures = facts.measured.exposures[by]
    row = facts.measured.row
    equity = float(row["equity"]) if row is not None else 0.0
    ordered = sorted(year, key=lambda one: (-_of(today, one[by]), -one["profit"], one[by]))
    chosen = ordered
    title = f"Profit by {by}"
    if len(ordered) > 2 * _MOST_PROFITS:
        chosen = [*ordered[:_MOST_PROFITS], *ordered[-_MOST_PROFITS:]]
        title += f": the {_MOST_PROFITS} best and the {_MOST_PROFITS} worst of {len(ordered)}"
    rows = []
    for one in chosen:
        exposure = exposures.get(one[by])
        net = None if exposure is None else exposure.shares(equity)["net"]
        rows.append((one[by], gain(_of(today, one[by])), gain(one["profit"]), money(one["realised"]),
                     money(one["unrealised"]), "" if net is None else rate(net)))  # fmt: skip
    last = row["session"] if row is not None else facts.session
    columns = (by, f"#{last}", f"#year {last.year}", "#realised, year", "#unrealised, year", "#share of equity")
    note = f"{THE_ACCOUNT} is money that nothing traded." if by == "instrument" else ""
    yield table(title, columns, rows, note, unit=facts.currency)


def _of(rows: Mapping[str, Row], name: str) -> Decimal:
    return rows[name]["profit"] if name in rows else Decimal(0)


def figures(measured: Measured) -> Iterator[Block]:
    from scizor_dagster.analytics.ratios import benchmark_ratios, ratios
    from scizor_dagster.analytics.rolling import WINDOWS, rolling, worst_drawdowns

    returns = measured.rows.set_index("session")["return"].astype(float)
    compared, year = measured.benchmark_returns, measured.sessions_a_year
    found = ratios(returns, year) | ({} if compared is None else benchmark_ratios(returns, compared, year))
    rows = [(_named(name), _figure(name, value)) for name, value in found.items() if known(value)]
    if rows:
        note = f"A year is {year} sessions."
        if known(found["value_at_risk"]):
            note += " Value at risk: one in twenty was worse; conditional: the mean of those."
        yield table("Figures since the start", ("figure", "#value"), rows, note)
    measures = rolling(returns, compared, sessions_a_year=year)
    chart = rolling_chart(measures, _DRAWN_WINDOW)
    if chart is not None:
        yield chart
    newest = measures.iloc[-1]
    names = ("return", "volatility", "sharpe", "beta")
    rolled = [
        (f"{window} sessions", *(_figure(name, float(newest[f"{name}_{window}"])) for name in names))
        for window in WINDOWS
        if len(returns) >= window
    ]
    if rolled:
        yield table("The last sessions", ("over", *(f"#{_named(name)}" for name in names)), rolled)
    else:
        yield Said(f"Rolling measures need {WINDOWS[0]} measured sessions; there are {len(returns)}.")
    falls = worst_drawdowns(measured.starts or measured.rows["session"].iloc[0], returns)
    if falls:
        yield table(
            "Deepest drawdowns",
            ("from", "trough", "recovered", "#depth", "#sessions"),
            [
                (str(one.start), str(one.trough), str(one.recovery or "not yet"), rate(one.depth), str(one.sessions))
                for one in falls
            ],
        )


def _named(name: str) -> str:
    """In words, with the names of people as such."""
    first, *others = words(name).split(" ")
    return " ".join([first.capitalize() if first in _PEOPLE else first, *others])


def _figure(name: str, value: float) -> str:
    return plain(value) if name in _PLAIN else rate(value)


def months(measured: Measured) -> Iterator[Block]:
    returns: dict[tuple[int, int], list[float]] = {}
    for day, value in zip(measured.rows["session"], measured.rows["return"].astype(float), strict=True):
        returns.setdefault((day.year, day.month), []).append(value)
    months = {month: linked(values) for month, values in returns.items()}
    rows: list[Sequence[str | Cell]] = []
    for year in sorted({year for year, _ in months}, reverse=True):
        cells = [growth(months[year, month]) if (year, month) in months else Cell("") for month in range(1, 13)]
        whole = linked([value for (of, _), values in returns.items() if of == year for value in values])
        rows.append((str(year), *cells, growth(whole)))
    note = "A month counts from the first measured session in it to the last."
    yield table("Monthly returns", ("year", *(f"#{name}" for name in _MONTHS), "#year's return"), rows, note)


def paid(facts: ReportFacts) -> Section:
    return Section("paid", "What was paid", tuple(_paid(facts)))


def _paid(facts: ReportFacts) -> Iterator[Block]:
    costs, row = facts.trading.costs, facts.measured.row if facts.is_measured else None
    if row is not None:
        yield Tiles(
            (
                Tile("fees since the session before", Cell(money(row["fees"])), facts.currency),
                Tile("turnover", Cell(rate(row["turnover"])), "(bought + sold) / 2 over the equity"),
                *_total(facts, costs),
            )
        )
    if not costs:
        if facts.trading.intents:
            yield Said("What its orders cost is not measured yet.", "warn")
        else:
            yield Said("The session had no orders, so that none cost anything.")
        return
    total = all_costs(costs)
    parts = [_part(facts, part, total.parts[part], total.part_bps(part)) for part in PARTS]
    note = "Against the price that each order was decided on; above zero is a cost."
    left = f" {counted(total.unpriced, 'order')} without a known cost; of {total.incomplete} a part is left out."
    if total.unpriced or total.incomplete:
        note += left
    last = ("together", gain_of_cost(total.total), bps(total.total_bps))
    yield table(
        "Implementation shortfall",
        ("part", "#money", "#of the decided value"),
        [*parts, last],
        note,
        unit=facts.currency,
    )
    if total.estimated_bps is not None:
        said = f"Expected before: {bps(total.estimated_bps)} of what filled; it came to {bps(total.realised_bps)}."
        yield Said(said)
    yield _by_order(facts, costs)


def _total(facts: ReportFacts, costs: Sequence[OrderCost]) -> tuple[Tile, ...]:
    if not costs:
        return ()
    total = all_costs(costs)
    return (Tile("cost of the orders", gain_of_cost(total.total), f"{facts.currency}, {bps(total.total_bps)}"),)


def _part(facts: ReportFacts, part: Part, value: Decimal, of: Decimal | None) -> tuple[str | Cell, ...]:
    missing = sum(cost.part(part) is None for cost in facts.trading.costs)
    if missing == len(facts.trading.costs):
        return words(part.value), Cell(UNKNOWN, "warn"), Cell(UNKNOWN, "warn")
    name = words(part.value) + (f" (not known of {missing})" if missing else "")
    return name, gain_of_cost(value), bps(of)


def gain_of_cost(value: Decimal | None) -> Cell:
    """A cost: bad news above zero."""
    text = money(value)
    tone: Tone = "" if text in (UNKNOWN, "0.00") else "good" if text.startswith("-") else "bad"
    return Cell(text, tone)


def _by_order(facts: ReportFacts, costs: Sequence[OrderCost]) -> Block:
    worst = worst_orders(costs, _MOST_WORST)
    if not worst:
        return Said("No order has cost anything against the price that it was decided on.")
    rows = [
        (row.symbol, row.side.value, quantity(row.planned_qty), quantity(row.filled_qty), gain_of_cost(row.total),
         bps(row.total_bps), "; ".join(f"{words(part.value)}: {why}" for part, why in row.unknown.items()))
        for row in worst
    ]  # fmt: skip
    columns = ("symbol", "side", "#planned", "#filled", "#cost", "#of its value", "not known")
    return table("The orders that cost the most", columns, rows, unit=facts.currency, sparse=True)
