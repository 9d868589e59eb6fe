"""The session in one glance: its state, what is broken, what stands still, and what needs a person.

What belongs here: the first section of the page. What does not: what the numbers come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from scizor_dagster.analytics.report.facts import ReportFacts
from scizor_dagster.analytics.report.formats import UNKNOWN, command, counted, gain, growth, money, short, words
from scizor_dagster.analytics.report.model import Block, Cell, Said, Section, Tile, Tiles, Tone, worst
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.reconciliation.model import ReconciliationState
from scizor_dagster.risk.trading_state import TradingState

_DOUBTFUL = (IntentState.SENDING, IntentState.UNKNOWN)
_GOOD_STATES = ("reconciled", "nothing_to_do")
_MOST = 8


def verdict(facts: ReportFacts) -> Section:
    needs = tuple(_needs(facts))
    blocks: list[Block] = [_headline(facts, needs), _tiles(facts)]
    blocks += needs or [Said("Nothing needs a person.", "good")]
    if facts.is_synthetic:
        blocks.append(Said("The prices are synthetic: no figure of this page says anything of a market.", "warn"))
    return Section("verdict", "Verdict", tuple(blocks))


def tone_of(section: Section) -> Tone:
    return worst(block.tone for block in section.blocks if isinstance(block, Said))


def state_of(facts: ReportFacts) -> str:
    """The session's state in words."""
    state = facts.summary["state"]
    if state != "not reconciled":
        return words(state)
    if facts.trading.batches:
        return "traded, not reconciled"
    return "planned, not executed" if facts.trading.plan is not None else "not planned"


def _state_tone(facts: ReportFacts) -> Tone:
    state = facts.summary["state"]
    return "good" if state in _GOOD_STATES else "bad" if state == ReconciliationState.BREAKS else "warn"


def _headline(facts: ReportFacts, needs: tuple[Said, ...]) -> Said:
    tone = worst((*(need.tone for need in needs), _state_tone(facts)))
    orders = counted(len(facts.trading.intents), "order")
    filled = sum(row.state is IntentState.FILLED for row in facts.trading.intents)
    said = [f"Session {facts.session} of portfolio {facts.portfolio}: {state_of(facts)}."]
    if facts.trading.batches:
        said.append(f"{filled} of {orders} filled whole.")
    if facts.is_measured:
        return Said(" ".join(said), tone)
    return Said(" ".join([*said, "It is not measured yet."]), tone)


def _tiles(facts: ReportFacts) -> Tiles:
    summary, row = facts.summary, facts.measured.row if facts.is_measured else None
    breaks = summary["breaks"]
    mine = _locking(facts)
    halted = facts.standing.state is not TradingState.ACTIVE
    state = state_of(facts)
    found = Cell("not compared", "warn") if breaks is None else Cell(str(breaks), "bad" if breaks else "good")
    waits = "not measured yet"
    return Tiles(
        (
            Tile("state", Cell(state, _state_tone(facts))),
            Tile("breaks", found, f"{mine} open in the ledger" if mine else "none open in the ledger"),
            Tile(
                "trading now",
                Cell(words(facts.standing.state.value), "bad" if halted else "good"),
                facts.standing.reason if halted else "",
            ),
            Tile("equity", Cell(money(row["equity"]) if row else UNKNOWN), facts.currency if row else waits),
            Tile("return of the session", growth(row["return"] if row else None), "" if row else waits),
            Tile("profit of the session", gain(_profit(facts)), facts.currency if row else waits),
        )
    )


def _profit(facts: ReportFacts) -> Decimal | None:
    rows = facts.measured.profits["session"]["instrument"] if facts.is_measured else ()
    return sum((row["profit"] for row in rows), Decimal(0)) if rows else None


def _locking(facts: ReportFacts) -> int:
    return len(facts.reconciled.open_breaks)


def _needs(facts: ReportFacts) -> Iterator[Said]:
    """What waits for a person, the most urgent first."""
    yield from _doubts(facts)
    yield from _stops(facts)
    yield from _breaks(facts)
    yield from _unsent(facts)
    yield from _stages(facts)


def _doubts(facts: ReportFacts) -> Iterator[Said]:
    doubtful = sorted({row.symbol for row in facts.trading.intents if row.state in _DOUBTFUL})
    if doubtful:
        yield Said(
            f"The outcome of orders is not known, and their instruments are frozen: {_listed(doubtful)}. Look them up:",
            "bad",
            (_run(facts),),
        )


def _stops(facts: ReportFacts) -> Iterator[Said]:
    standing = facts.standing
    if standing.state is TradingState.ACTIVE:
        return
    where = ("--account", facts.account) if standing.portfolio is None else ("--portfolio", facts.portfolio)
    what = f"account {facts.account}" if standing.portfolio is None else f"portfolio {facts.portfolio}"
    yield Said(
        f"Trading of {what} is {standing.sentence}. Once the cause is found:",
        "bad",
        (command("resume", *where, "--reason", "TEXT"),),
    )


def _breaks(facts: ReportFacts) -> Iterator[Said]:
    found = facts.reconciled.open_breaks
    count = facts.summary["breaks"] or 0
    if not found and not count:
        return
    locked = sorted({row.symbol for row in found if row.symbol and row.locks == "instrument"})
    locks = f" Locked until the parties agree or you take it as it is: {_listed(locked)}." if locked else ""
    look = command("reconcile", *_of(facts))
    accept = tuple(command("risk", "accept-break", row.break_id, "--reason", "TEXT") for row in found[:_MOST])
    said = counted(len(found), "break") + " open" if found else f"{counted(count, 'break')} found"
    yield Said(f"{said}: plan, ledger and broker do not agree.{locks} Look again, or accept:", "bad", (look, *accept))


def _unsent(facts: ReportFacts) -> Iterator[Said]:
    summary = facts.summary
    # What became of one that is unknown is said above.
    refused = [row for row in summary["refused_rows"] if row["state"] != IntentState.UNKNOWN]
    if refused:
        symbols = sorted({row["symbol"] for row in refused})
        ask = tuple(command("explain", symbol, *_of(facts)) for symbol in symbols)
        count = counted(len(refused), "order")
        yield Said(f"{count} did not go out, or may not have: {_listed(symbols)}. See why:", "bad", ask[:_MOST])
    held = [row for row in summary["held_back_rows"] if row["lost"]]
    if held:
        symbols = sorted({row["symbol"] for row in held})
        yield Said(f"{counted(len(held), 'order')} held back to the end of the session: {_listed(symbols)}.", "warn")


def _stages(facts: ReportFacts) -> Iterator[Said]:
    """Stages that have not come yet."""
    trading, reconcile = facts.trading, (command("reconcile", *_of(facts)),)
    waiting = facts.summary["awaiting_approval"]
    if waiting is not None:
        count = counted(len(trading.plan.orders) if trading.plan is not None else 0, "order")
        yield Said(
            f"Plan {short(waiting)} with {count} waits for your approval. Look at it, release it, and carry it out:",
            "warn",
            (command("approve", short(waiting)), _run(facts)),
        )
        return
    if trading.plan is not None and trading.plan.orders and not trading.batches:
        said = "The plan has orders, and nothing of it was sent."
        over = " The session is over: they cannot be sent any more."
        yield Said(
            said + (over if facts.is_over else " Carry it out:"), "warn", () if facts.is_over else (_run(facts),)
        )
    if trading.batches and facts.summary["state"] == "not reconciled":
        yield Said("The session was traded and not reconciled:", "warn", reconcile)
    if facts.is_over and not facts.quality.collected:
        collect = command("collect", "daily", "--market", facts.market, "--date", str(facts.session))
        yield Said("The session's prices are not collected yet:", "warn", (collect,))
    elif facts.is_over and not facts.is_measured and trading.batches:
        yield Said("The session is not measured yet; reconciling it measures it:", "warn", reconcile)


def _run(facts: ReportFacts) -> str:
    return command("run", *_of(facts))


def _of(facts: ReportFacts) -> tuple[str, ...]:
    return ("--portfolio", facts.portfolio, "--date", str(facts.session))


def _listed(names: list[str]) -> str:
    rest = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {rest} more" if rest > 0 else "")
