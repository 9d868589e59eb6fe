"""The words of each event: short enough for a phone, with what to do next.

What belongs here: pure functions from facts to notices. What does not: reading the facts (`flow.notices`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from scizor_dagster.notifications.notice import Notice, digest, notice

TEST = "test"
_NAMED = 5
_SESSION = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run of Dagster that failed.

    Attributes:
        job: Its name; `partition` and `portfolio` are empty where it has none.
        day: When it began.
        step: The first step that failed; empty where the run died outside of any.
        problem: Cause, place and remedy as this project's errors say them, or the name of a stranger's error.
        held: Whether it failed because weights wait for a person.
    """

    job: str
    run_id: str
    partition: str = ""
    portfolio: str = ""
    step: str = ""
    problem: str = ""
    held: bool = False
    day: date | None = None

    @property
    def time(self) -> str:
        """The session that it was for; of a run for none (a year, or no partition at all) the day on which it began."""
        if _SESSION.fullmatch(self.partition) or self.day is None:
            return self.partition
        return f"{self.partition}@{self.day}"


def run_failed(run: FailedRun) -> Notice:
    """A failed run; one that waits for a person's approval of its weights is `held_for_human`.

    The same job that fails for the same session with the same words is the same fact, however often it is tried;
    one that has no session, on the same day.
    """
    of = f" {run.partition}" if run.partition else ""
    problem = run.problem or "It ended without a word; its process may have died."
    again = f" Then: scizor run --portfolio {run.portfolio} --date {run.partition}." if run.portfolio and of else ""
    story = f"See run {run.run_id[:8]} in Dagster.{again}"
    step = f"Step {run.step}." if run.step else ""
    facts = {"job": run.job, "session": run.partition, "run_id": run.run_id, "step": run.step, "problem": problem}
    if run.held:
        title = f"{run.portfolio or run.job}{of}: weights wait for you"
        occasion = f"{run.time}:{digest(problem, numbers=False)}"
        return notice("held_for_human", f"weights of {run.portfolio}", occasion, title, problem, story, **facts)
    occasion = f"{run.time}:{digest(run.step, problem, numbers=False)}"
    return notice("run_failed", f"job {run.job}", occasion, f"{run.job}{of} failed", step, problem, story, **facts)


def plan_waits(portfolio: str, session: date, plan_id: str, orders: int) -> Notice:
    """A plan that nobody has approved yet."""
    plan = plan_id[:12]
    return notice(
        "held_for_human",
        f"plan of {portfolio}",
        f"{session}:{plan}",
        f"{portfolio} {session}: a plan waits for you",
        f"Plan {plan} has {orders} order(s), and nothing is sent until a person has approved it.",
        f"Look at it and release it: scizor approve {plan}. Then: scizor run --portfolio {portfolio} --date {session}.",
        portfolio=portfolio,
        session=str(session),
        plan_id=plan_id,
        orders=orders,
    )


def outcome_unknown(portfolio: str, session: date, orders: Mapping[str, str]) -> Notice:
    """Orders of unknown outcome, symbol by id: their instruments are frozen."""
    symbols = sorted(set(orders.values()))
    return notice(
        "held_for_human",
        f"orders of {portfolio}",
        f"{session}:{digest(*sorted(orders))}",
        f"{portfolio} {session}: {len(orders)} order(s) of unknown outcome",
        f"Frozen until they are found or proven absent: {_named(symbols)}. Nothing is sent for them.",
        f"Look them up at the broker: scizor run --portfolio {portfolio} --date {session}.",
        portfolio=portfolio,
        session=str(session),
        symbols=symbols,
    )


def broken(portfolio: str, session: date, breaks: Sequence[Mapping[str, Any]]) -> Notice:
    """Unexplained breaks of a session, as the lake has them."""
    keys = sorted(f"{row['kind']}/{row['symbol'] or ''}/{row['client_order_id'] or ''}" for row in breaks)
    lines = [f"{row['kind']} {row['symbol'] or ''}: expected {row['expected']}, found {row['found']}" for row in breaks]
    return notice(
        "break",
        f"portfolio {portfolio}",
        f"{session}:{digest(*keys)}",
        f"{portfolio} {session}: {len(breaks)} unexplained break(s)",
        "What they lock is not traded until they are cleared.",
        *_first(lines),
        f"See them all: scizor reconcile --portfolio {portfolio} --date {session}.",
        portfolio=portfolio,
        session=str(session),
        breaks=[{name: str(row[name] or "") for name in ("kind", "symbol", "expected", "found")} for row in breaks],
    )


def looked(account: str, portfolio: str, breaks: Sequence[tuple[str, str, str]]) -> Notice:
    """Positions that did not agree before a plan was made: id, symbol and cause of each break."""
    lines = [f"{symbol}: {cause}" for _, symbol, cause in breaks]
    return notice(
        "break",
        f"account {account}",
        f"look:{digest(*sorted(name for name, *_ in breaks))}",
        f"{account}: {len(breaks)} position(s) do not agree",
        "They are not traded until they do, or a person takes them as they are.",
        *_first(lines),
        f"See them: scizor reconcile --portfolio {portfolio}.",
        account=account,
        breaks=[dict(zip(("break_id", "symbol", "cause"), row, strict=True)) for row in breaks],
    )


def stopped(account: str, portfolio: str | None, state: str, actor: str, reason: str, at: datetime,
            until: datetime | None, cancel_open: bool) -> Notice:  # fmt: skip
    """An account, or a portfolio, that is halted or reducing; `at` makes it this time and no other."""
    what, scope = ("portfolio", portfolio) if portfolio is not None else ("account", account)
    lasts = f" until {until.isoformat(timespec='minutes')}" if until is not None else ""
    effect = "No order goes out" if state == "halted" else "Only orders that close positions go out"
    open_ones = "; open orders are cancelled" if cancel_open else ""
    return notice(
        "halt",
        f"{what} {scope}",
        f"{at.isoformat()}:{state}",
        f"{scope} is {state}",
        f"By {actor} at {at.isoformat(timespec='minutes')}{lasts}: {reason}",
        f"{effect}{open_ones}.",
        f"Once the cause is found: scizor resume --{what} {scope} --reason TEXT.",
        account=account,
        portfolio=portfolio or "",
        state=state,
        by=actor,
        reason=reason,
    )


def watchdog_found(findings: Sequence[Mapping[str, Any]], portfolios: Sequence[str], at: datetime) -> Notice:
    """What the watchdog found: told once a day while it finds just this."""
    keys = sorted(f"{item['kind']}/{item['portfolio']}/{item['account']}/{item['problem']}" for item in findings)
    lines = [f"- {item['portfolio'] or item['account'] or ''}: {item['problem']} {item['remedy']}".replace("- : ", "- ")
             for item in findings]  # fmt: skip
    return notice(
        "watchdog",
        "watchdog",
        f"{at.date()}:{digest(*keys)}",
        f"Watchdog: {len(findings)} finding(s), {_named(sorted({item['kind'] for item in findings}))}",
        *_first(lines),
        "See them all: scizor watchdog.",
        findings=list(findings),
        portfolios=list(portfolios),
    )


def all_well(portfolios: Sequence[str], at: datetime) -> Notice:
    """The watchdog found nothing: for a service that waits to hear from it."""
    named = ", ".join(portfolios) or "no portfolio"
    said = f"The watchdog looked at {at.isoformat(timespec='seconds')} and found nothing."
    return notice(
        "all_well", "watchdog", at.isoformat(), f"All is well with {named}", said, portfolios=list(portfolios)
    )


def trial(at: datetime) -> Notice:
    """What `scizor notify --test` sends."""
    said = "This is a test: notices of Scizor arrive here."
    return notice(
        "test", "test", at.isoformat(), "Scizor: a test", said, "Nothing has happened, and there is nothing to do."
    )


@dataclass(frozen=True, slots=True)
class Day:
    """What a session came to, for its summary; amounts in `currency`, None what is not known.

    Attributes:
        planned: Orders that were decided on; `filled` and `working` of them; `refused` and `held_back` did not go out.
        earned: The portfolio's gain over the session, after fees; `gain` the same as a fraction of its equity before.
        waits: Whether the session's plan still waits for a person.
    """

    portfolio: str
    session: date
    currency: str
    planned: int
    filled: int
    working: int
    refused: int
    held_back: int
    breaks: int | None
    equity: float
    earned: float | None
    gain: float | None
    paid: float
    synthetic: bool = False
    waits: bool = False


def daily_summary(day: Day) -> Notice:
    """Decided, done, broken, earned, paid."""
    earned = f"{day.earned:+,.2f} {day.currency} ({day.gain:+.2%})" if day.earned is not None else "not known"
    left = [f"{count} {word}" for count, word in (
        (day.working, "working"), (day.refused, "refused"), (day.held_back, "held back")) if count]  # fmt: skip
    done = f"Done: {day.filled} filled{', ' + ', '.join(left) if left else ''}."
    broken_ones = {None: "Broken: not reconciled.", 0: "Broken: nothing."}.get(
        day.breaks, f"Broken: {day.breaks} unexplained break(s)."
    )
    command = f"scizor reconcile --portfolio {day.portfolio} --date {day.session}"
    needed = day.breaks != 0 or day.refused or day.held_back
    waits = f"Its plan waits for you: scizor approve {day.portfolio}." if day.waits else ""
    facts = {name: str(getattr(day, name)) for name in (
        "portfolio", "session", "currency", "planned", "filled", "working", "refused", "held_back", "breaks", "equity",
        "earned", "gain", "paid")}  # fmt: skip
    return notice(
        "daily_summary",
        f"portfolio {day.portfolio}",
        str(day.session),
        f"{day.portfolio} {day.session}: {earned}",
        f"Decided: {day.planned} order(s)." if day.planned else "Decided: no order.",
        done if day.planned else "",
        broken_ones,
        f"Earned: {earned}; equity {day.equity:,.2f} {day.currency}.{' Prices are made up.' if day.synthetic else ''}",
        f"Paid: {day.paid:,.2f} {day.currency} in fees.",
        waits or (f"Look: {command}." if needed else "Nothing to do."),
        **facts,
    )


def _first(lines: Sequence[str]) -> list[str]:
    return [*lines[:_NAMED], f"and {len(lines) - _NAMED} more"] if len(lines) > _NAMED else [*lines]


def _named(items: Sequence[str]) -> str:
    shown = ", ".join(items[:_NAMED])
    return shown if len(items) <= _NAMED else f"{shown} and {len(items) - _NAMED} more"
