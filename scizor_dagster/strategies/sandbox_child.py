"""The process in which code from outside computes weights: limits first, then walls, then the code, then one answer.

What belongs here: that order. What does not: the walls (`sandbox_walls`), and starting and judging the process
(`sandbox`), which believes nothing of what is answered.
"""

from __future__ import annotations

import gc
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from scizor_dagster.strategies.sandbox_walls import NoWalls, close_in, limit_resources

if TYPE_CHECKING:
    from scizor_dagster.backtest.model import History

FIELDS = ("close", "open", "high", "low", "volume")


def main() -> None:
    """Read what is asked from standard input, and write the answer as JSON to standard output."""
    limit_resources()
    answer = os.dup(1)
    os.dup2(2, 1)  # what prints must not speak into the answer
    reserve = bytearray(1_000_000)
    try:
        body = _answer(sys.stdin.buffer.read())
    except MemoryError:
        del reserve
        gc.collect()
        body = b'{"memory": true}'
    with os.fdopen(answer, "wb") as stream:
        stream.write(body)


def _answer(data: bytes) -> bytes:
    from scizor_dagster.errors import ScizorError
    from scizor_dagster.strategies import deciding
    from scizor_dagster.strategies.prices import AsOf

    asked, history = read_question(data)
    known = AsOf(history)
    try:
        close_in()
    except NoWalls as error:
        return json.dumps({"no_walls": str(error)}).encode()
    try:
        strategy = _strategy(asked)
        window = strategy.window
        made = [deciding.decide(strategy, known.at(row, window)) for row in asked["rows"]]
    except ScizorError as error:
        return json.dumps({"problem": error.problem, "remedy": error.remedy, "where": error.where}).encode()
    return json.dumps({"weights": made}).encode()


def _strategy(asked: dict[str, Any]) -> Any:
    """The strategy of a text."""
    from types import ModuleType

    from scizor_dagster.errors import ConfigError
    from scizor_dagster.strategies.definition import definition_of

    name, text = asked["name"], asked["source"]
    path = f"{name}.py"
    module = ModuleType(f"scizor_strategies.{name}")
    module.__file__ = path
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 - behind the walls, that is the purpose
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"The code cannot be loaded: {type(error).__name__}: {error}.",
            remedy="Mend it and hand it in again.",
            where=path,
        ) from error
    return definition_of(module, name, "code", text).configured(asked["parameters"])


def read_question(data: bytes) -> tuple[dict[str, Any], History]:
    """What is asked, and the prices: a line of JSON, then arrays as NumPy writes them."""
    from datetime import date

    import numpy as np

    from scizor_dagster.backtest.model import Action, ActionKind, History
    from scizor_dagster.instruments import Instrument

    head, _, rest = data.partition(b"\n")
    asked = json.loads(head)
    with np.load(io.BytesIO(rest), allow_pickle=False) as arrays:
        fields = {name: arrays[name] for name in FIELDS if name in arrays.files}
    history = History(
        sessions=tuple(map(date.fromisoformat, asked["sessions"])),
        instruments=tuple(Instrument(symbol, mic, asked["currency"]) for symbol, mic in asked["instruments"]),
        currency=asked["currency"],
        adjustment=asked["adjustment"],
        actions=tuple(Action(ActionKind(kind), row, column, value) for kind, row, column, value in asked["actions"]),
        **fields,
    )
    return asked, history


def written_question(history: History, rows: list[int], name: str, source: str, parameters: Any) -> bytes:
    """The form that `read_question` reads."""
    import numpy as np

    asked = {
        "name": name,
        "source": source,
        "parameters": parameters,
        "rows": rows,
        "sessions": [day.isoformat() for day in history.sessions],
        "instruments": [(item.symbol, item.mic) for item in history.instruments],
        "currency": history.currency,
        "adjustment": history.adjustment,
        "actions": [(item.kind.value, item.row, item.column, item.value) for item in history.actions],
    }
    stream = io.BytesIO()
    arrays = {field: getattr(history, field) for field in FIELDS if getattr(history, field) is not None}
    np.savez(stream, **arrays)
    return json.dumps(asked).encode() + b"\n" + stream.getvalue()
