"""The upper half of the chain: from the line of a file to the quantity of a plan's line.

What belongs here: the links file, mapping, blend, target, plan, capital, price, sizing and reason. What does not:
orders and what became of them (`explain_orders`).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from scizor_dagster.analytics.explain.model import Link, Step, exact_amount, moment, money, number, sentences
from scizor_dagster.analytics.explain.reasons import reason_sentence
from scizor_dagster.analytics.explain.sizing import Sizing
from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.explain_facts import SessionFacts
from scizor_dagster.flow.explain_requests import request_link
from scizor_dagster.ledger.conversions import conversion_of
from scizor_dagster.ledger.rows import first_batch_of
from scizor_dagster.planning.model import PlanLine, Reason
from scizor_dagster.signals.targets import Contribution, TargetStatus, TargetWeight
from scizor_dagster.version import code_version

_OTHERWISE = (
    "a band that is traded to its edge, an allowance for slippage, a limit on what closes, or a weight of 15 digits "
    "and more, which counts as any number that close"
)
RESTORE = "Restore the lake from its backup."


def weight_links(facts: SessionFacts, symbol: str) -> Iterator[Link]:
    """From the lines that name the instrument down to its target, or the request that stands in their place."""
    if facts.batch_id is not None:
        yield request_link(facts)
        return
    target = facts.target_of(symbol)
    if target is None:
        yield _unnamed(facts, symbol)
        return
    for item in target.contributions:
        yield file_link(facts, item)
    yield _mapping(facts, target)
    yield _blend(facts, target)
    yield _target(facts, target)


def plan_links(facts: SessionFacts, symbol: str) -> Iterator[Link]:
    """From the plan down to the quantity of the instrument's line, and why it is that."""
    if facts.plan is None or facts.head is None:
        yield _no_plan(facts)
        return
    yield _plan(facts, facts.head)
    line = next((line for line in facts.plan.lines if line.symbol == symbol), None)
    if line is None:
        yield Link(
            Step.REASON,
            "Line of the plan",
            "lake: plan_lines",
            (f"The plan has no line for {symbol}: it was neither held, on order nor targeted.",),
        )
        return
    sizing = facts.sizings.get(symbol)
    yield _capital(facts, sizing)
    yield _price(facts, line)
    if sizing is not None and line.target_qty is not None:
        yield _sizing(facts, line, sizing)
    yield _reason(line, sizing)


def file_link(facts: SessionFacts, item: Contribution) -> Link:
    """One line of one file."""
    row = facts.signal_row(item)
    title = f"Weight file, line {item.line}"
    stated: dict[str, Any] = {
        "strategy": item.strategy,
        "asset_id": item.asset_id,
        "line": item.line,
        "file_sha256": item.file_hash,
        "weight": item.weight_stated,
    }
    if row is None:
        missing = (
            f"The lake has no row of line {item.line} of the file with the SHA-256 {item.file_hash[:12]} in signals. "
            + RESTORE
        )
        said = f"Strategy {item.strategy}, id {item.asset_id}: {number(item.weight_stated)}."
        return Link(Step.FILE, title, "lake: target_attribution", (said,), stated, missing=missing)
    place = f"{row['sheet']}!{item.line}" if row["sheet"] else str(item.line)
    now = facts.file_now(item.strategy, row["path"], item.file_hash, item.line)
    said = f"{row['path']}:{place} says {item.asset_id} {number(item.weight_stated)} for {row['weights_date']}."
    state = {
        None: "The file is not there any more; what was accepted of it is in the lake.",
        True: f"The line as it stands: {now.text}" if now.text else "The file is as it was accepted.",
        False: f"The file has another content now; its line {item.line}: {now.text or 'none'}",
    }[now.same]
    facts_of = stated | {
        "path": row["path"],
        "sheet": row["sheet"],
        "weights_date": row["weights_date"],
        "accepted_at": row["fetched_at"],
        "file_unchanged": now.same,
        "line_now": now.text or None,
    }
    origin = [f"SHA-256 {item.file_hash}", f"Accepted {moment(row['fetched_at'])}."]
    made = facts.computed(item.strategy, item.file_hash)
    if made:
        facts_of["computed_by"] = made
        origin += [
            f"Computed by version {row['version'][:12]} of {row['function']} on the closes up to {row['priced_on']}."
            for row in made
        ]
    brought = facts.handed_in(item.strategy, item.file_hash, row["path"])
    if brought:
        facts_of["handed_in"] = brought
        origin += [_handed_in(row) for row in brought]
    return Link(Step.FILE, title, "lake: signals; file", sentences(said, state, *origin), facts_of)


def _handed_in(row: dict[str, Any]) -> str:
    by = f" in request {row['request_id']}" if row["request_id"] else ""
    code = f", computed by code {row['code_hash'][:12]}" if row["code_hash"] else ""
    return f"Handed in by {row['actor']}{by} {moment(row['at'])}{code}."


def files_of_session(facts: SessionFacts) -> list[dict[str, Any]]:
    """The files that the session's targets are made of: strategy, path and hash of each."""
    found = {}
    for target in facts.targets:
        for item in target.contributions:
            row = facts.signal_row(item)
            path = row["path"] if row is not None else None
            found[item.strategy, item.file_hash] = {
                "strategy": item.strategy, "path": path, "file_sha256": item.file_hash,
            }  # fmt: skip
    return list(found.values())


def _unnamed(facts: SessionFacts, symbol: str) -> Link:
    files = files_of_session(facts)
    if not facts.targets:
        missing = f"The lake has no targets of portfolio {facts.portfolio} for {facts.session}. "
        missing += "Nothing was planned for it, or they are gone: restore the lake from its backup."
        return Link(Step.FILE, "Weight file", "lake: target_weights", missing=missing)
    said = [f"No line of the session's files names {symbol}, so that its weight is 0."]
    before = _named_before(facts, symbol)
    if before is not None:
        said.append(
            f"It was named last for {before['session']}: {before['path']}:{before['line']} gave {before['asset_id']} "
            f"{number(Decimal(before['weight_stated']))}."
        )
    source = "lake: target_attribution, signals"
    body = {"weight": "0", "named_before": before}
    return Link(Step.FILE, "Weight file", source, tuple(said), body, tuple(files))


def _named_before(facts: SessionFacts, symbol: str) -> dict[str, Any] | None:
    """The line that named it in the newest session before this one."""
    found = facts.sources.lake_rows(
        "SELECT a.session, s.path, a.line, a.asset_id, a.weight_stated, a.strategy, a.file_hash AS file_sha256 "
        "FROM target_attribution a JOIN signals s USING (strategy, file_hash, line, asset_id) "
        "WHERE a.portfolio = ? AND a.symbol = ? AND a.session < ? ORDER BY a.session DESC, a.strategy, a.line LIMIT 1",
        [facts.portfolio, symbol, facts.session],
    )
    return found[0] if found else None


def _mapping(facts: SessionFacts, target: TargetWeight) -> Link:
    said, files = [], []
    for strategy in dict.fromkeys(item.strategy for item in target.contributions):
        ids = ", ".join(item.asset_id for item in target.contributions if item.strategy == strategy)
        table = _mapping_file(facts, strategy)
        files.append(table)
        means = target.instrument_id or target.symbol or "no instrument"
        how = f"by the table {table}" if table else "the id is itself the ticker"
        said.append(f"{ids} of {strategy} is {means} ({how}).")
    if target.note:
        said.append(f"{target.note}.")
    if target.candidates:
        said.append(f"It may mean {', '.join(target.candidates)}; what is held of them is left alone.")
    body = {
        "symbol": target.symbol,
        "instrument_id": target.instrument_id,
        "asset_ids": target.asset_ids,
        "candidates": target.candidates,
        "status": target.status,
        "mapping_files": [name for name in files if name],
    }
    return Link(Step.MAPPING, "Instrument", "lake: target_weights; strategy manifest", tuple(said), body)


def _mapping_file(facts: SessionFacts, strategy: str) -> str | None:
    try:
        entry = facts.sources.desk.manifest.strategy(strategy)
    except ScizorError:
        return None
    return None if entry.mapping is None else entry.mapping.file


def _blend(facts: SessionFacts, target: TargetWeight) -> Link:
    rows = tuple(
        {
            "strategy": item.strategy,
            "id": item.asset_id,
            "line": item.line,
            "weight": number(item.weight_stated),
            "contribution": number(item.contribution),
            "times": _ratio(item),
        }
        for item in target.contributions
    )
    known = facts.sources.desk.config.portfolios.get(facts.portfolio)
    mode = None if known is None else known.signals.mode
    total = " + ".join(number(item.contribution) for item in target.contributions)
    said = f"The contributions {total} = {number(target.target_weight)} of the portfolio."
    said = said if mode is None else f"Mode '{mode}': {said[0].lower()}{said[1:]}"
    return Link(Step.BLEND, "Strategies together", "lake: target_attribution", (said,), {"mode": mode}, rows)


def _ratio(item: Contribution) -> str:
    return f"{item.contribution / item.weight_stated:.6g}" if item.weight_stated else ""


def _target(facts: SessionFacts, target: TargetWeight) -> Link:
    aside = "" if target.status is TargetStatus.OK else f"It is set aside ({target.status}): no order comes of it."
    said = f"{target.symbol or ', '.join(target.asset_ids)}: {number(target.target_weight)} of the portfolio."
    body = {"target_weight": target.target_weight, "status": target.status, "session": facts.session}
    return Link(Step.TARGET, "Target", "lake: target_weights", sentences(said, aside), body)


def _no_plan(facts: SessionFacts) -> Link:
    if facts.is_rebuilt:
        gone = "The ledger was built anew from the broker's books, which name no plan."
    elif facts.batch is not None:
        gone = f"The ledger admitted plan {facts.batch.plan_id[:12]}, and the lake does not hold it. {RESTORE}"
    else:
        gone = f"The lake has no plan of portfolio {facts.portfolio} for {facts.session}."
    return Link(Step.PLAN, "Plan", "lake: plans", missing=gone)


def _plan(facts: SessionFacts, head: dict[str, Any]) -> Link:
    now = code_version()
    admitted = "The ledger has not admitted it: nothing of it was sent."
    if facts.is_rebuilt:
        admitted = "The ledger was built anew from the broker's books, which name no plan: "
        admitted += "the ids of its orders do." if facts.is_its_plan else "no stored one has these orders."
    elif facts.batch is not None:
        admitted = f"Admitted {moment(facts.batch.created_at)}."
    version = "as now" if head["code_version"] == now else f"now {now}"
    said = sentences(
        f"Plan {head['plan_id']}.",
        f"Made from snapshot {head['lake_snapshot']} of the lake by version {head['code_version']} ({version}).",
        admitted,
        *(facts.plan.notes if facts.plan is not None else ()),
    )
    body = {
        name: head[name] for name in ("plan_id", "batch", "lake_snapshot", "code_version", "adjustment", "currency")
    }
    body |= {"made_at": head["fetched_at"], "admitted": facts.batch is not None, "inputs_sha256": head["inputs_sha256"]}
    return Link(Step.PLAN, "Plan", "lake: plans", said, body, missing=facts.archive_problem)


def _capital(facts: SessionFacts, sizing: Sizing | None) -> Link:
    head, archive = facts.head, facts.archive
    assert head is not None, facts.portfolio
    currency, equity, buffer = head["currency"], Decimal(head["equity"]), Decimal(head["cash_buffer"])
    said = [f"Equity {exact_amount(equity)} {currency}{_made_of(facts)}."]
    kept = f"Cash buffer {exact_amount(buffer)}"
    if archive is not None:
        kept += f" ({number(archive.rules.min_cash_buffer_pct * 100)} % of it)"
    factor = Decimal(head["overflow_factor"])
    body: dict[str, Any] = {"equity": equity, "currency": currency, "cash_buffer": buffer, "overflow_factor": factor}
    if sizing is not None:
        said.append(f"{kept}: weights are shares of {exact_amount(sizing.investable)} {currency}.")
        body |= {"cash": sizing.cash, "investable": sizing.investable, "room": sizing.room}
        said += sizing.scaled
    else:
        said.append(f"{kept}.")
    said += _conversion(facts, body)
    return Link(Step.CAPITAL, "Capital", "lake: plans, plan_inputs; ledger: batches", tuple(said), body)


def _made_of(facts: SessionFacts) -> str:
    archive = facts.archive
    if archive is None or archive.inputs.cash is None:
        return ""
    held = archive.inputs.equity - archive.inputs.cash
    positions = sum(1 for quantity in archive.inputs.holdings.values() if quantity)
    return f" = cash {exact_amount(archive.inputs.cash)} + {positions} holding(s) worth {exact_amount(held)}"


def _conversion(facts: SessionFacts, body: dict[str, Any]) -> list[str]:
    if facts.sources.ledger is None:
        return []
    first = first_batch_of(facts.sources.ledger, facts.account, facts.portfolio)
    made = conversion_of(facts.sources.ledger, facts.account, facts.portfolio)
    said = []
    if first is not None:
        body["starting_cash"] = first.starting_cash
        said.append(f"The portfolio began with {money(first.starting_cash)} on {first.session}.")
    if made is not None:
        body["conversion"] = made.sentence
        said.append(made.sentence)
    return said


def _price(facts: SessionFacts, line: PlanLine) -> Link:
    assert facts.head is not None, line.symbol
    priced_on, adjustment = facts.head["priced_on"], facts.head["adjustment"]
    if line.price is None:
        return Link(Step.PRICE, "Price", "lake: plan_lines", ("There was no price.",), {"price": None})
    desk, age = facts.sources.desk, None
    known = desk.config.portfolios.get(facts.portfolio)
    if known is not None and line.price_session is not None and priced_on is not None:
        age = desk.calendar(known.market).age_in_sessions(line.price_session, priced_on)
    old = "" if age is None else f", {age} session(s) old when the plan was made"
    day = f" of {line.price_session}" if line.price_session else ""
    said = f"{number(line.price)} {facts.head['currency']} a share ({adjustment}){day}{old}, from {line.price_source}."
    body = {
        "price": line.price,
        "price_session": line.price_session,
        "age_sessions": age,
        "source": line.price_source,
        "adjustment": adjustment,
    }
    return Link(Step.PRICE, "Price", "lake: plan_lines", (said,), body)


def _sizing(facts: SessionFacts, line: PlanLine, sizing: Sizing) -> Link:
    assert facts.head is not None, line.symbol
    times = "".join(
        f" x {number(part)} ({name})"
        for part, name in ((sizing.overflow_factor, "overflow factor"), (round(sizing.room, 12), "room left"))
        if part != 1
    )
    said = []
    if sizing.weight:
        worth = number(round(sizing.value, 6))
        said.append(f"Weight {number(sizing.weight)} x {exact_amount(sizing.investable)}{times} = {worth}.")
    if sizing.weight and sizing.unrounded is not None:
        said.append(
            f"{number(round(sizing.value, 6))} / {number(sizing.price)} = {number(round(sizing.unrounded, 9))}, toward "
            f"zero to {number(sizing.step)}: {number(sizing.rounded)} shares."
        )
    if sizing.weight and sizing.target != sizing.rounded:
        said.append(f"The planner's target is {number(sizing.target)}, for {_OTHERWISE}.")
    if sizing.band and sizing.held_value is not None:
        away = abs(sizing.held_value - sizing.value)
        inside = "inside: no trade" if away <= sizing.band else "outside: trade"
        said.append(f"No-trade band: {money(sizing.band)} on each side; what is held is {money(away)} away ({inside}).")
    working = f" and {number(sizing.working)} on order" if sizing.working else ""
    said.append(
        f"Held {number(sizing.held)}{working}; target {number(line.target_qty)}; change {number(line.delta_qty)}"
        f"{_against(line, sizing)}."
    )
    if sizing.largest is not None:
        said.append(f"One order has at most {number(round(sizing.largest, 6))} shares; a larger change is sliced.")
    if (sizing.delta, sizing.reason) != (line.delta_qty, line.reason.value):
        said.append(
            f"The line's own rules gave a change of {number(sizing.delta)} ({sizing.reason}); the rules of the whole "
            f"plan made it {number(line.delta_qty)} ({line.reason})."
        )
    body = {name: getattr(sizing, name) for name in (
        "weight", "investable", "overflow_factor", "room", "value", "price", "unrounded", "step", "rounded", "held",
        "working", "band", "minimum", "largest",
    )}  # fmt: skip
    body |= {"target_qty": line.target_qty, "delta_qty": line.delta_qty, "buffer_share": sizing.buffer_share}
    return Link(Step.SIZING, "Quantity", "lake: plan_inputs, plan_lines; the planner", tuple(said), body)


def _against(line: PlanLine, sizing: Sizing) -> str:
    if line.price is None or not line.delta_qty or line.reason is Reason.LIQUIDATE:
        return ""
    worth = abs(line.delta_qty) * line.price
    return f", worth {money(worth)} (an order needs {money(sizing.minimum)})"


def _reason(line: PlanLine, sizing: Sizing | None) -> Link:
    said = sentences(reason_sentence(line, sizing), line.note)
    body = {
        "reason": line.reason,
        "note": line.note,
        "current_qty": line.current_qty,
        "target_qty": line.target_qty,
        "delta_qty": line.delta_qty,
    }
    return Link(Step.REASON, f"Decision: {line.reason}", "lake: plan_lines", said, body)


def short_path(path: str | None) -> str:
    """The file's name and its folder's, which is what a table has room for."""
    return "" if path is None else str(Path(*Path(path).parts[-2:]))
