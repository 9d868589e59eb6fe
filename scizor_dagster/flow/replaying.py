"""`replay`: a stored plan made again from what it was made from, and both held against the stores they came from.

What belongs here: making the plan again, comparing it byte for byte, and the order of the other comparisons. What does
not: those (`replay_weights`, `replay_prices`, `replay_ledger`), and the ledger's own history (`ledger.verification`).

What a plan was made from stands beside it as one text, and the plan's id, which the ledger has admitted into its chain
of seals, is a digest of all of it. Text and id that belong together are therefore what was known then, and everything
else is compared with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from scizor_dagster.analytics.explain.model import number
from scizor_dagster.analytics.replays import (
    Finding,
    NotReplayed,
    Replays,
    SessionReplay,
    canonical,
    compared,
    different,
    sha256,
)
from scizor_dagster.errors import DataError, InputError, InputsGone, ScizorError, SnapshotGone
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_facts import SessionFacts, Sources, opened
from scizor_dagster.flow.plan_provenance import provenance_findings
from scizor_dagster.flow.replay_ledger import ledger_findings
from scizor_dagster.flow.replay_prices import price_findings
from scizor_dagster.flow.replay_weights import weight_findings
from scizor_dagster.ledger.known import admitted_sessions
from scizor_dagster.planning.archives import PlanArchive, digest_of, read_archive
from scizor_dagster.planning.frames import (
    BY_WEIGHTS,
    LINE_COLUMNS,
    ORDER_COLUMNS,
    PLAN_COLUMNS,
    PROVENANCE_COLUMNS,
    plan_frames,
)
from scizor_dagster.planning.model import OF_WEIGHTS, Plan
from scizor_dagster.planning.rules import rules_from
from scizor_dagster.version import code_version

_HEAD = (*PLAN_COLUMNS, *PROVENANCE_COLUMNS, "rules", "inputs_sha256")
_KEYS = {"plans": "plan_id", "plan_lines": "symbol", "planned_orders": "client_order_id"}
_COLUMNS = {"plans": _HEAD, "plan_lines": LINE_COLUMNS, "planned_orders": ORDER_COLUMNS}
_OWN = ("portfolio", "session")
_OF_A_REQUEST = (
    "key", "actor", "reason", "symbol", "side", "quantity", "notional", "target", "order_type", "limit_price",
)  # fmt: skip
_INSERTS = ("inlined_insert", "tables_inserted_into")


def replay_sessions(desk: Desk, portfolio: str, first: date, last: date) -> Replays:
    """Replay every session from `first` to `last` that was planned, or admitted by the ledger.

    A plan with nothing beside it to make it from is named, and keeps no other one from being replayed.

    Raises:
        InputsGone: that is so of every plan.
        InputError: there is no plan.
    """
    desk.portfolio(portfolio)
    with opened(desk) as sources:
        days = planned_sessions(sources, portfolio, first, last)
        if not days:
            span = f"{first}" if first == last else f"{first} to {last}"
            raise InputError(
                f"Portfolio '{portfolio}' has no plan for {span}.",
                remedy="Name a session that was planned: scizor run makes one.",
                where=f"portfolio {portfolio}",
            )
        found, missing = list[SessionReplay](), list[NotReplayed]()
        plans = [(day, facts) for day in days for facts in sources.facts(portfolio, day).each()]
        for day, facts in plans:
            try:
                found.append(_replayed(facts))
            except InputsGone as gone:
                missing.append(NotReplayed(day, gone.plan_id, gone.problem, gone.remedy))
                if len(missing) == len(plans):
                    raise
        return Replays(tuple(found), tuple(missing))


def newest_planned(desk: Desk, portfolio: str) -> date:
    """The newest session with a plan.

    Raises:
        InputError: nothing was ever planned.
    """
    desk.portfolio(portfolio)
    with opened(desk) as sources:
        days = planned_sessions(sources, portfolio, date.min, date.max)
    if not days:
        raise InputError(
            f"Nothing of portfolio '{portfolio}' was planned yet.",
            remedy="Run a session first: scizor run.",
            where=f"portfolio {portfolio}",
        )
    return days[-1]


def planned_sessions(sources: Sources, portfolio: str, first: date, last: date) -> list[date]:
    """Sessions that the lake has a plan for, or the ledger a batch."""
    # A manual order whose plan was stored and not admitted was never placed: of those the ledger says which there are.
    rows = sources.lake_rows(f"SELECT DISTINCT session FROM plans WHERE portfolio = ? AND {BY_WEIGHTS}", [portfolio])
    days = {row["session"] for row in rows}
    if sources.ledger is not None:
        account = sources.desk.portfolio(portfolio).account
        days |= admitted_sessions(sources.ledger, account, portfolio, by_hand=True)
    return sorted(day for day in days if first <= day <= last)


def _replayed(facts: SessionFacts) -> SessionReplay:
    head = facts.head
    if head is None:
        return _without_plan(facts)
    findings, notes = list[Finding](), list[str]()
    archive = _archive(facts, head, findings)
    again = _made(archive, head, findings)
    stored = _stored(facts.sources, head["plan_id"])
    made_text = None
    if again is not None:
        expected = _expected(again, archive, head)
        findings += [item for name in _KEYS for item in _compared(name, head, stored[name], expected[name])]
        made_text = canonical(expected)
    equal = made_text == canonical(stored)
    findings += _own_row_findings(facts, head)
    by_hand = facts.batch_id is not None
    findings += request_findings(facts, archive) if by_hand else weight_findings(facts, archive, head, notes)
    findings += price_findings(facts, archive, head, notes)
    findings += ledger_findings(facts, archive, again, head, notes)
    findings += _rules_since(facts, archive)
    now = code_version()
    if now != head["code_version"]:
        notes.append(f"Version {head['code_version']} made the plan; this is {now}.")
    findings.sort(key=lambda item: item.kind != "difference")
    return SessionReplay(
        facts.portfolio,
        facts.session,
        head["plan_id"],
        head["lake_snapshot"],
        head["code_version"],
        now,
        equal,
        sha256(canonical(stored)),
        None if made_text is None else sha256(made_text),
        tuple(dict.fromkeys(findings)),
        tuple(notes),
    )


def _without_plan(facts: SessionFacts) -> SessionReplay:
    """The ledger has admitted a plan that the lake does not hold."""
    assert facts.batch is not None, facts.session
    plan_id, findings, notes = facts.batch.plan_id, list[Finding](), list[str]()
    if facts.is_rebuilt:
        notes.append("The ledger was built anew from the broker's books, which name no plan; nothing can be compared.")
    else:
        remark = "The ledger's batches name it; run scizor ledger verify, and restore the lake from its backup."
        findings.append(Finding("plans", f"plan_id {plan_id}", "", "absent", "there", remark=remark))
        others = facts.sources.lake_rows(
            "SELECT plan_id FROM plans WHERE portfolio = ? AND session = ?", [facts.portfolio, facts.session]
        )
        notes += [f"The lake holds plan {row['plan_id']} of that session." for row in others]
    return SessionReplay(
        facts.portfolio, facts.session, plan_id, None, "", code_version(), facts.is_rebuilt, "", None, tuple(findings),
        tuple(notes),
    )  # fmt: skip


def _archive(facts: SessionFacts, head: dict[str, Any], findings: list[Finding]) -> PlanArchive:
    """What stands beside the plan. Its own digest is compared, and decides nothing: the plan's id does that.

    Raises:
        InputsGone: nothing stands there, or it cannot be read.
    """
    where, plan_id = f"portfolio {facts.portfolio}, {facts.session}", head["plan_id"]
    rows = facts.sources.lake_rows("SELECT inputs FROM plan_inputs WHERE plan_id = ?", [plan_id])
    if not rows:
        raise InputsGone(
            plan_id,
            "The plan has no inputs beside it: they are older than lake.audit_years, it was made by a version that "
            "kept none, or they were taken out.",
            remedy="Its lake_snapshot in the table plans names the state of the lake that it read.",
            where=where,
        )
    text = rows[0]["inputs"]
    if digest_of(text) != head["inputs_sha256"]:
        remark = "The text in plan_inputs, or the digest in plans, was changed after the plan was made."
        findings.append(
            Finding("plan_inputs", f"plan_id {plan_id}", "SHA-256 of inputs", digest_of(text),
                    str(head["inputs_sha256"]), remark=remark)
        )  # fmt: skip
    try:
        return read_archive(text, digest_of(text), where)
    except DataError as error:
        raise InputsGone(plan_id, error.problem, remedy=error.remedy, where=where) from error


def _made(archive: PlanArchive, head: dict[str, Any], findings: list[Finding]) -> Plan | None:
    key = f"plan_id {head['plan_id']}"
    try:
        again = archive.plan()
    except ScizorError as error:
        findings.append(Finding("plan_inputs", key, "", f"refused by the planner ({error.problem})", "a plan"))
        return None
    if again.plan_id != head["plan_id"]:
        remark = "What stands beside the plan is not what it was made from; see which input differs below."
        findings.append(Finding("plan_inputs", key, "digest", again.plan_id, head["plan_id"], remark=remark))
    return again


def _stored(sources: Sources, plan_id: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of the plan as they are stored, without reading them as numbers."""
    found = {}
    for name, columns in _COLUMNS.items():
        chosen = ", ".join(dict.fromkeys((*columns, *_OWN)))
        found[name] = sources.lake_rows(f"SELECT {chosen} FROM {name} WHERE plan_id = ?", [plan_id])
    for row in found["plan_lines"]:
        # Plans from before lines named them were made beside no open order, and set nothing apart.
        row |= {name: row[name] or "0" for name in ("working_qty", "kept_qty")}
    for row in found["plans"]:
        row["origin"] = row["origin"] or OF_WEIGHTS
    return found


def _expected(again: Plan, archive: PlanArchive, head: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The same rows as they would be stored now."""
    frames = plan_frames(
        again,
        archive,
        lake_snapshot=head["lake_snapshot"],
        code_version=head["code_version"],
        source=head["source"],
        fetched_at=head["fetched_at"],
    )
    return {
        name: [
            {column: row[column] for column in dict.fromkeys((*columns, *_OWN))}
            for row in frames[name].astype(object).to_dict("records")
        ]
        for name, columns in _COLUMNS.items()
    }


def _compared(
    name: str, head: dict[str, Any], stored: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> Iterator[Finding]:
    if name == "plans":
        if len(stored) > 1:
            yield Finding(name, f"plan_id {head['plan_id']}", "", f"there {len(stored)} times", "there once")
        yield from different(name, f"plan_id {head['plan_id']}", stored[0], expected[0])
        return
    yield from compared(name, [_KEYS[name]], stored, expected)


def request_findings(facts: SessionFacts, archive: PlanArchive) -> Iterator[Finding]:
    """What a manual order was made from against the request that the ledger has taken."""
    asked, made = facts.by_hand, archive.inputs.manual
    key = f"batch_id {facts.batch_id}"
    if asked is None or made is None:
        yield Finding("manual_orders", key, "", "absent" if asked is None else "there", "a request and its plan")
        return
    names = {"order_type": "mode"}
    terms = json.loads(asked.request) | {"key": asked.idempotency_key, "actor": asked.actor, "reason": asked.reason}
    stored = {name: terms.get(name) for name in _OF_A_REQUEST}
    planned = {name: getattr(made, names.get(name, name)) for name in _OF_A_REQUEST}
    told = {name: number(value) if isinstance(value, Decimal) else value for name, value in planned.items()}
    yield from different("manual_orders", key, stored, told)


def _own_row_findings(facts: SessionFacts, head: dict[str, Any]) -> Iterator[Finding]:
    """What the ledger has sealed comes first; what the lake itself can tell of the same value adds nothing to it."""
    sealed = list(provenance_findings(facts.sources, head))
    yield from sealed
    named = {item.field for item in sealed}
    yield from (item for item in _snapshot_findings(facts, head) if item.field not in named)


def _snapshot_findings(facts: SessionFacts, head: dict[str, Any]) -> Iterator[Finding]:
    """The plan's own row in `plans` against the state in which it was written: what no other number could tell."""
    sources, key = facts.sources, f"plan_id {head['plan_id']}"
    written = min(
        row["snapshot_id"]
        for name in ("plans", "plan_lines", "planned_orders", "plan_inputs")
        for row in sources.lake_rows(f"SELECT DISTINCT snapshot_id FROM {name} WHERE plan_id = ?", [head["plan_id"]])
    )
    if head["lake_snapshot"] >= written:
        remark = f"The plan was stored in snapshot {written}, and read the state before it."
        expected = f"below {written}"
        yield Finding("plans", key, "lake_snapshot", str(head["lake_snapshot"]), expected, remark=remark)
    own = sources.lake_rows("SELECT max(snapshot_id) AS at FROM plans WHERE plan_id = ?", [head["plan_id"]])[0]["at"]
    if own > written and _rewritten(sources, own):
        yield from _since(facts, head, own)


def _rewritten(sources: Sources, snapshot: int) -> bool:
    """Whether a statement has written `plans` in that snapshot; compaction moves rows as well."""
    changes = sources.lake_rows("SELECT changes FROM lake.snapshots() WHERE snapshot_id = ?", [snapshot])
    table = sources.lake_rows("SELECT table_id FROM ducklake_table_info('lake') WHERE table_name = 'plans'")
    if not changes or not table:
        return False
    return any(str(table[0]["table_id"]) in map(str, changes[0]["changes"].get(name, ())) for name in _INSERTS)


def _since(facts: SessionFacts, head: dict[str, Any], own: int) -> Iterator[Finding]:
    """What the row said before it was written again."""
    key, remark = f"plan_id {head['plan_id']}", f"The row was written again in snapshot {own} of the lake."
    try:
        with facts.sources.desk.lake.at(own - 1) as then:
            rows = Sources(facts.sources.desk, then, None).lake_rows(
                "SELECT * FROM plans WHERE plan_id = ?", [head["plan_id"]]
            )
    except SnapshotGone:
        yield Finding("plans", key, "", "written again", "as it was stored", remark=remark)
        return
    for item in different("plans", key, head, rows[0] if rows else {}):
        yield Finding(item.table, item.key, item.field, item.stored, item.expected, remark=remark)


def _rules_since(facts: SessionFacts, archive: PlanArchive) -> Iterator[Finding]:
    """Rules that the configuration has otherwise now: later plans are made by those."""
    now, then = rules_from(facts.sources.desk.portfolio(facts.portfolio)), archive.rules
    for name in then.__dataclass_fields__:
        if getattr(now, name) != getattr(then, name):
            stored, expected = str(getattr(now, name)), str(getattr(then, name))
            yield Finding("config", f"portfolio {facts.portfolio}", name, stored, expected, "information")
