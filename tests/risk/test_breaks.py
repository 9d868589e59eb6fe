"""Open breaks: an instrument each, or everything once they are too many, too large, or of no instrument."""

from decimal import Decimal as D

import pytest

from scizor_dagster.errors import RiskLimitBreached
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.breaks import BreakRow, Looked, record_breaks
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.breaks import BreakLimits, clearing, holds_of, locked_symbols, whose
from scizor_dagster.risk.events import risk_events_of
from scizor_dagster.risk.facts import MarketFacts
from tests.execution.scenario import MONDAY, START, Side, model, order, plan_of, run
from tests.ledger.lived import a_break

LIMITS = BreakLimits(max_open=1, max_value_share=D("0.02"))
BUYS = [order("b-aaa", "AAA", Side.BUY, "2"), order("b-ccc", "CCC", Side.BUY, "10")]
AAA = "locked by break 0123456789ab (quantity) of the account, 2026-03-02: nothing explains 2"
OTHERS = (
    "locked by break 0123456789ab (quantity) of portfolio other, 2026-03-02: nothing explains 2 (cleared by "
    "scizor reconcile --portfolio other --date 2026-03-02)"
)


def opened(ledger: Ledger, *rows: BreakRow) -> None:
    with ledger.transaction() as connection:
        record_breaks(connection, Looked("paper", "main", MONDAY, (), ()), rows, now=START)


def holds(ledger: Ledger, equity: D | None = D(20_000), limits: BreakLimits = LIMITS) -> dict[str | None, str]:
    with ledger.read() as connection:
        return holds_of(connection, "paper", "main", limits, lambda: equity)


def test_nothing_is_asked_of_the_equity_while_no_break_is_open(ledger: Ledger) -> None:
    def fail() -> D:
        raise AssertionError

    with ledger.read() as connection:
        assert holds_of(connection, "paper", "main", LIMITS, fail) == {}


def test_a_break_locks_its_instrument_for_every_portfolio_of_the_account(ledger: Ledger) -> None:
    opened(ledger, a_break(portfolio="other"))
    assert holds(ledger) == {"AAA": OTHERS}
    with ledger.read() as connection:
        assert locked_symbols(connection, "paper") == {"AAA": OTHERS}
        assert locked_symbols(connection, "real") == {}


@pytest.mark.parametrize(
    ("second", "equity", "limits", "words"),
    [
        (
            {"break_id": "b", "symbol": "BBB"},
            D(20_000),
            LIMITS,
            "2 breaks are open, and reconciliation.",
        ),
        (None, D(9_999), LIMITS, "open breaks are worth 200.00 of an equity of 9999.00"),
        (None, None, LIMITS, "no equity is known to measure them by"),
        ({"break_id": "b", "value": None}, D(10**9), BreakLimits(None, D(1)), "nobody can say what break b is worth"),
        ({"break_id": "b", "symbol": None, "locks": "portfolio"}, D(10**9), BreakLimits(), "locked by break b"),
    ],
)
def test_too_many_too_much_or_of_no_instrument_stops_everything(
    ledger: Ledger, second: dict[str, object] | None, equity: D | None, limits: BreakLimits, words: str
) -> None:
    opened(ledger, a_break(), *([a_break(**second)] if second else []))
    assert words in holds(ledger, equity, limits)[None]


def test_an_order_of_unknown_outcome_freezes_by_itself_and_counts_against_no_limit(ledger: Ledger) -> None:
    opened(ledger, *(a_break(break_id=name, locks="order", value=None) for name in "abc"))
    assert holds(ledger) == {}


def test_another_portfolios_break_without_a_lock_is_its_own_matter(ledger: Ledger) -> None:
    opened(ledger, *(a_break(break_id=name, portfolio="other", locks="none") for name in "abc"))
    assert holds(ledger) == {}


def test_up_to_the_limits_the_portfolio_trades(ledger: Ledger) -> None:
    opened(ledger, a_break(locks="none"))
    assert holds(ledger, D(10_000)) == {}
    assert holds(ledger, D(1), BreakLimits(max_open=1)) == {}


def test_the_order_of_a_locked_instrument_waits_and_the_others_go_out(ledger: Ledger) -> None:
    broker = model(ledger)
    opened(ledger, a_break())
    result = run(ledger, broker, plan_of(BUYS))
    assert broker.book.attempts == ["b-ccc"]
    assert any(AAA in note and "scizor reconcile --portfolio main" in note for note in result.notes)
    with ledger.read() as connection:
        (event,) = [row for row in risk_events_of(connection, "paper") if row.client_order_id == "b-aaa"]
    assert (event.limit, event.verdict) == ("open_break", "waiting")


def test_a_break_that_opens_after_the_verdict_holds_the_order_back_before_it_is_sent(ledger: Ledger) -> None:
    broker = model(ledger)
    taken = broker.submit

    def break_opens(request):
        if not broker.book.attempts:
            opened(ledger, a_break(symbol="CCC"), a_break(break_id="b", symbol="DDD"))
        return taken(request)

    broker.submit = break_opens
    facts = {"facts": lambda _: MarketFacts(equity=D(10**9))}
    run(ledger, broker, plan_of([*BUYS, order("b-ddd", "DDD", Side.BUY, "1")]), breaks=BreakLimits(5, D(1)), **facts)
    assert broker.book.attempts == ["b-aaa"]


def test_a_plan_is_not_admitted_while_breaks_are_worth_too_much(ledger: Ledger) -> None:
    broker = model(ledger)
    opened(ledger, a_break(locks="none", symbol=None))
    with pytest.raises(RiskLimitBreached, match=r"open breaks are worth 200.00 of an equity of 10000.00") as stopped:
        run(ledger, broker, plan_of(BUYS), breaks=BreakLimits(None, D("0.019")))
    assert (broker.book.attempts, stopped.value.limit) == ([], "open_break")
    assert run(ledger, broker, plan_of(BUYS), breaks=LIMITS, facts=lambda _: MarketFacts(equity=D(10_000))).state in (
        ExecutionState.DONE,
        ExecutionState.WORKING,
    )


def test_a_break_names_whose_it_is_and_what_clears_it() -> None:
    account, portfolio = a_break(), a_break(portfolio="other")
    assert (whose(account), clearing(account, "main")) == ("the account", "scizor reconcile --portfolio main")
    assert whose(portfolio) == "portfolio other"
    assert clearing(portfolio, "main") == "scizor reconcile --portfolio other --date 2026-03-02"
