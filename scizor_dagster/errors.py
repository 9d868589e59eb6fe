"""The one error tree. Every error says what is wrong, where, and what to do next.

What belongs here: exceptions that cross a package border. What does not: violations that are
collected and reported together (those are rows of a report, see `signals.report`).

Objects carry their inputs as attributes; `str()` is one sentence for a person. Only the asset
edge turns them into `dagster.Failure(allow_retries=False)`, and only the command line turns them
into exit codes.
"""

import re
import shlex
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

_DOUBLE_STOP = re.compile(r"(?<!\.)\.\.(?=\s|$)")


def sentence(text: str) -> str:
    """`text` with a full stop at its end, and no doubled one in it: a cause that was quoted may bring its own."""
    text = _DOUBLE_STOP.sub(".", text.rstrip())
    return text if text.endswith((".", "!", "?", ".)")) else f"{text}."


class ScizorError(Exception):
    """Root of the tree.

    Args:
        problem: What is wrong, with the offending value, as a sentence.
        remedy: What the reader should do next, as a sentence.
        where: File, line, key or instrument that the problem is in.
    """

    exit_code = 1

    def __init__(self, problem: str, *, remedy: str, where: str | None = None) -> None:
        self.problem = sentence(problem)
        self.remedy = _DOUBLE_STOP.sub(".", remedy)
        self.where = where
        super().__init__(self.problem)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.problem} {self.remedy}"

    def __reduce__(self) -> tuple[Any, ...]:
        # A pool of processes sends errors home; one that cannot be made again there takes the whole pool with it.
        return _made_again, (type(self), self.args, self.__dict__)


def _made_again(kind: type[ScizorError], args: tuple[Any, ...], state: dict[str, Any]) -> ScizorError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class NothingDone(ScizorError):
    """Beside another class of this tree: nothing was done, and the remedy is to ask again under the same idempotency
    key. No such answer is kept for the key.
    """


class ConfigError(ScizorError):
    """A configuration that cannot be used: `where` names file, line and key."""

    exit_code = 2


class ParametersRefused(ConfigError):
    """Parameters that a strategy does not take, wherever they were written."""


class DataError(ScizorError):
    """Input data that cannot be used."""


class InputError(DataError):
    """A value or file handed in by the caller that cannot be used (exit code 2, nothing written)."""

    exit_code = 2


class KeyReused(InputError):
    """An idempotency key that another request has: the answer to the second one is not that of the first."""


class NotPlaced(NothingDone, InputError):
    """An order that was not admitted, for a cause that may be gone the next time."""


class NotASession(InputError):
    """A date on which the exchange does not trade."""

    def __init__(self, calendar: str, value: date, nearest: Sequence[date]) -> None:
        self.calendar = calendar
        self.value = value
        self.nearest = tuple(nearest)
        near = " or ".join(day.isoformat() for day in self.nearest)
        super().__init__(
            f"{value.isoformat()} is not a session of {calendar}.",
            remedy=f"Use {near}." if near else "Use a date within the calendar.",
        )


class InputsGone(InputError):
    """A stored plan without anything that can be read beside it of what it was made from."""

    def __init__(self, plan_id: str, problem: str, *, remedy: str, where: str) -> None:
        self.plan_id = plan_id
        super().__init__(problem, remedy=remedy, where=where)


class SnapshotGone(DataError):
    """An earlier state of the lake that clean-up has removed, or that never was."""


class SessionNotClosed(DataError):
    """A session whose bars are asked for before the exchange has closed, or before its prices are final."""

    def __init__(self, calendar: str, session: date, settled_at: datetime) -> None:
        self.calendar = calendar
        self.session = session
        self.settled_at = settled_at
        super().__init__(
            f"Session {session.isoformat()} of {calendar} has not closed, or its closing prices are not final yet.",
            remedy=f"Run again from {settled_at:%Y-%m-%d %H:%M} UTC on; a bar that can still change is never stored.",
        )


SESSION_RULES = frozenset({"no_rows_for_session", "stale"})
"""Rules of a weight file that is in order, but has nothing for the session that was asked for."""


class SignalRefused(DataError):
    """A weight file that was refused whole.

    `violations` holds every one of them; `report` is the `signals.report.SignalReport`, where there is one.
    """

    def __init__(self, strategy: str, path: str, violations: Sequence[object], report: object | None = None) -> None:
        self.strategy = strategy
        self.path = path
        self.violations = tuple(violations)
        self.report = report
        first = f" First: {self.violations[0]}" if self.violations else ""
        command = f"scizor signals check {shlex.quote(path)} --strategy {strategy}"
        session = getattr(report, "session", None) or self._unnamed_session()
        command += f" --date {session}" if session else ""
        advice = "Mend the file and deliver it again"
        if {getattr(item, "rule", "") for item in self.violations} <= SESSION_RULES and self.violations:
            advice = str(getattr(self.violations[0], "remedy", "Deliver the session's weights.")).rstrip(".")
        super().__init__(
            f"Strategy '{strategy}': the weight file was refused with {len(self.violations)} violation(s).{first}",
            remedy=f"{advice}; nothing was traded from it. See all reasons with: {command}",
            where=path,
        )

    def _unnamed_session(self) -> str | None:
        named = (item for item in self.violations if getattr(item, "rule", "") == "no_rows_for_session")
        return next((getattr(item, "value", None) for item in named), None)


class SignalHeld(SignalRefused):
    """A session of a weight file that is in order, and so unusual that a person must approve it first."""

    def __init__(self, strategy: str, path: str, violations: Sequence[object], report: object | None = None) -> None:
        super().__init__(strategy, path, violations, report)
        first = f" First: {self.violations[0]}" if self.violations else ""
        approval = str(getattr(self.violations[0], "remedy", "")) if self.violations else ""
        ScizorError.__init__(
            self,
            f"Strategy '{strategy}': the weights are held for a person, for {len(self.violations)} reason(s).{first}",
            remedy=f"Nothing was traded from them. {approval}".rstrip(),
            where=path,
        )


class PriceUnavailable(DataError):
    """No usable price for an instrument on a session."""


class BrokerError(ScizorError):
    """A broker that answered no, or did not answer."""


class OrderRejected(BrokerError):
    """A definite refusal: the order does not exist at the broker."""

    def __init__(self, client_order_id: str, code: str, message: str) -> None:
        self.client_order_id = client_order_id
        self.code = code
        self.message = message
        super().__init__(
            f"The broker refused order {client_order_id} ({code}): {message}.",
            remedy="See the reason in the order's events; the next plan takes it into account.",
        )


class OutcomeUnknown(BrokerError):
    """A send whose outcome is not known. It is never treated as rejected and never resent blindly."""

    def __init__(self, client_order_id: str, cause: str) -> None:
        self.client_order_id = client_order_id
        self.cause = cause
        super().__init__(
            f"The outcome of order {client_order_id} is unknown: {cause}.",
            remedy="The instrument is frozen until the order is found or proven absent; run again to look it up.",
        )


class BrokerUnavailable(BrokerError):
    """A broker that cannot be read. Nothing was sent."""


class RunStopped(ScizorError):
    """A gate that stops a whole run.

    Args:
        limit: Name of the gate, as a row of `risk_events` has it; empty where no run is stopped but a plan refused.
        value: What was found.
        threshold: What is allowed.
    """

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        where: str | None = None,
        limit: str = "",
        value: str = "",
        threshold: str = "",
    ) -> None:
        self.limit = limit
        self.value = value
        self.threshold = threshold
        super().__init__(problem, remedy=remedy, where=where)


class WrongAccount(RunStopped, BrokerError):
    """The broker's own identity differs from the one pinned in the configuration."""


class RiskLimitBreached(RunStopped):
    """A pre-trade limit that stops more than one instrument."""


class NotNamed(NothingDone, RiskLimitBreached):
    """An order by hand that waits for the name of the plan that its actor has looked at."""


class StaleTick(ScizorError):
    """A trigger that is not of now: too late to act on, or ahead of the clock."""


class LedgerError(ScizorError):
    """A ledger that contradicts itself, or cannot be read or written."""


class CommitInDoubt(LedgerError):
    """A commit whose outcome is not known: its connection was lost before the answer.

    It may have been stored whole or not at all. Nothing may be done on the strength of it; whoever goes on
    reads the ledger first.
    """

    def __init__(self, place: str, cause: str) -> None:
        self.cause = cause
        super().__init__(
            f"The connection to the ledger was lost during a commit: {cause}.",
            remedy="It was stored whole or not at all. Run again: a run reads what the ledger holds before it acts.",
            where=place,
        )


class HandedInMeanwhile(NothingDone, LedgerError):
    """Another process takes a file in for the strategy."""


class AccountBusy(LedgerError):
    """Another process holds the lease of the account."""

    def __init__(self, account: str, holder: str, expires_at: str) -> None:
        self.account = account
        self.holder = holder
        self.expires_at = expires_at
        super().__init__(
            f"Account '{account}' is leased to {holder} until {expires_at}.",
            remedy="Wait for the other run to end; a dead holder's lease expires by itself.",
        )
