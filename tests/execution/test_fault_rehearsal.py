"""Executions at the embedded exchange while calls go wrong by script: the words of all doors, met in process."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.rehearsal import AFTER, BEFORE, WORDS, RehearsalBroker
from scizor_dagster.errors import BrokerUnavailable, ConfigError, OutcomeUnknown
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.paper_exchange.faults import FaultKind, FaultScript
from tests.execution.scenario import MONDAY, resume, run
from tests.execution.test_paper_rehearsal import PAPER, _books, _data, _monday, _paper
from tests.paper_exchange.market import request


@pytest.fixture
def paper(ledger: Ledger) -> PaperBroker:
    return _paper(ledger, _data())


@pytest.fixture
def troubled(paper: PaperBroker) -> Callable[..., RehearsalBroker]:
    def make(*rules: dict[str, object]) -> RehearsalBroker:
        return RehearsalBroker(paper, FaultScript.of(*({"door": "in_process", **rule} for rule in rules)), "paper")

    return make


def one(**changes: object):
    return request(**({"session": MONDAY, "symbol": "AAA", "id": "one"} | changes))


def undisturbed(tmp_path, plan):
    calm = Ledger.open(f"sqlite:///{tmp_path / 'calm.sqlite'}", synchronous="OFF")
    broker = _paper(calm, _data())
    assert run(calm, broker, plan, **PAPER).state is ExecutionState.DONE
    return _books(calm, broker)


@pytest.mark.parametrize("kind", [*sorted(BEFORE | AFTER), FaultKind.VISIBILITY_LAG])
def test_a_send_that_goes_wrong_ends_in_the_books_of_an_undisturbed_execution(kind, ledger, tmp_path, paper, troubled):
    result = run(ledger, troubled({"call": "submit", "nth": 1, "kind": kind}), _monday(), **PAPER)
    if result.state is not ExecutionState.DONE:
        result = resume(ledger, paper, **PAPER)
    assert result.state is ExecutionState.DONE
    assert _books(ledger, paper) == undisturbed(tmp_path, _monday())


@pytest.mark.parametrize("kind", sorted(BEFORE))
def test_an_order_that_was_lost_on_its_way_is_never_taken_for_rejected(kind, ledger, paper, troubled):
    broker = troubled({"call": "submit", "nth": 1, "kind": kind})
    with pytest.raises(OutcomeUnknown):
        broker.submit(one())
    assert paper.find("one") is None
    assert broker.submit(one()).client_order_id == "one", "one fault strikes one call"


@pytest.mark.parametrize("kind", sorted(BEFORE | AFTER))
@pytest.mark.parametrize("call", ["find", "orders", "open_orders", "positions", "account", "fills", "activities"])
def test_a_read_that_fails_says_so_and_is_no_empty_answer(call, kind, troubled):
    broker = troubled({"call": call, "nth": 1, "kind": kind})
    arguments = {"find": ("one",), "orders": (MONDAY,), "fills": (MONDAY, MONDAY), "activities": (MONDAY, MONDAY)}
    with pytest.raises(BrokerUnavailable, match=kind):
        getattr(broker, call)(*arguments.get(call, ()))
    getattr(broker, call)(*arguments.get(call, ()))


def test_an_order_that_is_not_visible_yet_is_not_proven_absent(troubled):
    broker = troubled({"call": "submit", "nth": 1, "kind": "visibility_lag", "detail": {"reads": 2}})
    broker.submit(one())
    for look in (lambda: broker.find("one"), broker.open_orders):
        with pytest.raises(BrokerUnavailable):
            look()
    found = broker.find("one")
    assert found is not None
    assert found.client_order_id == "one"


def test_a_slow_cancel_arrives_after_so_many_looks(paper, troubled):
    broker = troubled({"call": "cancel", "nth": 1, "kind": "slow_cancel", "detail": {"reads": 2}})
    broker.submit(one())
    broker.cancel("one")
    statuses = [broker.find("one").status for _ in range(2)]
    assert statuses == ["accepted", "canceled"]


def test_a_cancel_whose_answer_is_lost_was_carried_out(paper, troubled):
    broker = troubled({"call": "cancel", "nth": 1, "kind": "reply_lost_after"})
    broker.submit(one())
    with pytest.raises(BrokerUnavailable):
        broker.cancel("one")
    assert paper.find("one").status == "canceled"


def test_positions_can_be_old_or_none(paper, troubled):
    broker = troubled(
        {"call": "positions", "nth": 1, "kind": "stale_positions"},
        {"call": "positions", "nth": 2, "kind": "empty_positions"},
    )
    broker.submit(one(qty=5))
    while broker.advance(MONDAY):
        pass
    old, none, now = broker.positions(), broker.positions(), broker.positions()
    assert (list(old), list(none), [(row.symbol, row.qty) for row in now]) == ([], [], [("AAA", Decimal(5))])


def test_positions_that_no_order_of_this_process_has_changed_are_not_old(paper, troubled):
    paper.submit(one(qty=5))
    while paper.advance(MONDAY):
        pass
    broker = troubled({"call": "positions", "nth": 1, "kind": "stale_positions"})
    assert [(row.symbol, row.qty) for row in broker.positions()] == [("AAA", Decimal(5))]


def test_a_slow_cancel_loses_to_a_fill(troubled):
    broker = troubled({"call": "cancel", "nth": 1, "kind": "slow_cancel", "detail": {"reads": 1}})
    broker.submit(one())
    broker.cancel("one")
    while broker.advance(MONDAY):
        pass
    assert broker.find("one").status == "filled"


@pytest.mark.parametrize("kind", sorted(set(FaultKind) - WORDS))
def test_a_word_that_cannot_be_met_in_process_is_refused_with_those_that_can(kind, troubled):
    with pytest.raises(ConfigError, match=f"'{kind}' cannot be met in process") as caught:
        troubled({"call": "submit", "nth": 1, "kind": kind})
    assert caught.value.where == "accounts.paper.exchange.faults"
    assert "reply_lost_after" in caught.value.remedy
