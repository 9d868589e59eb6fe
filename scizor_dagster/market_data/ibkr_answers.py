"""What IBKR's errors mean for a question about prices: nothing there, come again, not for you, or a failure.

What belongs here: from a code and its text to one `Answered`. What does not: the table of codes (`brokers.ibkr.codes`),
and what is done about an answer (`ibkr`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scizor_dagster.brokers.ibkr.codes import History, Meaning, history, meaning
from scizor_dagster.errors import DataError
from scizor_dagster.market_data.provider import FailureReason

COMPETING_SESSION = 10197
"""No data while the same user looks at it elsewhere: that ends, and says nothing about one symbol."""
_FAILURES = {History.CANCELLED: FailureReason.CANCELLED, History.OTHER: FailureReason.REFUSED_QUESTION}
_OF_THE_SYSTEM = (Meaning.BACK_OFF, Meaning.LOST, Meaning.FARM_DOWN)


class Answered(DataError):
    """An error message in answer to a request for data.

    Attributes:
        empty: There is no data.
        retry: It may be asked for again, later.
        denied: The account may not see it.
        failure: What has gone wrong with this one symbol; None where it is the system's fault, or none.
        words: IBKR's, with the code.
    """

    def __init__(
        self,
        code: int,
        text: str,
        *,
        empty: bool = False,
        retry: bool = False,
        denied: bool = False,
        failure: FailureReason | None = None,
    ) -> None:
        self.code, self.empty, self.retry, self.denied, self.failure = code, empty, retry, denied, failure
        self.words = f"{code}: {text}"
        super().__init__(f"IBKR says {self.words}", remedy="See the error codes of the TWS API.")


@contextmanager
def errors_read() -> Iterator[None]:
    """Errors that the library raises with a code become `Answered`; others are what they are."""
    try:
        yield
    except Exception as failure:
        code = getattr(failure, "code", None)
        if code is None:
            raise
        raise _answered(int(code), str(getattr(failure, "message", failure))) from failure


def _answered(code: int, text: str) -> Answered:
    """What an error means for a request: nothing there, come again later, a fault of the symbol's or of the system."""
    what = meaning(code)
    if what is Meaning.HISTORY:
        said = history(text)
        # A text in another language may be either: it is tried again a few times, and never taken for "no data".
        return Answered(
            code,
            text,
            empty=said is History.NO_DATA,
            retry=said in (History.PACING, History.OTHER),
            denied=said is History.PERMISSION,
            failure=_FAILURES.get(said),
        )
    if what is Meaning.NO_DATA_RIGHTS:
        return Answered(code, text, denied=code != COMPETING_SESSION)
    failure = None if what in _OF_THE_SYSTEM else FailureReason.REFUSED_QUESTION
    return Answered(code, text, retry=what is Meaning.BACK_OFF, failure=failure)
