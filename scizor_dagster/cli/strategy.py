"""`scizor strategy`: which strategies trade, and starting, pausing, resuming and stopping them.

What belongs here: the commands. What does not: what a state does to targets (`flow.lifecycle`,
`signals.consolidation`), and the code that some are computed by (`strategy_records`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import strategy_code, strategy_records
from scizor_dagster.cli.actor import ActorOption, actor_of, reason_of
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import check_portfolio, open_desk
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk

app = typer.Typer(
    help="See which strategies trade; start, pause, resume and stop them; keep records of those in Python.",
    no_args_is_help=True,
)
StrategyArgument = Annotated[str, typer.Argument(help="Strategy of the manifest.")]
PortfolioOption = Annotated[str | None, typer.Option(help="One portfolio; default: every one that follows it.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it stands in the ledger and in every plan it has a part in.")]
EFFECTS = {
    "start": "its weights count again, from the next plan on",
    "resume": "its weights count again, from the next plan on",
    "pause": "its positions stay as they are, and no order comes from it until it is resumed",
    "stop": "no order comes from it any more; its positions are kept. To sell them: scizor strategy stop {strategy} "
    "--liquidate --reason TEXT",
    "liquidate": "its positions are sold by the next plan, and no order comes from it after that",
}
"""What a person is told, by what was done."""


@app.command(name="list")
def list_strategies(as_json: JsonOption = False) -> None:
    """Show every strategy that a portfolio follows, its state there, and since when; and all code that there is.

    One that was never paused or stopped runs. `first seen` and `last seen` are when its entry in the manifest, in the
    form that it has now, was first and last consolidated. `function` is what computes its weights, where no file is
    delivered. The second table has the strategies in Python: shipped, of packages, of your folder, and your records.

    When: you want to know what trades, and since when something does not.
    Writes: Nothing.
    Exit codes: 0 listed.
    JSON: strategies[strategy, portfolio, account, state, since, by, reason, weights_dated, path, function, first_seen,
    last_seen, manifest_hash], code[name, origin, function, version, about, usable].
    Example: scizor strategy list
    """
    from scizor_dagster.flow.strategy_views import listed

    desk = open_desk()
    rows, code = _rows(desk), listed(desk)
    if as_json:
        emit_json({"strategies": rows, "code": code})
        return
    columns = (
        "strategy", "portfolio", "state", "since", "by", "reason", "weights_dated", "path", "function", "last_seen",
    )  # fmt: skip
    print_table("Strategies", columns, [[row[name] for name in columns] for row in rows])
    names = ("name", "origin", "function", "version", "about")
    print_table("Strategies in Python", names, [[(row[name] or "")[:200] for name in names] for row in code])


def _rows(desk: Desk) -> list[dict[str, Any]]:
    from scizor_dagster.ledger.strategies import known_strategies, strategy_states

    seen, states = {}, {}
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            seen = {row.strategy: row for row in sorted(known_strategies(connection), key=lambda row: row.last_seen)}
            for name, item in desk.config.portfolios.items():
                states[name] = strategy_states(connection, item.account, name)
    found = []
    for name, item in desk.config.portfolios.items():
        for strategy in item.signals.ids:
            entry, state, row = desk.manifest.strategy(strategy), states.get(name, {}).get(strategy), seen.get(strategy)
            word = "running" if state is None else state.state + (", being sold" if state.liquidate else "")
            found.append(
                {
                    "strategy": strategy,
                    "portfolio": name,
                    "account": item.account,
                    "state": word,
                    "since": state.since.isoformat(timespec="seconds") if state else None,
                    "by": state.actor if state else None,
                    "reason": state.reason if state else None,
                    "weights_dated": entry.weights_dated,
                    "path": entry.path,
                    "function": entry.function,
                    "first_seen": row.first_seen.isoformat(timespec="seconds") if row else None,
                    "last_seen": row.last_seen.isoformat(timespec="seconds") if row else None,
                    "manifest_hash": row.manifest_hash if row else None,
                }
            )
    return found


app.command()(strategy_records.create)
app.command()(strategy_records.show)
app.command()(strategy_records.update)
app.command()(strategy_records.delete)
app.command()(strategy_code.list_code)
app.command()(strategy_code.show_code)
app.command()(strategy_code.approve_code)
app.command()(strategy_code.withdraw_code)
app.command()(strategy_code.run_code)


@app.command()
def start(
    strategy: StrategyArgument,
    reason: ReasonOption,
    portfolio: PortfolioOption = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a strategy that was stopped trade again, from the next plan on. A new one needs no start: it runs.

    When: a strategy was stopped and shall trade again.
    Writes: A row of the ledger's history, with your name and reason.
    Exit codes: 0 it trades; 2 it was not stopped, or nobody follows it.
    JSON: changed[strategy, portfolio, account, state, liquidate, actor, reason, since], effect.
    Example: scizor strategy start demo_momentum --reason "the review is done"
    """
    _change("start", strategy, reason, portfolio, by, as_json)


@app.command()
def pause(
    strategy: StrategyArgument,
    reason: ReasonOption,
    portfolio: PortfolioOption = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave a strategy's positions as they are: no order comes from it until it is resumed, and its file is not read.

    What other strategies of the portfolio want is traded as before; where they share an instrument with it, its last
    weight stays in the target. Holds from the next plan on: a session that is admitted goes on (to stop it: halt).

    When: a strategy's data or weights are in doubt.
    Writes: A row of the ledger's history, with your name and reason.
    Exit codes: 0 paused; 2 it does not trade, or nobody follows it.
    JSON: changed[strategy, portfolio, account, state, liquidate, actor, reason, since], effect.
    Example: scizor strategy pause demo_momentum --reason "its data looks wrong"
    """
    _change("pause", strategy, reason, portfolio, by, as_json)


@app.command()
def resume(
    strategy: StrategyArgument,
    reason: ReasonOption,
    portfolio: PortfolioOption = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a strategy that is paused trade again, from the next plan on.

    When: what was in doubt is mended.
    Writes: A row of the ledger's history, with your name and reason.
    Exit codes: 0 it trades; 2 it was not paused, or nobody follows it.
    JSON: changed[strategy, portfolio, account, state, liquidate, actor, reason, since], effect.
    Example: scizor strategy resume demo_momentum --reason "the data was mended"
    """
    _change("resume", strategy, reason, portfolio, by, as_json)


@app.command()
def stop(
    strategy: StrategyArgument,
    reason: ReasonOption,
    liquidate: Annotated[bool, typer.Option("--liquidate", help="Sell its positions with the next plan.")] = False,
    portfolio: PortfolioOption = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a strategy: no order comes from it any more. Its positions are kept, unless --liquidate sells them.

    With --liquidate its targets become zero: the next plan sells what only it wanted, and in an instrument that another
    strategy wants too, its part. Holds from the next plan on: a session that is admitted goes on (to stop it: halt).

    When: a strategy is over.
    Writes: A row of the ledger's history, with your name and reason.
    Exit codes: 0 stopped; 2 nobody follows it.
    JSON: changed[strategy, portfolio, account, state, liquidate, actor, reason, since], effect.
    Example: scizor strategy stop demo_momentum --reason "it is replaced"
    """
    _change("stop", strategy, reason, portfolio, by, as_json, liquidate=liquidate)


def _change(
    action: str,
    strategy: str,
    reason: str,
    portfolio: str | None,
    by: str | None,
    as_json: bool,
    *,
    liquidate: bool = False,
) -> None:
    from scizor_dagster.flow.lifecycle import change_state

    desk = open_desk()
    names = [portfolio] if portfolio is not None else _followers(desk, strategy)
    for name in names:
        check_portfolio(desk, name)
    actor = actor_of(by)
    reason = reason_of(reason)
    made = change_state(desk, names, strategy, action, liquidate=liquidate, actor=actor, reason=reason)
    effect = EFFECTS["liquidate" if liquidate else action].format(strategy=strategy)
    if as_json:
        emit_json({"changed": [asdict(item) for item in made], "effect": effect})
        return
    for item in made:
        typer.echo(f"strategy {strategy} in portfolio {item.portfolio}: {item.state}; {effect}")


def _followers(desk: Desk, strategy: str) -> list[str]:
    found = [name for name, item in desk.config.portfolios.items() if strategy in item.signals.ids]
    if not found:
        known = sorted({name for item in desk.config.portfolios.values() for name in item.signals.ids})
        raise InputError(
            f"No portfolio follows strategy '{strategy}'.",
            remedy=f"Name one that is followed: {', '.join(known)}.",
            where="STRATEGY",
        )
    return found
