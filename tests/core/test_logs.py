"""A line of the log: whole JSON or text, with the ids of the work, and without a secret wherever one stands."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scizor_dagster import logs
from scizor_dagster.flow.secrets import late_redaction, redaction_of_environment
from tests.projects import small_project

CANARY = 'CANARY"x9f3e7a1b5c8d2'
PASSWORD = "sword%2Ffish"
ENVIRONMENT = {
    "LOG_FORMAT": "json",
    "MY_API_KEY": CANARY,
    "DATABASE_URL": f"postgresql://scizor:{PASSWORD}@db/ledger",
    "MAIL": "smtp://ann:correcthorse@smtp.example.org",
}


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a logger of its own writes in JSON."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logs.dress(handler, ENVIRONMENT, redaction_of_environment(ENVIRONMENT))
    logger = logging.getLogger("scizor.tried")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield text
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def line(written: io.StringIO) -> dict[str, object]:
    lines = written.getvalue().splitlines()
    assert len(lines) == 1, lines
    return dict(json.loads(lines[0]))


def test_a_line_says_when_how_grave_by_whom_and_what(written: io.StringIO) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    logging.getLogger("scizor.tried").warning("%d bars\nof %s", 3, "AAPL")
    said = line(written)
    at = datetime.fromisoformat(str(said.pop("time")))
    assert before <= at <= datetime.now(UTC)
    assert at.utcoffset() is not None
    assert said == {"level": "warning", "logger": "scizor.tried", "message": "3 bars\nof AAPL"}


@pytest.mark.parametrize(
    "name",
    ["PGPASSWORD", "POLYGON_APIKEY", "API_KEYS", "GITHUB_TOKEN", "A_CREDENTIAL_OF_MINE", "SLACK_TOKEN2", "API_KEY1_ID"],
)
def test_a_variable_is_a_secret_by_its_name_however_that_is_put_together(name: str) -> None:
    assert redaction_of_environment({name: "correcthorse"})("it is correcthorse") == "it is ***"


@pytest.mark.parametrize("name", ["SCIZOR_KEYHOLE", "KEYBOARD", "KEYSTONE_FILE", "TOKENIZER2"])
def test_a_variable_that_only_sounds_alike_is_none(name: str) -> None:
    assert redaction_of_environment({name: "correcthorse"})("it is correcthorse") == "it is correcthorse"


def test_the_ids_of_the_work_stand_in_its_lines_and_in_none_after_it(written: io.StringIO) -> None:
    logger = logging.getLogger("scizor.tried")
    with logs.bound(run_id="r1", portfolio="main", session=None):
        with logs.bound(client_order_id="c1", portfolio="other"):
            logger.info("within")
        logger.info("around")
    logger.info("after")
    found = [json.loads(text) for text in written.getvalue().splitlines()]
    ids = [{name: row[name] for name in row if name not in ("time", "level", "logger")} for row in found]
    assert ids == [
        {"message": "within", "run_id": "r1", "portfolio": "other", "client_order_id": "c1"},
        {"message": "around", "run_id": "r1", "portfolio": "main"},
        {"message": "after"},
    ]


def test_what_dagster_says_of_a_step_stands_in_its_lines(written: io.StringIO) -> None:
    meta = {"run_id": "r1", "job_name": "rebalance", "step_key": "main__executions", "dagster_event": object()}
    logging.getLogger("scizor.tried").info("begun", extra={"dagster_meta": meta, "dagster_event": object()})
    said = line(written)
    assert (said["run_id"], said["job"], said["step"]) == ("r1", "rebalance", "main__executions")
    assert set(said) == {"time", "level", "logger", "message", "run_id", "job", "step"}


@pytest.mark.parametrize("secret", [CANARY, "sword/fish", PASSWORD, "correcthorse", ENVIRONMENT["DATABASE_URL"]])
def test_no_secret_is_told_in_message_argument_field_id_or_trace(written: io.StringIO, secret: str) -> None:
    logger = logging.getLogger("scizor.tried")
    with logs.bound(asset=secret):
        logger.info(f"it is {secret}")
        logger.info("it is %s of %s", secret, {"a": [secret]})
        logger.info("nested", extra={"found": {"a": [{secret: (secret, 1)}]}, "path": Path(f"/x/{secret}")})
        try:
            raise RuntimeError(f"deep inside: {secret}")
        except RuntimeError as error:
            logger.error("failed", exc_info=error)
    lines = written.getvalue().splitlines()
    assert len(lines) == 4
    assert "RuntimeError: deep inside: ***" in json.loads(lines[3])["exception"]
    assert json.loads(lines[2])["found"] == {"a": [{"***": ["***", 1]}]}
    for text in lines:
        assert secret not in text
        assert json.dumps(secret)[1:-1] not in text
        assert json.loads(text)["asset"] == "***"


def test_a_line_for_people_loses_its_secrets_and_nothing_else() -> None:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter(logs.TEXT))
    redact = redaction_of_environment(ENVIRONMENT)
    for _ in range(2):
        logs.dress(handler, {}, redact)
    try:
        raise RuntimeError(CANARY)
    except RuntimeError:
        found = sys.exc_info()
    handler.handle(logging.LogRecord("a.b", logging.WARNING, "f", 1, "%s and so on", (CANARY,), found))
    assert text.getvalue().startswith("WARNING a.b: *** and so on\nTraceback")
    assert CANARY not in text.getvalue()
    assert "RuntimeError: ***" in text.getvalue()


def test_a_word_that_is_no_format_or_level_is_named_and_means_the_default() -> None:
    wrong = {"LOG_FORMAT": "xml", "LOG_LEVEL": "loud"}
    assert logs.format_problem(wrong) == "LOG_FORMAT is 'xml'; use one of text, json."
    assert (logs.wants_json(wrong), logs.level_of(wrong)) == (False, "WARNING")
    assert (logs.format_problem({"LOG_FORMAT": "JSON"}), logs.wants_json({"LOG_FORMAT": "JSON"})) == ("", True)
    assert (logs.format_problem({}), logs.level_of({"LOG_LEVEL": "info"})) == ("", "INFO")


def test_secrets_that_only_the_configuration_leads_to_are_kept_out_from_the_first_line_on(tmp_path: Path) -> None:
    hook = "https://hooks.example.org/T0KENx9f3e7a1b5c8d2"
    project = small_project(tmp_path, notifications={"targets": ["${HOOK}"]})
    redact = late_redaction({**project.environment, "HOOK": hook})
    assert redact("sent to T0KENx9f3e7a1b5c8d2") == "sent to ***"


def test_a_configuration_that_cannot_be_read_leaves_the_secrets_of_the_environment_hidden(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    (tmp_path / "config.yaml").write_text("no: [", encoding="utf-8")
    redact = late_redaction({**project.environment, **ENVIRONMENT})
    assert [redact(f"a {CANARY}"), redact("b")] == ["a ***", "b"]


DIES = """
import os, logging, warnings
from scizor_dagster import logs
from scizor_dagster.flow.secrets import redaction_of_environment
logs.begin(os.environ, redaction_of_environment(os.environ))
if logs.wants_json(os.environ):
    warnings.warn("about CANARYx9f3e7a1b5c8d2")
raise ValueError("died of CANARYx9f3e7a1b5c8d2")
"""
DIES_ELSEWHERE = """
import os, sys, threading
from scizor_dagster import logs
from scizor_dagster.flow.secrets import redaction_of_environment
logs.begin(os.environ, redaction_of_environment(os.environ))
def fail(word="CANARYx9f3e7a1b5c8d2"):
    raise ValueError(f"died of {word}")
class Failing:
    def __del__(self):
        fail()
for work in (fail, sys.exit):
    thread = threading.Thread(target=work, name="worker")
    thread.start()
    thread.join()
Failing()
sys.exit(1)
"""
INTERRUPTED = """
import os, sys
from scizor_dagster import logs
from scizor_dagster.flow.secrets import redaction_of_environment
sys.excepthook = lambda kind, error, trace: print("Interrupted.", file=sys.stderr)
for _ in range(2):
    logs.begin(os.environ, redaction_of_environment(os.environ))
try:
    raise KeyboardInterrupt
except KeyboardInterrupt as error:
    raise ImportError("half of a library") from error
"""


def died(project_root: Path, form: str, dies: str = DIES) -> str:
    """What a process says on stderr that begins its log in the form, and ends by an error."""
    environment = {"LOG_FORMAT": form, "A_SECRET": "CANARYx9f3e7a1b5c8d2", "PYTHONPATH": str(project_root)}
    ended = subprocess.run(
        [sys.executable, "-c", dies], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr


def test_a_process_that_dies_says_so_in_one_line_of_json_too(project_root: Path) -> None:
    warned, last = (json.loads(text) for text in died(project_root, "json").splitlines())
    assert (warned["logger"], warned["level"]) == ("py.warnings", "warning")
    assert "about ***" in warned["message"]
    assert (last["level"], last["message"]) == ("critical", "The process ended with ValueError.")
    assert last["exception"].endswith("ValueError: died of ***")


def test_a_process_that_dies_tells_people_why_without_its_secrets(project_root: Path) -> None:
    said = died(project_root, "text")
    assert "CANARY" not in said
    assert "CRITICAL scizor: The process ended with ValueError.\nTraceback" in said
    assert said.endswith("ValueError: died of ***\n")
    assert said.count("ValueError: died") == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_thread_that_dies_and_an_error_nobody_can_catch_are_told_without_secrets(
    project_root: Path, form: str
) -> None:
    said = died(project_root, form, DIES_ELSEWHERE)
    assert "CANARY" not in said
    assert (said.count("Thread worker ended with ValueError."), said.count("Failing.__del__")) == (1, 1)
    assert said.count("ValueError: died of ***") == 2


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_interruption_is_left_to_whoever_has_words_for_it(project_root: Path, form: str) -> None:
    assert died(project_root, form, INTERRUPTED) == "Interrupted.\n"
