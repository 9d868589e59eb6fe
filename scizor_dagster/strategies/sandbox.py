"""Code that came from outside, computing weights in a process of its own that can do nothing else.

What belongs here: starting that process, its time, and judging what it answers. What does not: the walls around it
(`sandbox_walls`), what runs behind them (`sandbox_child`), and whether a code may run at all (`flow.strategy_code`).

Nothing of the code is imported, compiled or executed in the process that calls this. Its answer is taken for what
anybody might have written: weights of the symbols that were shown, or nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scizor_dagster.errors import ConfigError, DataError, ScizorError
from scizor_dagster.settings import PROJECT_ROOT
from scizor_dagster.signals.sandbox import KEPT_VARIABLES, ONE_THREAD, TimeOver, exchange
from scizor_dagster.strategies.deciding import DIGITS
from scizor_dagster.strategies.prices import AsOf
from scizor_dagster.strategies.sandbox_child import written_question
from scizor_dagster.strategies.sandbox_walls import CPU_SECONDS, MEMORY_BYTES

if TYPE_CHECKING:
    from scizor_dagster.backtest.model import History

TIMEOUT_SECONDS = 90.0
"""Until the answer, by the clock: what sleeps takes no processor time."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_SOURCE_BYTES = 256 * 1024
MAX_QUESTION_BYTES = 256 * 1024 * 1024
_LONGEST_SAID = 500
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from scizor_dagster.strategies.sandbox_child import main; main()"
)
_MEND = "Mend the code and hand it in again; nothing was taken from this run."


class NotIsolated(ScizorError):
    """This machine cannot keep strategy code apart, so that it runs none."""


def weights_in_sandbox(
    history: History, rows: list[int], name: str, source: str, parameters: Mapping[str, Any] | None = None
) -> list[dict[str, float] | None]:
    """Weights that a code decides on the closes of these rows of a history, as `strategies.deciding.weights_at`.

    What is in the history can be read by the code: one that decides for a session to come must be given none after it.

    Args:
        history: Prices up to the last of `rows`.
        rows: Indices of sessions, each a decision as of its close.
        name: What the code is called, in errors.
        source: A module with a strategy, as a file of the strategies' folder is.
        parameters: Of the strategy.

    Raises:
        NotIsolated: the walls cannot be had here; nothing was run.
        DataError: it fails, takes too much, or answers no weights.
    """
    question = written_question(history, rows, name, source, dict(parameters or {}))
    if len(source.encode()) > MAX_SOURCE_BYTES or len(question) > MAX_QUESTION_BYTES:
        raise DataError(
            f"Code '{name}' and its prices are too large for a process of its own.",
            remedy=f"Send at most {MAX_SOURCE_BYTES} bytes of code, and ask for fewer sessions.",
        )
    answer, code = _asked(question, name)
    return _weights(_said(answer, code, name), history, rows, name)


def _asked(question: bytes, name: str) -> tuple[bytes, int]:
    """What the child has answered, and how it ended."""
    command = [sys.executable, "-I", "-B", "-c", _PROGRAM, str(PROJECT_ROOT)]
    kept = {key: os.environ[key] for key in KEPT_VARIABLES if key in os.environ}
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 -- our own interpreter and program
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=ONE_THREAD | kept, cwd="/", start_new_session=True
    ) as process:
        try:
            answer, _ = exchange(process, question, TIMEOUT_SECONDS, MAX_ANSWER_BYTES)
            return bytes(answer), process.wait(TIMEOUT_SECONDS)
        except (TimeOver, subprocess.TimeoutExpired) as error:
            raise _refused(name, f"gave no answer within {TIMEOUT_SECONDS:g} seconds") from error
        finally:
            process.kill()


def _said(answer: bytes, code: int, name: str) -> dict[str, Any]:
    """The answer as an object of JSON; what it means is not known yet."""
    if code == -signal.SIGXCPU or code == -signal.SIGKILL:
        raise _refused(name, f"takes more than {CPU_SECONDS} seconds of processor time")
    if len(answer) > MAX_ANSWER_BYTES:
        raise _refused(name, f"answered more than {MAX_ANSWER_BYTES} bytes")
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise _refused(name, f"ended with code {code} and without an answer") from error
    if not isinstance(said, dict):
        raise _refused(name, "answered something else than weights")
    if said.get("memory") is True:
        raise _refused(name, f"takes more than {MEMORY_BYTES // (1024 * 1024)} MiB of memory")
    if "no_walls" in said:
        raise NotIsolated(
            f"Strategy code cannot be kept apart on this machine: {_text(said['no_walls'])}.",
            remedy="Nothing was run. Use Linux 6.2 or later on x86_64 with Landlock and seccomp, or send weight files.",
        )
    if "problem" in said:
        problem, remedy = _text(said["problem"]), _text(said.get("remedy"))
        raise DataError(problem, remedy=remedy or _MEND, where=_text(said.get("where")) or f"code {name}")
    return said


def _weights(said: dict[str, Any], history: History, rows: list[int], name: str) -> list[dict[str, float] | None]:
    made = said.get("weights")
    if not isinstance(made, list) or len(made) != len(rows):
        raise _refused(name, "answered another number of decisions than it was asked for")
    listed = AsOf(history).listed
    symbols = [item.symbol for item in history.instruments]
    found: list[dict[str, float] | None] = []
    for row, decided in zip(rows, made, strict=True):
        shown = {symbol for symbol, is_listed in zip(symbols, listed[row], strict=True) if is_listed}
        found.append(None if decided is None else _decision(decided, shown, name))
    return found


def _decision(decided: Any, shown: set[str], name: str) -> dict[str, float]:
    if not isinstance(decided, dict) or not decided.keys() <= shown:
        raise _refused(name, "answered weights of something that it was not shown")
    for weight in decided.values():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) < 1e6:
            raise _refused(name, "answered a weight that is no number")
    rounded = {symbol: round(float(decided[symbol]), DIGITS) for symbol in sorted(decided)}
    return {symbol: weight for symbol, weight in rounded.items() if weight}


def _refused(name: str, what: str) -> DataError:
    return DataError(f"Code '{name}' {what}.", remedy=_MEND, where=f"code {name}")


def _text(value: object) -> str:
    """Words of the child's, so short and so plain that they can stand anywhere."""
    said = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else " " for character in said)[:_LONGEST_SAID]


def require_name(name: str) -> None:
    """Refuse what no strategy is called.

    Raises:
        ConfigError: it is no name.
    """
    import re

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name):
        raise ConfigError(
            f"'{_text(name)}' is no name of a strategy.",
            remedy="Use lower-case letters, digits and '_', at most 31 of them, a letter first.",
        )
