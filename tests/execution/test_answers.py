"""A broker whose adapter lets something through that no protocol has: what of it could not be understood is named."""

from collections.abc import Callable
from typing import Any

import pytest

from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.execution.answers import Answers
from tests.execution.scenario import MONDAY

CALLS: dict[str, Callable[[Answers], object]] = {
    "capabilities": lambda answers: answers.capabilities,
    "identity": lambda answers: answers.identity(),
    "account": lambda answers: answers.account(),
    "positions": lambda answers: answers.positions(),
    "order b": lambda answers: answers.find("b"),
    "orders": lambda answers: answers.orders(MONDAY),
    "open orders": lambda answers: answers.open_orders(),
    "fills": lambda answers: answers.fills(MONDAY, MONDAY),
    "activities": lambda answers: answers.activities(MONDAY, MONDAY),
    "cancel of b": lambda answers: answers.cancel("b"),
    "phase": lambda answers: answers.phase(MONDAY),
    "session": lambda answers: answers.advance(MONDAY),
}


class Renamed:
    """An adapter of which every call stumbles over a field that is not there."""

    def __getattribute__(self, name: str) -> Any:
        raise KeyError("qty")


@pytest.mark.parametrize("what", CALLS)
def test_an_answer_that_nobody_understands_is_a_broker_that_did_not_answer_and_says_to_what(what: str) -> None:
    with pytest.raises(BrokerUnavailable) as caught:
        CALLS[what](Answers(Renamed()))  # type: ignore[arg-type]
    assert caught.value.problem == f"The broker's answer could not be understood ({what}): KeyError: 'qty'."
