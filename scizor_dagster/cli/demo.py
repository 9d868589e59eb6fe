"""`scizor demo`: the whole flow on a synthetic market, through the real assets, on a real instance.

What belongs here: the script of the demonstration. What does not: any shortcut; it collects, delivers
a weight file, and runs the same jobs that the schedules would have run on those days.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json, money, print_table, working
from scizor_dagster.errors import ConfigError
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.flow.desk import Desk

PORTFOLIO = "main"
STRATEGY = "demo_momentum"


@dataclass(frozen=True)
class Replay:
    """What is replayed: the sessions, and those of them that rebalance (the first of each week)."""

    sessions: tuple[date, ...]
    rebalances: tuple[date, ...]


def demo(
    sessions: Annotated[int, typer.Option(min=2, max=60, help="How many of the last sessions to replay.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Replay the last sessions on a synthetic market: collect, rebalance weekly, reconcile, measure.

    Needs no account and no network. Everything is written under .scizor (SCIZOR_HOME), where the UI finds it.

    When: before anything else, to see one whole flow without an account.
    Writes: Lake, ledger, weight file and Dagster's instance under SCIZOR_HOME (default: .scizor).
    Exit codes: 0 every session went well; 1 one of them did not.
    JSON: sessions[*], orders, filled, breaks, equity, seconds. Each session as scizor run answers.
    Example: scizor demo --sessions 10
    """
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.flow.summary import went_well

    began = time.monotonic()
    settings = Settings.from_environment(os.environ)
    desk = Desk(settings, lambda: datetime.now(UTC))
    _require_demo_configuration(desk)
    calendar = desk.calendar(desk.portfolio(PORTFOLIO).market)
    newest = calendar.last_settled(datetime.now(UTC))
    replay = plan_replay(_last_sessions(desk, newest, sessions))
    with JobRunner.open(settings) as runner:
        _collect_history(runner, desk, replay.sessions[0], quiet=as_json)
        _deliver_weights(desk, replay, quiet=as_json)
        results = [_replay_session(runner, desk, session, replay, quiet=as_json) for session in replay.sessions]
    _report(results, time.monotonic() - began, as_json)
    raise typer.Exit(0 if all(map(went_well, results)) else 1)


def plan_replay(sessions: tuple[date, ...]) -> Replay:
    """The first session rebalances, and so does the first of each later week."""
    firsts = [
        day
        for index, day in enumerate(sessions)
        if index == 0 or day.isocalendar().week != sessions[index - 1].isocalendar().week
    ]
    return Replay(sessions, tuple(firsts))


def _last_sessions(desk: Desk, newest: date, count: int) -> tuple[date, ...]:
    market = desk.portfolio(PORTFOLIO).market
    found = desk.calendar(market).sessions(desk.market(market).first_session, newest)[-count:]
    return tuple(found)


def _require_demo_configuration(desk: Desk) -> None:
    portfolio = desk.portfolio(PORTFOLIO)
    if portfolio.signals.ids != (STRATEGY,) or desk.market(portfolio.market).provider.type != "sample":
        raise ConfigError(
            "The demo replays portfolio 'main' with strategy 'demo_momentum' on the sample market, "
            "and this configuration says otherwise.",
            remedy="Set SCIZOR_CONFIG to a copy of the shipped config/config.yaml, and SCIZOR_HOME to a new folder.",
            where=str(desk.settings.config_path),
        )


def _collect_history(runner: JobRunner, desk: Desk, first: date, *, quiet: bool) -> None:
    from scizor_dagster.flow.collecting import history_config
    from scizor_dagster.jobnames import name_for

    market = desk.portfolio(PORTFOLIO).market
    begins = desk.market(market).first_session.year
    before = desk.calendar(market).previous_session(first)
    with working(f"Collecting history {begins} to {before}", quiet=quiet):
        runner.run(
            name_for("collect_history", market, desk.config.markets),
            partition_range=(str(begins), str(before.year)),
            config=history_config(market, before),
        )


def _deliver_weights(desk: Desk, replay: Replay, *, quiet: bool) -> None:
    """Write the strategy's file as a strategy would: known only from prices of the sessions before."""
    from scizor_dagster.flow.demo_strategy import write_momentum_weights

    path = write_momentum_weights(desk, PORTFOLIO, replay.rebalances)
    if not quiet:
        typer.echo(f"Weights for {len(replay.rebalances)} rebalances: {path}")


def _replay_session(runner: JobRunner, desk: Desk, session: date, replay: Replay, *, quiet: bool) -> dict[str, Any]:
    from scizor_dagster.flow.summary import session_summary
    from scizor_dagster.jobnames import name_for

    market = desk.portfolio(PORTFOLIO).market
    key = session.isoformat()
    with working(f"Session {key}", quiet=quiet):
        if session in replay.rebalances:
            runner.run(name_for("rebalance", PORTFOLIO, desk.config.portfolios), partition=key)
        runner.run(name_for("collect_daily", market, desk.config.markets), partition=key)
        runner.run(name_for("follow_orders", PORTFOLIO, desk.config.portfolios), partition=key)
    return session_summary(desk, PORTFOLIO, session)


def _report(results: list[dict[str, Any]], seconds: float, as_json: bool) -> None:
    orders, filled, breaks = (sum(row[name] or 0 for row in results) for name in ("orders", "filled", "breaks"))
    last = results[-1]
    if as_json:
        emit_json(
            {
                "sessions": [row | {name: money(row[name]) for name in ("equity", "cash")} for row in results],
                "orders": orders,
                "filled": filled,
                "breaks": breaks,
                "equity": money(last["equity"]),
                "seconds": round(seconds, 1),
            }
        )
        return
    print_table(
        f"{len(results)} sessions on a synthetic market",
        ["session", "state", "orders", "filled", "breaks", "equity", "return"],
        [
            (
                row["session"],
                row["state"],
                row["orders"],
                row["filled"],
                row["breaks"],
                f"{row['equity']:,.2f}",
                "" if row["return"] is None else f"{row['return']:+.2%}",
            )
            for row in results
        ],
    )
    typer.echo(
        f"{orders} orders, {filled} filled, {breaks} breaks. Equity {last['equity']:,.2f} USD "
        f"({last['cumulative_return']:+.2%}), all of it synthetic. {seconds:.0f} s."
    )
    typer.echo("See every stage in Dagster's UI:  make dev   then open http://127.0.0.1:3000")
