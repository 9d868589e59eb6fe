"""`GET /metrics`: the figures of all stores, for Prometheus.

What belongs here: who may ask, and handing Dagster's state to the monitor. What does not: the figures (`monitoring`).

A key with the scope `metrics` opens this and nothing else, so that one which stands in the configuration of
Prometheus is worth little. It is asked at its usual address, `/metrics`, beside `/api`.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Depends, Response

from scizor_dagster.api.context import Context, TheContext
from scizor_dagster.api.problems import RequestRefused
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.cli.dagster_figures import dagster_figures
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.monitoring.exposition import CONTENT_TYPE, Busy, Monitor, parts_of

router = ApiRouter("metrics", prefix="")


class Monitoring:
    """The application's one monitor, made when it is first asked."""

    def __init__(self) -> None:
        self._monitor: Monitor | None = None

    def of(self, context: Context) -> Monitor:
        if self._monitor is None:
            parts = parts_of(lambda: context.desk, partial(dagster_figures, context.settings, context.clock))
            self._monitor = Monitor(parts, context.clock)
        return self._monitor


class Figures(Response):
    """Text as Prometheus reads it."""

    media_type = "text/plain"


@router.get(
    "/metrics",
    summary="The figures of all stores, for Prometheus",
    response_class=Figures,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The figures."}},
)
def metrics(context: TheContext, actor: Annotated[Actor, Depends(require(Scope.METRICS, Reach.LISTED))]) -> Response:
    """Prices, orders, portfolios, stores and Dagster's runs, read at most every ten seconds; see the handbook.

    A part that cannot be read has `scizor_up` 0, and the others are answered. Figures of accounts that the key may not
    see are left out.
    """
    try:
        text = context.part(Monitoring).of(context).text(actor.may_see)
    except Busy as busy:
        raise RequestRefused(busy.problem, remedy=busy.remedy, status=503, headers={"Retry-After": "15"}) from busy
    return Response(text, headers={"Content-Type": CONTENT_TYPE})
