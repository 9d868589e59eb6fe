"""`scizor strategy`: strategies in Python, and records of them with parameters of their own.

What belongs here: the commands `create`, `show`, `update` and `delete`. What does not: what they do
(`flow.strategies`) and show (`flow.strategy_views`), and which strategies trade (`cli.strategy`).
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from scizor_dagster.cli import completing
from scizor_dagster.cli.actor import ActorOption, actor_of, reason_of
from scizor_dagster.cli.options import JsonOption, ReasonOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import open_desk
from scizor_dagster.errors import InputError

NewName = Annotated[str, typer.Argument(help="Name of the record.")]
NameArgument = Annotated[
    str, typer.Argument(help="Name of the record.", autocompletion=completing.autocompletion(completing.records))
]
ParameterOption = Annotated[
    list[str] | None,
    typer.Option("--parameter", help="NAME=VALUE, as YAML writes the value; more than one may be given."),
]
RebalanceOption = Annotated[
    Literal["daily", "weekly", "monthly", "quarterly", "yearly"] | None,
    typer.Option(help="When it decides anew: in every session, or in the first of each period."),
]
DescriptionOption = Annotated[str | None, typer.Option(help="What it is for.")]
_LIMITS = ("min", "max", "exclusive")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


def create(
    name: NewName,
    function: Annotated[
        str,
        typer.Option(
            help="The strategy that it is: shipped, of a package, or of the folder.",
            autocompletion=completing.autocompletion(completing.strategies),
        ),
    ],
    reason: ReasonOption,
    parameter: ParameterOption = None,
    rebalance: RebalanceOption = None,
    description: DescriptionOption = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a strategy under a name, with parameters of its own. A manifest entry may name it (`function: NAME`).

    When: one strategy in Python shall trade with parameters of your own.
    Writes: The record in the ledger, with the code and parameters of its version.
    Exit codes: 0 recorded; 1 there is a record of this name; 2 the name or a parameter is wrong.
    JSON: record{number, name, action, version, description, actor, reason, at}.
    Example: scizor strategy create fast --function momentum --parameter lookback=60 --parameter skip=5 --reason "a try"
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"'{name}' is no name of a record.",
            remedy="Use lower-case letters, digits and '_', at most 31 of them, a letter first.",
            where="NAME",
        )
    told = {"function": function, "values": values_of(parameter), "rebalance": rebalance, "description": description}
    _change(name, "created", told, by, reason, as_json=as_json)


def update(
    name: NameArgument,
    reason: ReasonOption,
    parameter: ParameterOption = None,
    rebalance: RebalanceOption = None,
    description: DescriptionOption = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change parameters of a record, or take its function as it is now. What it was stays in the ledger.

    A strategy that trades by it follows from its next plan on.

    When: its parameters, or its function, have changed.
    Writes: A version of the record in the ledger; the earlier ones stay.
    Exit codes: 0 recorded; 1 there is no such record, or nothing has changed; 2 a parameter is wrong.
    JSON: record{number, name, action, version, description, actor, reason, at}.
    Example: scizor strategy update fast --parameter lookback=90 --reason "less turnover"
    """
    told = {"values": values_of(parameter), "rebalance": rebalance, "description": description}
    _change(name, "updated", told, by, reason, as_json=as_json)


def delete(name: NameArgument, reason: ReasonOption, by: ActorOption = None, as_json: JsonOption = False) -> None:
    """Take a record away. Its history stays; one that the strategy manifest names is kept.

    When: nothing trades by it any more.
    Writes: That it is taken away, in the ledger; its history stays.
    Exit codes: 0 taken away; 1 there is no such record; 2 the manifest names it.
    JSON: record{number, name, action, version, description, actor, reason, at}.
    Example: scizor strategy delete fast --reason "it is replaced"
    """
    _change(name, "deleted", {}, by, reason, as_json=as_json)


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A record, or a strategy in Python.", autocompletion=completing.autocompletion(completing.strategies)
        ),
    ],
    source: Annotated[bool, typer.Option("--source", help="Print the code of the version as well.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a strategy does, its parameters with their bounds, and of a record every version that it had.

    When: you want to know what a strategy does, and what it was.
    Writes: Nothing.
    Exit codes: 0 shown; 2 there is no such strategy, or its code cannot be used.
    JSON: name, function, origin, where, summary, vectorised, parameters[*], version, rebalance, history[*], source?.
    Example: scizor strategy show momentum
    """
    from scizor_dagster.flow.strategies import strategy_named
    from scizor_dagster.flow.strategy_views import shown

    desk = open_desk()
    body = shown(desk, name)
    if source:
        body["source"] = strategy_named(desk, name).definition.source
    if as_json:
        emit_json(body)
        return
    typer.echo(f"{name}: {body['summary']}\n{body['origin']}, {body['where']}")
    version = body["version"][:12] if body["version"] else "none without parameters"
    typer.echo(f"version {version}, {body['rebalance']}")
    columns = ("parameter", "value", "bounds")
    print_table("Parameters", columns, [[_words(row)[key] for key in columns] for row in body["parameters"]])
    if body["history"]:
        names = ("at", "action", "version", "by", "reason", "parameters")
        told = [
            row | {"version": row["version"][:12], "parameters": json.dumps(row["parameters"])}
            for row in body["history"]
        ]
        print_table("History", names, [[row[key] for key in names] for row in told])
    if source:
        typer.echo(body["source"])


def _words(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"value": "required" if row["required"] else row["value"]}


def values_of(given: list[str] | None, option: str = "--parameter") -> dict[str, Any]:
    """Parameters from `NAME=VALUE` of an option.

    Raises:
        InputError: one has another form, or stands twice.
    """
    import yaml

    values: dict[str, Any] = {}
    for item in given or []:
        name, sign, text = item.partition("=")
        if not sign or not name.strip() or name.strip() in values:
            problem = (
                f"'{item}' is not NAME=VALUE" if not sign or not name.strip() else f"'{name.strip()}' stands twice"
            )
            raise InputError(f"{problem}.", remedy=f"Write for instance {option} top=10.", where=option)
        try:
            values[name.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(
                f"The value of '{name.strip()}' cannot be read: {text!r}.",
                remedy="Write it as in YAML: 10, 0.5, true, [SPY, AGG].",
                where=option,
            ) from error
    return values


def _change(name: str, action: str, told: dict[str, Any], by: str | None, reason: str, *, as_json: bool) -> None:
    from scizor_dagster.flow.strategies import change
    from scizor_dagster.ledger.strategy_records import RecordAction

    desk = open_desk()
    actor = actor_of(by)
    reason = reason_of(reason)
    row = change(desk, name, RecordAction(action), actor=actor, reason=reason, **told)
    if as_json:
        emit_json({"record": asdict(row)})
        return
    typer.echo(f"record {name}: {row.action}, version {row.version[:12]}")
