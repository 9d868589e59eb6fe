"""What every process of this project writes to its log: one line for people, or one JSON object a line for programs.

What belongs here: `LOG_FORMAT` and `LOG_LEVEL`, the form of a line, and the ids that stand in each line of a piece of
work (`bound`). What does not: what is secret (`flow.secrets`, which is handed in), and what a command answers, which is
no log.

A line in JSON has `time` (UTC), `level`, `logger` and `message`, then whatever is known of the work: `run_id`, `job`,
`asset`, `portfolio`, `account`, `session`, `client_order_id`, `request_id`, and `exception` with the whole trace.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from scizor_dagster.settings import LOG_FORMATS, LOG_LEVELS

Redact = Callable[[str], str]
TEXT = "%(levelname)s %(name)s: %(message)s"
DAGSTERS = ("dagster", "dagster-webserver")
"""Loggers that Dagster gives handlers of its own."""
_FROM_DAGSTER = {"run_id": "run_id", "job_name": "job", "step_key": "step"}
_LEFT_OUT = ("dagster_meta", "dagster_event", "_record", "_from_structlog", "color_message")
_ids: ContextVar[Mapping[str, str]] = ContextVar("scizor_log_ids", default={})  # noqa: B039  # never changed in place


@contextmanager
def bound(**ids: object) -> Iterator[None]:
    """Put these into every line of the log from here to the end of the block, in this thread; None is left out."""
    known = {name: str(value) for name, value in ids.items() if value is not None and value != ""}
    before = _ids.set({**_ids.get(), **known})
    try:
        yield
    finally:
        _ids.reset(before)


def wants_json(environment: Mapping[str, str]) -> bool:
    return environment.get("LOG_FORMAT", "text").lower() == "json"


def level_of(environment: Mapping[str, str]) -> str:
    """The level that is asked for; that of a word which is none is WARNING, as `scizor doctor` says."""
    level = environment.get("LOG_LEVEL", "WARNING").upper()
    return level if level in LOG_LEVELS else "WARNING"


def format_problem(environment: Mapping[str, str]) -> str:
    """What is wrong with `LOG_FORMAT`, or nothing."""
    chosen = environment.get("LOG_FORMAT", "text")
    return "" if chosen.lower() in LOG_FORMATS else f"LOG_FORMAT is '{chosen}'; use one of {', '.join(LOG_FORMATS)}."


def begin(environment: Mapping[str, str], redact: Redact, *, level: str | int | None = None) -> None:
    """Log to stderr from here on, in the form and from the level that the environment names, without secrets.

    A process that has handlers already keeps them; they are given the form.
    """
    root = logging.getLogger()
    logging.basicConfig(level=level_of(environment) if level is None else level, format=TEXT)
    for handler in root.handlers:
        dress(handler, environment, redact)
    if wants_json(environment):
        logging.captureWarnings(True)
    if not isinstance(sys.excepthook, _LoggedDeath):
        sys.excepthook = _LoggedDeath(sys.excepthook)
    # Whoever has set one of these already, as a test runner, listens to it.
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _logged_end_of_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _logged_unraisable


def dress_dagster(environment: Mapping[str, str], redact: Redact) -> None:
    """Give what Dagster's own handlers of this process write the form of all others, and keep secrets out of it.

    For each run Dagster makes a logger of its own, which is no part of the tree: it is met when it gets its handler.
    """

    class Dressing(logging.Logger):
        def addHandler(self, hdlr: logging.Handler) -> None:
            if self.name in DAGSTERS:
                dress(hdlr, environment, redact)
            super().addHandler(hdlr)

    logging.setLoggerClass(Dressing)
    for name in DAGSTERS:
        for handler in logging.getLogger(name).handlers:
            dress(handler, environment, redact)


def dress(handler: logging.Handler, environment: Mapping[str, str], redact: Redact) -> None:
    """Let the handler write what the environment asks for; one that was dressed before is dressed anew."""
    if wants_json(environment):
        handler.setFormatter(json_formatter(redact))
        return
    plain = handler.formatter
    handler.setFormatter(Redacting(plain.plain if isinstance(plain, Redacting) else plain, redact))


class Redacting(logging.Formatter):
    """A formatter whose text, traces included, loses its secrets."""

    def __init__(self, plain: logging.Formatter | None, redact: Redact) -> None:
        super().__init__()
        self.plain = plain
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact((self.plain or logging.Formatter()).format(record))


def json_formatter(redact: Redact) -> logging.Formatter:
    """One JSON object for each record, whoever made it."""
    # Imported where it is wanted: it costs a command as much as the rest of its start.
    from structlog.processors import JSONRenderer, format_exc_info
    from structlog.stdlib import ExtraAdder, ProcessorFormatter

    def arranged(logger: Any, name: str, found: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ARG001
        return _arranged(found, redact)

    return ProcessorFormatter(
        foreign_pre_chain=[ExtraAdder(), format_exc_info],
        # A traceback is text here before anybody else keeps it with the record.
        processors=[arranged, JSONRenderer(ensure_ascii=False)],
        keep_exc_info=False,
        use_get_message=True,
    )


def _arranged(found: MutableMapping[str, Any], redact: Redact) -> dict[str, Any]:
    record: logging.LogRecord = found["_record"]
    dagster = getattr(record, "dagster_meta", None) or {}
    ids = {ours: dagster.get(theirs) for theirs, ours in _FROM_DAGSTER.items() if dagster.get(theirs)}
    own = {name: value for name, value in found.items() if name not in (*_LEFT_OUT, "event")}
    head = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": found["event"],
    }
    return {name: _without_secrets(value, redact) for name, value in {**own, **ids, **_ids.get(), **head}.items()}


def _without_secrets(value: Any, redact: Redact) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redact(str(name)): _without_secrets(item, redact) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(item, redact) for item in value]
    return redact(str(value))


class _LoggedDeath:
    """A process that ends by an error says so in its log, as everything else, and so without its secrets."""

    def __init__(self, before: Callable[[type[BaseException], BaseException, TracebackType | None], Any]) -> None:
        self._before = before

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # What Python itself would print of an interruption are the words of whatever was at work.
        if self._before is not sys.__excepthook__ and _interrupted(error):
            self._before(kind, error, trace)
            return
        logging.getLogger("scizor").critical("The process ended with %s.", kind.__name__, exc_info=(kind, error, trace))


def _logged_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if not issubclass(ended.exc_type, SystemExit):
        error = ended.exc_value or ended.exc_type()
        name = ended.thread.name if ended.thread else "unknown"
        logging.getLogger("scizor").critical("Thread %s ended with %s.", name, ended.exc_type.__name__, exc_info=error)


def _logged_unraisable(ignored: sys.UnraisableHookArgs) -> None:
    error = ignored.exc_value or ignored.exc_type()
    what = ignored.err_msg or "Exception ignored"
    logging.getLogger("scizor").error("%s in %r: %s.", what, ignored.object, type(error).__name__, exc_info=error)


def _interrupted(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        # An extension module that is interrupted while it loads fails with an ImportError around it.
        cause = cause.__cause__ or cause.__context__
    return cause is not None
