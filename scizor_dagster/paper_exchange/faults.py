"""What may go wrong between a client and the exchange, as a script: the words that all doors share.

What belongs here: the fault words, the rules of a script and which call meets which fault. What does
not: carrying a fault out, which every door does in its own way.

A script is a YAML file; a rule says when it applies by exactly one of `nth`, `every` and `probability`:

    seed: 7
    rules:
      - {door: alpaca, call: submit_order, nth: 3, kind: gateway_timeout_after}
      - {door: tws, call: place_order, every: 10, kind: reset}
      - {door: alpaca, call: "*", probability: 0.01, kind: server_error, detail: {status: 503}}

The same script, seed and calls give the same faults; the first rule of a call that applies is met.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

from pydantic import Field, model_validator

from scizor_dagster.config import Model, validated
from scizor_dagster.errors import ConfigError
from scizor_dagster.paper_exchange.venue import Fault
from scizor_dagster.strict_yaml import read_yaml

ANY_CALL = "*"


class FaultKind(StrEnum):
    """The fault words. `after` and `before` are of the exchange's taking the request.

    A door refuses no word at the start that it has no use for; it meets it where its calls can.
    """

    REPLY_LOST_BEFORE = "reply_lost_before"
    """The connection drops; nothing was taken."""
    REPLY_LOST_AFTER = "reply_lost_after"
    """The request is carried out, and the connection drops before the reply."""
    RATE_LIMITED = "rate_limited"
    """Refused for too many requests, whatever was sent before."""
    SERVER_ERROR = "server_error"
    """`detail.status`: 500, 502 or 503; nothing was taken."""
    GATEWAY_TIMEOUT_BEFORE = "gateway_timeout_before"
    GATEWAY_TIMEOUT_AFTER = "gateway_timeout_after"
    HTML_BODY = "html_body"
    """The request is carried out, and a page of HTML comes back with `detail.status` (200)."""
    UNAUTHORIZED = "unauthorized"
    """Refused for its keys with `detail.status` (401, or 403), which were good until now; nothing was taken."""
    TRUNCATED = "truncated"
    """The request is carried out, and the connection ends in the middle of its reply."""
    GARBAGE = "garbage"
    """Carried out, and the reply is no message at all."""
    EMPTY_REPLY = "empty_reply"
    """Carried out, and the reply has nothing in it."""
    OTHER_REPLY = "other_reply"
    """Carried out, and the reply is the one that the same call had before, of another order."""
    DUPLICATE_REPLY = "duplicate_reply"
    """Carried out, and the reply comes twice."""
    DELIVERED_TWICE = "delivered_twice"
    """Carried out twice, and the reply is that to the second one."""
    UNKNOWN_FIELD = "unknown_field"
    """Carried out, and the reply has a field that nobody knows."""
    LATE_REPLY = "late_reply"
    """Carried out, and the reply comes when `detail.requests` (1) more have come."""
    HANG = "hang"
    """Carried out, and never answered: the connection stays open until the client leaves it."""
    RESET = "reset"
    """The connection is reset; nothing was taken."""
    DISCONNECT = "disconnect"
    """The door closes the connection in order, in the middle of whatever is under way."""
    SLOW_CANCEL = "slow_cancel"
    """A cancel is taken and stays pending, and can lose to a fill: for `detail.reads` looks at the order (3), or for
    `detail.seconds` of the exchange's clock."""
    FILL_DURING_CANCEL = "fill_during_cancel"
    """A cancel is taken, and the order fills before it arrives."""
    REJECT_LATER = "reject_later"
    """An order is taken and then rejected."""
    PARTIAL_THEN_CANCEL = "partial_then_cancel"
    """Half of an order fills, the rest is canceled."""
    STUCK = "stuck"
    """An order stays as it is: no fill, no end, and a cancel that stays pending."""
    DUPLICATE_EVENT = "duplicate_event"
    SWAPPED_EVENTS = "swapped_events"
    """An event arrives after the one that follows it."""
    MISSED_EVENT = "missed_event"
    STALE_POSITIONS = "stale_positions"
    """The positions as they were before the newest order."""
    EMPTY_POSITIONS = "empty_positions"
    VISIBILITY_LAG = "visibility_lag"
    """A new order is not found for `detail.reads` looks (2)."""
    UNKNOWN_ENUM = "unknown_enum"
    """`detail.value` (`held_for_review`) in place of an order's status."""
    BUST = "bust"
    """An execution is taken back."""
    CORRECTION = "correction"
    """An execution is corrected: the same one, with a new revision."""
    CONNECTION_LOST = "connection_lost"
    """The exchange behind the door is out of reach and comes back with data lost, unless `detail.kept`."""
    RESTART = "restart"
    """The door restarts: connections close, and ids that were handed out are forgotten."""
    CODE = "code"
    """The message code `detail.code` about the order, e.g. 10349, which ends nothing."""


class FaultRule(Model):
    """When one fault is met.

    Attributes:
        call: Name of a call at the door, or `*` for each of them.
        nth: The n-th matching call, counted from 1, and no other.
        every: Every n-th matching call.
        probability: By chance, from the script's seed.
    """

    door: Literal["alpaca", "tws", "in_process"]
    call: Annotated[str, Field(min_length=1)] = ANY_CALL
    nth: Annotated[int, Field(ge=1)] | None = None
    every: Annotated[int, Field(ge=1)] | None = None
    probability: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    kind: str
    detail: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_occasion(self) -> FaultRule:
        if sum(value is not None for value in (self.nth, self.every, self.probability)) != 1:
            raise ValueError("a rule needs exactly one of nth, every and probability")
        if self.kind not in set(FaultKind):
            raise ValueError(f"'{self.kind}' is no fault; the words are {', '.join(FaultKind)}")
        return self


class FaultRules(Model):
    seed: int = 0
    rules: tuple[FaultRule, ...] = Field(min_length=1)


class FaultScript:
    """A script at work; safe to ask from several threads."""

    def __init__(self, rules: FaultRules) -> None:
        self._rules = rules.rules
        self._chance = random.Random(rules.seed)  # noqa: S311 - reproducible faults, not secrets
        self._seen = [0] * len(rules.rules)
        self._lock = Lock()

    @classmethod
    def of(cls, *rules: Mapping[str, object], seed: int = 0) -> FaultScript:
        """A script from rules in plain values, as the file has them."""
        return cls(FaultRules(seed=seed, rules=tuple(FaultRule.model_validate(dict(rule)) for rule in rules)))

    @classmethod
    def read(cls, path: Path, environment: Mapping[str, str]) -> FaultScript:
        """Read a script from a YAML file.

        Raises:
            ConfigError: a file that cannot be read, an unknown key or word, or a rule without its occasion;
                with file, line and remedy.
        """
        document = read_yaml(path, environment)
        try:
            return cls(validated(FaultRules, document.value, document))
        except ConfigError as error:
            remedy = "Correct the line; the module paper_exchange.faults lists every word with its meaning."
            raise ConfigError(error.problem, remedy=remedy, where=error.where) from error

    def words(self, door: str) -> frozenset[str]:
        """Fault words of the rules for `door`."""
        return frozenset(rule.kind for rule in self._rules if rule.door == door)

    def next(self, door: str, call: str) -> Fault | None:
        """The fault that this call meets. Every rule that matches counts the call, also where another one is met."""
        met: Fault | None = None
        with self._lock:
            for index, rule in enumerate(self._rules):
                if rule.door != door or rule.call not in (ANY_CALL, call):
                    continue
                self._seen[index] += 1
                if self._applies(rule, self._seen[index]) and met is None:
                    met = Fault(rule.kind, rule.detail)
        return met

    def _applies(self, rule: FaultRule, count: int) -> bool:
        if rule.nth is not None:
            return count == rule.nth
        if rule.every is not None:
            return count % rule.every == 0
        return self._chance.random() < (rule.probability or 0.0)
