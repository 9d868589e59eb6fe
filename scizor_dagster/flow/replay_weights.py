"""A plan's targets against where they came from: consolidated targets, their attribution, accepted rows, and files.

What belongs here: those comparisons. What does not: making targets (`signals`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scizor_dagster.analytics.explain.model import number
from scizor_dagster.analytics.replays import Finding, Kind, different
from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.explain_facts import SessionFacts
from scizor_dagster.flow.plans import planner_targets
from scizor_dagster.flow.signals import accept_file
from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.inputs import Target
from scizor_dagster.signals.arithmetic import decimal_of
from scizor_dagster.signals.names import is_cash
from scizor_dagster.signals.targets import TargetWeight, exact_sum

_FIELDS = ("symbol", "instrument_id", "weight", "status", "note", "candidates", "asset_ids")
_COLUMN = {"weight": "target_weight"}
_REWRITTEN = "The file was changed after it was accepted."
_IN_THE_LAKE = "The file is as it was accepted, and says otherwise."


def weight_findings(
    facts: SessionFacts, archive: PlanArchive, head: dict[str, Any], notes: list[str]
) -> Iterator[Finding]:
    """Targets, attribution, accepted rows and files, each against the one after it."""
    stored = facts.sources.lake_rows(
        "SELECT max(fetched_at) AS at FROM target_weights WHERE portfolio = ? AND session = ?",
        [facts.portfolio, facts.session],
    )
    at = stored[0]["at"] if stored else None
    if at is not None and at > head["fetched_at"] and facts.batch is None:
        notes.append(f"The targets were consolidated again at {at}, after the plan; they are not compared.")
        return
    yield from _targets(facts, archive.inputs.targets)
    apart = [item for target in facts.targets for item in _attribution(facts, target)]
    apart += _unattributed(facts)
    yield from apart
    yield from _files(facts, notes, doubted=bool(apart))


def _targets(facts: SessionFacts, planned: tuple[Target, ...]) -> Iterator[Finding]:
    stored = planner_targets(facts.targets)
    if len(stored) != len(planned):
        key = f"{facts.portfolio} {facts.session}"
        yield Finding("target_weights", key, "rows", str(len(stored)), str(len(planned)))
    by_name = {_name(item): item for item in stored}
    for item in planned:
        name = _name(item)
        key = f"{facts.portfolio} {facts.session} {name}"
        found = by_name.pop(name, None)
        if found is None:
            yield Finding("target_weights", key, "", "absent", "there")
            continue
        yield from different("target_weights", key, _fields(found), _fields(item))
    for name in by_name:
        yield Finding("target_weights", f"{facts.portfolio} {facts.session} {name}", "", "there", "absent")


def _name(item: Target) -> str:
    return item.symbol or ", ".join(item.asset_ids)


def _fields(item: Target) -> dict[str, Any]:
    return {_COLUMN.get(name, name): getattr(item, name) for name in _FIELDS}


def _attribution(facts: SessionFacts, target: TargetWeight) -> Iterator[Finding]:
    """A target is the sum of its contributions, and each of them is of an accepted row."""
    name = target.symbol or ", ".join(target.asset_ids)
    key = f"{facts.portfolio} {facts.session} {name}"
    total = exact_sum(item.contribution for item in target.contributions)
    if total != target.target_weight:
        remark = "They must sum to the target's weight."
        yield Finding(
            "target_attribution", key, "sum of contribution", number(total), number(target.target_weight), remark=remark
        )
    for item in target.contributions:
        own = f"{key}, {item.strategy} line {item.line}"
        row = facts.signal_row(item)
        if row is None:
            remark = f"No accepted row has this strategy, line, id '{item.asset_id}' and SHA-256 {item.file_hash}."
            yield Finding("signals", own, "", "absent", "there", remark=remark)
            continue
        accepted = decimal_of(row["weight"])
        # What a stopped strategy has is sold: it states nothing any more.
        sold = not item.weight_stated and f"Strategy {item.strategy} is stopped since " in target.note
        if accepted != item.weight_stated and not sold:
            remark = "The other side is signals.weight of the accepted row; one of them was changed."
            yield Finding(
                "target_attribution", own, "weight_stated", number(item.weight_stated), number(accepted), remark=remark
            )


def _unattributed(facts: SessionFacts) -> Iterator[Finding]:
    """Accepted rows of the session's files of which no target is made."""
    used = {
        (item.strategy, item.file_hash, item.line, item.asset_id)
        for target in facts.targets
        for item in target.contributions
    }
    # Of a strategy that rests only what it wanted last counts, whatever its file has for this session.
    running = {
        key[0] for key in used if key in facts.signal_rows and facts.signal_rows[key]["session"] == facts.session
    }
    for key, row in facts.signal_rows.items():
        own = row["session"] == facts.session and row["strategy"] in running
        if own and key not in used and not is_cash(row["asset_id"]):
            where = f"{facts.session} {row['strategy']} line {row['line']} {row['asset_id']}"
            yield Finding("target_attribution", where, "", "absent", "there", remark="The accepted row has no target.")


def _files(facts: SessionFacts, notes: list[str], *, doubted: bool) -> Iterator[Finding]:
    """Files that have another content now: their rows of the same dates against those that were accepted.

    Where rows of the lake are `doubted`, a file that is as it was says which of them are right.
    """
    by_file: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for (strategy, file_hash, _, _), row in facts.signal_rows.items():
        if row["session"] == facts.session:
            by_file.setdefault((strategy, file_hash), []).append(row)
    for (strategy, file_hash), rows in by_file.items():
        paths = sorted({row["path"] for row in rows})
        now = [facts.file_now(strategy, path, file_hash, rows[0]["line"]).same for path in paths]
        if all(now):
            notes.append(f"File {', '.join(paths)}: SHA-256 {file_hash[:12]}, as it was accepted.")
            if doubted:
                yield from _rows_now(facts, strategy, rows, notes, same=True)
        elif None in now:
            notes.append(f"File {', '.join(paths)} is not there any more; its accepted rows are in the lake.")
        else:
            notes.append(f"File {', '.join(paths)} has another content than the accepted SHA-256 {file_hash[:12]}.")
            yield from _rows_now(facts, strategy, rows, notes, same=False)


def _rows_now(
    facts: SessionFacts, strategy: str, rows: list[dict[str, Any]], notes: list[str], *, same: bool
) -> Iterator[Finding]:
    """A delivery that goes on is no finding; one that says something else of the same date is."""
    try:
        frame = accept_file(facts.sources.desk, facts.portfolio, strategy, facts.session).frame
    except ScizorError as error:
        notes.append(f"As it is now it is not accepted, so that its rows are not compared: {error.problem}")
        return
    dates = {row["weights_date"] for row in rows}
    found: dict[tuple[Any, str], dict[str, Any]] = {
        (item["weights_date"], item["asset_id"]): {str(name): value for name, value in item.items()}
        for item in frame[frame["weights_date"].isin(dates)].to_dict("records")
    }
    if not found:
        notes.append(f"It names {', '.join(map(str, sorted(dates)))} no more: a later delivery took its place.")
        return
    for row in rows:
        yield from _row_now(row, found.pop((row["weights_date"], row["asset_id"]), None), same=same)
    for (day, asset_id), item in found.items():
        if not is_cash(asset_id):
            key = f"line {item['line']}, {day} {asset_id}"
            yield Finding(str(item["path"]), key, "", "there", "absent", remark=_REWRITTEN)


def _row_now(row: dict[str, Any], item: dict[str, Any] | None, *, same: bool) -> Iterator[Finding]:
    """An accepted row against the file's: a file with the accepted content is right, else the accepted row is."""
    key = f"line {row['line']}, {row['weights_date']} {row['asset_id']}"
    place = f"{row['session']} {row['strategy']} {key}"
    if item is None:
        table, name, remark = ("signals", place, _IN_THE_LAKE) if same else (row["path"], key, _REWRITTEN)
        there, expected = ("there", "absent") if same else ("absent", "there")
        yield Finding(table, name, "", there, expected, remark=remark)
        return
    stated, accepted = number(decimal_of(item["weight"])), number(decimal_of(row["weight"]))
    if stated != accepted and same:
        yield Finding("signals", place, "weight", accepted, stated, remark=_IN_THE_LAKE)
    elif stated != accepted:
        yield Finding(row["path"], key, "weight", stated, accepted, remark=_REWRITTEN)
    if item["line"] != row["line"]:
        kind: Kind = "difference" if same else "information"
        yield Finding(row["path"], key, "line", str(item["line"]), str(row["line"]), kind)
