"""One run after the other: done in this process, or in one beside it that does nothing else.

What belongs here: doing a run and telling why it failed, and the two ends of the pipe between the processes. What does
not: which runs there are, and what became of them (`runs`).

A run takes the interpreter for itself for tenths of a second at a time (it imports, it collects garbage), and whoever
asks a service in that process waits as long. So a server has its runs done by a process beside it, which gives way and
ends with it: where the pipe closes, the run that is under way is ended as Ctrl-C ends it. What is asked and answered
goes through that pipe, line by line as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from scizor_dagster import logs
from scizor_dagster.errors import ScizorError
from scizor_dagster.settings import PROJECT_ROOT, Settings

logger = logging.getLogger("scizor.api")
NICENESS = 6
"""To give way to who asks the service, and to be done all the same while many ask without a pause."""
_LONGEST_END_SECONDS = 30.0


@dataclass(frozen=True)
class Work:
    """A job to run; `partitions` names the dynamic partitions that `partition` is one of, and is added to."""

    job: str
    run_id: str
    tags: Mapping[str, str]
    config: Mapping[str, Any]
    partition: str | None = None
    partition_range: tuple[str, str] | None = None
    partitions: str | None = None

    @classmethod
    def read(cls, line: str) -> Work:
        values = json.loads(line)
        found = values["partition_range"]
        return cls(**values | {"partition_range": tuple(found) if found is not None else None})

    def written(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def done(settings: Settings, work: Work) -> str:
    """Do it in this process, to its end: why it did not get there, in words; empty where it did."""
    from scizor_dagster.cli.instance import JobRunner, opened_instance

    try:
        with JobRunner.open(settings) as runner:
            if work.partitions is not None and work.partition is not None:
                with opened_instance(settings) as instance:
                    instance.add_dynamic_partitions(work.partitions, [work.partition])
            runner.run(
                work.job,
                partition=work.partition,
                partition_range=work.partition_range,
                config=work.config,
                tags=work.tags,
                raise_on_failed_check=False,
                run_id=work.run_id,
            )
    except ScizorError as error:
        return f"{error.problem} {error.remedy}"
    except KeyboardInterrupt:
        logger.info("Run %s was ended as it was asked.", work.run_id)
        return "It was ended before it was done."
    except Exception as error:
        logger.error("Run %s failed.", work.run_id, exc_info=error)
        return f"It failed with {type(error).__name__}; the log says more."
    return ""


class Worker:
    """The process beside this one. It begins with the first run; one that has died is followed by another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None

    def done(self, work: Work) -> str:
        """As `done`, which one thread calls at a time; also where the process dies, and the run with it."""
        if self._process is not None and self._process.poll() is not None:
            self._end()
        process = self._process or self._begun()
        assert process.stdin is not None
        assert process.stdout is not None
        answer = ""
        try:
            process.stdin.write(work.written())
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError as error:
            logger.warning("The process of run %s does not listen.", work.run_id, exc_info=error)
        if answer:
            return str(json.loads(answer)["problem"])
        code = self._end()
        self._end_dead_runs()
        return f"Its process ended before it did, with code {code}; the log says more."

    def close(self) -> None:
        """End it; nothing is under way."""
        if self._process is not None:
            self._end()

    def _begun(self) -> subprocess.Popen[str]:
        settings, before = self._settings, os.environ.get("PYTHONPATH")
        environment = {
            **os.environ,
            **settings.environment,
            "SCIZOR_CONFIG": str(settings.config_path),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT_ROOT), before))),
        }
        level = str(logging.getLogger().getEffectiveLevel())
        # A Ctrl-C at the terminal is for the service, which waits for the run.
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", __name__, level],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
            process_group=0,
        )
        return self._process

    def _end(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
        except OSError as error:
            logger.debug("The process of the runs was gone already.", exc_info=error)
        try:
            code = process.wait(_LONGEST_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        process.stdout.close()
        return code

    def _end_dead_runs(self) -> None:
        from scizor_dagster.cli.dead_runs import end_dead_runs
        from scizor_dagster.cli.instance import opened_instance

        home = self._settings.dagster_home
        if (home / "dagster.yaml").is_file():
            with opened_instance(self._settings) as instance:
                end_dead_runs(instance, home)


def main() -> None:
    """The process beside: does what it is told, until nobody can tell it any more."""
    # What a step prints is no answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.nice(NICENESS)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    settings = Settings.from_environment(os.environ)
    _log(settings, int(sys.argv[1]))
    asked, busy = SimpleQueue[str | None](), Event()
    Thread(target=_hear, args=(asked, busy), daemon=True).start()
    try:
        while (line := asked.get()) is not None:
            busy.set()
            problem = done(settings, Work.read(line))
            busy.clear()
            answers.write(json.dumps({"problem": problem}) + "\n")
            answers.flush()
    except (KeyboardInterrupt, BrokenPipeError):
        logger.info("The service has ended.")


def _hear(asked: SimpleQueue[str | None], busy: Event) -> None:
    for line in sys.stdin:
        asked.put(line)
    asked.put(None)
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGINT)


def _log(settings: Settings, level: int) -> None:
    from scizor_dagster.config import load_config
    from scizor_dagster.flow.secrets import redaction_of

    redact = redaction_of(load_config(settings.config_path, settings.environment), settings)
    logs.begin(settings.environment, redact, level=level)


if __name__ == "__main__":
    main()
