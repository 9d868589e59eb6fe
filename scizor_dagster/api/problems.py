"""Every error of the services as one kind of answer: `application/problem+json` (RFC 9457).

What belongs here: which error has which status, and what of it is told. What does not: when an error is raised.

The members are those of RFC 9457 (`type`, `title`, `status`, `detail`, `instance`) and the three that every error of
Scizor has: `problem` (what is wrong), `where` and `remedy` (what to do next); `errors` lists fields. `instance` is the
request's id, which stands in the log. An error that nobody has foreseen is told without any detail.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from scizor_dagster import errors
from scizor_dagster.errors import InputError, ScizorError
from scizor_dagster.ledger.api_answers import StillInProgress

logger = logging.getLogger("scizor.api")
MEDIA_TYPE = "application/problem+json"
DOCS = "https://www.rfc-editor.org/rfc/rfc9110#status."
RETRY_SECONDS = 1
_MOST_FINDINGS = 100
_UNSAID = "Something went wrong that nobody has foreseen."
_STATUS: tuple[tuple[type[ScizorError], int], ...] = (
    (errors.InputsGone, 404),
    (errors.SnapshotGone, 404),
    (errors.SignalHeld, 409),
    (errors.SignalRefused, 422),
    (errors.KeyReused, 409),
    (errors.InputError, 422),
    (errors.ConfigError, 503),
    # Nothing was done, and soon it can be: no answer to keep for an idempotency key.
    (errors.AccountBusy, 503),
    (errors.WrongAccount, 409),
    (errors.OrderRejected, 409),
    (errors.OutcomeUnknown, 502),
    (errors.BrokerUnavailable, 503),
    (errors.BrokerError, 502),
    (errors.CommitInDoubt, 503),
    (errors.ScizorError, 409),
)
"""The first that fits. What the stored state does not allow is a conflict: locks, limits, states, sessions."""
_RETRIED = frozenset({429, 503})


class RequestRefused(ScizorError):
    """A request that the services do not take, whatever it is about; `status` says why."""

    status = 400

    def __init__(
        self,
        problem: str,
        *,
        remedy: str,
        where: str | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        fields: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self.status = status or self.status
        self.headers = dict(headers or {})
        self.fields = fields
        super().__init__(problem, remedy=remedy, where=where)


class NotFound(RequestRefused):
    """Nothing of that name, or nothing that this key may see: the answer is the same."""

    status = 404

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"There is no {kind} '{name}'.", remedy="See the list of what there is, without the name.")


class Unauthorized(RequestRefused):
    """No key, or one that opens nothing: the answer does not say which. `cause` is for the audit."""

    status = 401

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(
            "A valid key is needed.",
            remedy="Send one in the header Authorization: Bearer KEY. An operator makes it: scizor keys create.",
            headers={"WWW-Authenticate": 'Bearer realm="scizor"'},
        )


class Forbidden(RequestRefused):
    """A key without the scope."""

    status = 403


class Problem(BaseModel):
    """An error, after RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": f"{DOCS}404",
                "title": "Not Found",
                "status": 404,
                "detail": "There is no portfolio 'other'. See the list of what there is, without the name.",
                "instance": "urn:scizor:request:4bf92f3577b34da6a3ce929d0e0e4736",
                "problem": "There is no portfolio 'other'.",
                "where": None,
                "remedy": "See the list of what there is, without the name.",
                "errors": [],
            }
        }
    )

    type: str = Field(description="Kind of the problem.")
    title: str
    status: int
    detail: str = Field(description="Problem and remedy in one text.")
    instance: str = Field(description="Id of the request; it stands in the log.")
    problem: str = Field(description="What is wrong.")
    where: str | None = Field(description="File, key, field or instrument that it is in.")
    remedy: str = Field(description="What to do next.")
    errors: list[dict[str, str]] = Field(description="Field by field, where fields are wrong.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that may answer with these."""
    return {status: _documented(status) for status in statuses}


def answer_to(error: Exception, request_id: str, redact: Callable[[str], str] = str) -> Response:
    """The answer to an error. One that is not of the tree is logged here with the id, and told without detail."""
    if isinstance(error, RequestValidationError):
        return _invalid(error, request_id)
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
        said = HTTPStatus(error.status_code).phrase
        return answer(error.status_code, f"{said}.", "See /docs for what there is.", request_id, headers=headers)
    if isinstance(error, ScizorError):
        headers = error.headers if isinstance(error, RequestRefused) else {}
        fields = error.fields if isinstance(error, RequestRefused) else ()
        if isinstance(error, StillInProgress):
            headers = {"Retry-After": str(RETRY_SECONDS)}
        status = status_of(error)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("Request %s: %s", request_id, type(error).__name__)
        where = redact(error.where) if error.where else None
        wrong = fields or _findings(error)
        told = [{name: redact(text) for name, text in item.items()} for item in wrong]
        problem, remedy = redact(error.problem), redact(error.remedy)
        return answer(status, problem, remedy, request_id, where=where, fields=told, headers=headers)
    logger.error("Request %s failed.", request_id, exc_info=error)
    return answer(500, _UNSAID, "Look into the log for this request's id.", request_id)


def status_of(error: ScizorError) -> int:
    """The status that says what kind of error it is."""
    if isinstance(error, RequestRefused):
        return error.status
    if isinstance(error, errors.LedgerError) and isinstance(error.__cause__, sa.exc.DBAPIError):
        # The store failed. Else the ledger has said no.
        return 503
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def answer(
    status: int,
    problem: str,
    remedy: str,
    request_id: str,
    *,
    where: str | None = None,
    fields: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem as an answer."""
    body = Problem(
        type=f"{DOCS}{status}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=f"{problem} {remedy}".strip(),
        instance=f"urn:scizor:request:{request_id}",
        problem=problem,
        where=where,
        remedy=remedy,
        errors=[dict(item) for item in fields],
    )
    told = dict(headers or {})
    if status in _RETRIED:
        told.setdefault("Retry-After", str(RETRY_SECONDS))
    return JSONResponse(body.model_dump(), status, told, MEDIA_TYPE)


def request_id_of(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


def wrong_field(field: str, problem: str, remedy: str) -> InputError:
    """A value that cannot be used, of a field or parameter."""
    return InputError(problem, remedy=remedy, where=field)


def _findings(error: ScizorError) -> list[dict[str, str]]:
    """What is wrong with a weight file, finding by finding, under the names of `signals.report.Violation`."""
    if not isinstance(error, errors.SignalRefused):
        return []
    found = []
    for item in error.violations[:_MOST_FINDINGS]:
        place = {name: getattr(item, name, None) for name in ("file", "sheet", "line", "column", "value")}
        said = {"field": "body", **{name: getattr(item, name, "") for name in ("rule", "problem", "remedy")}}
        found.append(said | {name: str(value) for name, value in place.items() if value is not None})
    return found


def _invalid(error: RequestValidationError, request_id: str) -> Response:
    """Fields by name, without their values: whoever sent them has them, and one may be a secret."""
    found = [{"field": ".".join(map(str, item["loc"])), "problem": str(item["msg"])} for item in error.errors()]
    malformed = any(item["type"] == "json_invalid" for item in error.errors())
    first = found[0] if found else {"field": "", "problem": "The request cannot be read"}
    problem = errors.sentence(f"{first['field']}: {first['problem']}")
    remedy = "Correct what is named in `errors`; /docs has every field."
    return answer(400 if malformed else 422, problem, remedy, request_id, fields=found)


def _documented(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
