"""`scizor strategy`: strategies in Python, and records of them with parameters of their own.

What belongs here: the commands `create`, `show`, `update` and `delete`, and the second table of `list`. What does not:
what they do (`flow.strategies`), and which strategies trade (`cli.strategy`).
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scizor_dagster.cli import completing
from scizor_dagster.cli.actor import ActorOption, actor_of, reason_of
from scizor_dagster.cli.options import JsonOption, ReasonOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import open_desk
from scizor_dagster.errors import InputError, ScizorError

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.ledger.strategy_records import RecordRow
    from scizor_dagster.signals.manifest import StrategyEntry
    from scizor_dagster.strategies.definition import Definition, Strategy

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
    desk = open_desk()
    body = _shown(desk, name)
    if source:
        body["source"] = _strategy(desk, name).definition.source
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


def _hidden(entry: StrategyEntry | None, name: str) -> str:
    """A sentence where the manifest calls something else by this name."""
    if entry is None or entry.function == name:
        return ""
    return f"By this name --strategy takes the manifest's own, {entry.function or entry.path}. "


def listed(desk: Desk) -> list[dict[str, Any]]:
    """Every strategy in Python and every record, with what is wrong where one cannot be used."""
    from scizor_dagster.flow.strategies import recorded, records_of, registry_of, version_row

    entries = {entry.id: entry for entry in desk.manifest.strategies}
    found = [
        {
            "name": item.name,
            "origin": item.origin,
            "function": item.name,
            "version": None,
            "about": _hidden(entries.get(item.name), item.name)
            + (item.definition.summary if item.definition else item.problem),
            "usable": item.definition is not None,
        }
        for item in registry_of(desk).listed()
    ]
    for name, row in records_of(desk).items():
        kept = version_row(desk, row.version)
        problem = ""
        try:
            now = recorded(desk, row).version
            changed = "" if now == row.version else f"its function has changed since; it is version {now[:12]} now. "
        except ScizorError as error:
            changed, problem = "", str(error)
        about = problem or f"{changed}{row.description}"
        found.append(
            {
                "name": name,
                "origin": "record",
                "function": kept.function,
                "version": row.version,
                "about": about,
                "usable": not problem,
            }
        )
    return found


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


def _strategy(desk: Desk, name: str) -> Strategy:
    from scizor_dagster.flow.strategies import strategy_named

    return strategy_named(desk, name)


def _shown(desk: Desk, name: str) -> dict[str, Any]:
    from scizor_dagster.analytics.report.formats import command
    from scizor_dagster.flow.strategies import records_of, registry_of, strategy_of

    record = records_of(desk).get(name)
    entry = next((entry for entry in desk.manifest.strategies if entry.id == name), None)
    body: dict[str, Any]
    if record is None and entry is not None:
        if entry.function is None:
            raise InputError(
                f"Strategy '{name}' of the manifest is a weight file, {entry.path}.",
                remedy=f"Look at it: {command('signals', 'check', entry.path, '--strategy', name)}.",
                where=desk.config.strategy_manifest,
            )
        strategy = strategy_of(desk, entry)
        values = strategy.parameters.model_dump(mode="json")
        body = {"version": strategy.version, "rebalance": strategy.rebalance, "history": []}
        return {"name": name} | _described(strategy.definition, values) | body
    if record is None:
        definition = registry_of(desk).find(name)
        body = {"version": None, "rebalance": "daily unless it is said otherwise", "history": []}
        try:
            body["version"] = definition.configured().version
        except ScizorError:
            # It has none without its parameters.
            body["version"] = None
        return {"name": name} | _described(definition, {}) | body
    strategy = _strategy(desk, name)
    values = strategy.parameters.model_dump(mode="json")
    body = {"version": strategy.version, "rebalance": strategy.rebalance, "history": _history(desk, record)}
    return {"name": name} | _described(strategy.definition, values) | body


def _described(definition: Definition, values: dict[str, Any]) -> dict[str, Any]:
    schema = definition.parameters.model_json_schema().get("properties", {})
    rows = []
    for name, item in definition.parameters.model_fields.items():
        default = None if item.is_required() else item.get_default(call_default_factory=True)
        limits = {
            key: value for key, value in schema.get(name, {}).items() if key.startswith(("min", "max", "exclusive"))
        }
        bounds = ", ".join(f"{key} {value}" for key, value in limits.items())
        value = values.get(name, default)
        value = list(value) if isinstance(value, tuple) else value
        required = item.is_required() and name not in values
        rows.append({"parameter": name, "value": value, "bounds": bounds, "required": required})
    return {
        "function": definition.name,
        "origin": definition.origin,
        "where": definition.where,
        "summary": definition.summary,
        "vectorised": definition.over is not None,
        "parameters": rows,
    }


def _history(desk: Desk, record: RecordRow) -> list[dict[str, Any]]:
    from scizor_dagster.flow.strategies import version_row
    from scizor_dagster.ledger.strategy_records import record_history

    with desk.ledger.read() as connection:
        rows = record_history(connection, record.name)
    return [
        {
            "at": row.at.isoformat(timespec="seconds"),
            "action": row.action.value,
            "version": row.version,
            "by": row.actor,
            "reason": row.reason,
            "parameters": json.loads(version_row(desk, row.version).parameters),
        }
        for row in rows
    ]
