"""Dagster's webserver, asked by its GraphQL client to run a job or to end a run.

What belongs here: whether it answers for the same home, with a daemon that begins what is queued; and handing over.
What does not: which job (`runs`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scizor_dagster.api.problems import RequestRefused

if TYPE_CHECKING:
    from dagster_graphql import DagsterGraphQLClient

logger = logging.getLogger("scizor.api")
ANSWERS_WITHIN = 3
SUBMITS_WITHIN = 60
_STATE = "{ instance { info daemonHealth { allDaemonStatuses { daemonType healthy } } } }"
_DAEMON = "QUEUED_RUN_COORDINATOR"


class NotTaken(RequestRefused):
    """The webserver answers, and did not do what it was asked."""

    status = 503


class Webserver:
    """The webserver at `url`, where it serves the instance in `dagster_home`."""

    def __init__(self, url: str, dagster_home: Path) -> None:
        self._url = url
        self._home = dagster_home

    def takes_runs(self) -> bool:
        """Whether a run that is handed over would begin: it answers, for this home, and its daemon lives."""
        try:
            found = self._client(ANSWERS_WITHIN)._execute(_STATE)["instance"]
        except Exception as error:
            logger.debug("No webserver of Dagster's at %s: %s", self._url, type(error).__name__)
            return False
        if f"base_dir: {self._home}\n" not in str(found["info"]):
            logger.warning("The webserver at %s serves another home; runs are done here.", self._url)
            return False
        daemons = {item["daemonType"]: item["healthy"] for item in found["daemonHealth"]["allDaemonStatuses"]}
        if not daemons.get(_DAEMON):
            logger.warning("The webserver at %s has no daemon that begins runs; they are done here.", self._url)
            return False
        return True

    def submit(self, job: str, config: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Have a job run; the id of the run.

        Raises:
            NotTaken: it was not taken.
        """
        try:
            client = self._client(SUBMITS_WITHIN)
            return client.submit_job_execution(job, run_config=dict(config), tags=dict(tags))
        except Exception as error:
            raise self._not_taken(f"job {job}", error) from error

    def end(self, run_id: str) -> None:
        """End a run.

        Raises:
            NotTaken: it was not ended.
        """
        try:
            self._client(SUBMITS_WITHIN).terminate_run(run_id)
        except Exception as error:
            raise self._not_taken(f"run {run_id[:8]}", error) from error

    def _client(self, timeout: int) -> DagsterGraphQLClient:
        from dagster_graphql import DagsterGraphQLClient

        address = urlsplit(self._url)
        return DagsterGraphQLClient(
            address.hostname or "",
            port_number=address.port,
            use_https=address.scheme == "https",
            timeout=timeout,
            path_prefix=address.path.rstrip("/"),
        )

    def _not_taken(self, what: str, error: Exception) -> NotTaken:
        # Its words may hold the whole configuration of a run.
        logger.warning("Dagster's webserver did not take %s: %s", what, type(error).__name__)
        return NotTaken(
            "Dagster's webserver did not take it.",
            remedy="Look at it and its log; without a webserver the run is done here.",
            where=what,
        )
