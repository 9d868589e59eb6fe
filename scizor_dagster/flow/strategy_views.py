"""Strategies in Python as people and programs are shown them: what each does, takes, and has been.

What belongs here: shapes of answers. What does not: printing them (`cli.strategy_records`) and serving them
(`api.backtester`), and what a strategy is (`strategies`).
"""

from __future__ import annotations

import json
from typing import Any

from scizor_dagster.analytics.report.formats import command
from scizor_dagster.errors import InputError, ScizorError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.strategies import (
    recorded,
    records_of,
    registry_of,
    strategy_named,
    strategy_of,
    version_row,
)
from scizor_dagster.ledger.strategy_records import RecordRow, record_history
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.strategies.definition import Definition


def _hidden(entry: StrategyEntry | None, name: str) -> str:
    """A sentence where the manifest calls something else by this name."""
    if entry is None or entry.function == name:
        return ""
    return f"By this name --strategy takes the manifest's own, {entry.function or entry.path}. "


def listed(desk: Desk) -> list[dict[str, Any]]:
    """Every strategy in Python and every record, with what is wrong where one cannot be used."""
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


def shown(desk: Desk, name: str) -> dict[str, Any]:
    """What a strategy in Python or a record of one does, its parameters with their bounds, and every version it had.

    Raises:
        InputError: it is a weight file of the manifest.
        ConfigError: there is none, or its code cannot be loaded.
    """
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
        return {"name": name} | described(strategy.definition, values) | body
    if record is None:
        definition = registry_of(desk).find(name)
        body = {"version": None, "rebalance": "daily unless it is said otherwise", "history": []}
        try:
            body["version"] = definition.configured().version
        except ScizorError:
            # It has none without its parameters.
            body["version"] = None
        return {"name": name} | described(definition, {}) | body
    strategy = strategy_named(desk, name)
    values = strategy.parameters.model_dump(mode="json")
    body = {"version": strategy.version, "rebalance": strategy.rebalance, "history": _history(desk, record)}
    return {"name": name} | described(strategy.definition, values) | body


def described(definition: Definition, values: dict[str, Any]) -> dict[str, Any]:
    """A strategy's code for people: where it is, what it does, and its parameters with these values or defaults."""
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
