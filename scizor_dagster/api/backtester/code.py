"""`/api/strategy-code`: code from outside, as text. Off unless the configuration says otherwise.

What belongs here: handing it in, looking at it, having approved code run. What does not: approving, which is done on
the command line of the machine and nowhere else (`scizor strategy approve-code`).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from fastapi import Depends, Path, Request, Response
from pydantic import ConfigDict, Field

from scizor_dagster.api.backtester.signals import SignalsTaken, require_file_strategy
from scizor_dagster.api.backtester.strategies import NAME, Reason, Values
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import Forbidden, NotFound
from scizor_dagster.api.rates import Places
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.handing_in import Sender
from scizor_dagster.flow.strategy_code import MOST_SESSIONS, run_code, submit_code
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.strategy_code import CodeRow, CodeVerdict, code_named, codes_of, verdicts_of
from scizor_dagster.strategies.sandbox import MAX_SOURCE_BYTES

router = ApiRouter("strategy code")
Keeper = Annotated[Actor, Depends(require(Scope.ADMIN, Reach.SHARED))]
Runner = Annotated[Actor, Depends(require(Scope.UPLOAD, Reach.ACCOUNT))]
CodeHash = Annotated[
    str, Path(pattern=r"^[0-9a-f]{12,64}$", description="SHA-256 of the code, or its first 12 digits and more.")
]
_RUNNING = Places(1, "runs of strategy code")
"""Each may take a GiB and half a minute of a processor."""
_SOURCE = (
    "def weights(prices):\n"
    '    """The same share of everything that is listed."""\n'
    "    return {symbol: 0.9 / len(prices.symbols) for symbol in prices.symbols}\n"
)


class NewCode(Model):
    """Code to keep: a module with a strategy, as docs/strategies.md describes one."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "evenly", "source": _SOURCE, "reason": "to be looked at"}}
    )

    name: Annotated[str, Field(pattern=NAME)]
    source: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_BYTES)]
    reason: Reason


class Word(Model):
    """What an operator said of a code."""

    approved: bool
    by: str
    reason: str
    at: datetime

    @classmethod
    def of(cls, row: CodeVerdict) -> Word:
        return cls(approved=row.approved, by=row.actor, reason=row.reason, at=row.at)


class CodeSummary(Model):
    """A code that was handed in."""

    sha256: str
    name: str
    size: int
    handed_in_by: str
    handed_in_at: datetime
    reason: str
    approved: bool = Field(description="Whether the last word of an operator is that it may run.")


class CodeDetail(CodeSummary):
    """A code as text, and what was said of it, newest first."""

    source: str
    verdicts: list[Word]


class CodeRun(Model):
    """Sessions that a code is to decide for, and the strategy of the manifest that its weights are of."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"strategy": "weekly", "sessions": ["2025-02-10"], "parameters": {}}}
    )

    strategy: Annotated[str, Field(min_length=1, max_length=64)]
    sessions: Annotated[list[date], Field(min_length=1, max_length=MOST_SESSIONS)]
    parameters: Values = Field(default_factory=dict)


@router.post(
    "/strategy-code",
    summary="Hand code in",
    status_code=201,
    response_description="It is kept as text. Nothing of it was compiled or run.",
)
def create_code(desk: TheDesk, actor: Keeper, response: Response, body: NewCode) -> CodeDetail:
    """Kept by its hash, and run by nobody until an operator has read and approved it on the command line."""
    _require_taken(desk)
    row = submit_code(desk, body.name, body.source, actor=actor.name, reason=body.reason)
    response.headers["Location"] = f"/api/strategy-code/{row.code_hash}"
    return _detail(desk, row)


@router.get("/strategy-code", summary="Code that was handed in")
def list_code(desk: TheDesk, actor: Keeper, paging: ThePage) -> Page[CodeSummary]:  # noqa: ARG001
    """By hash."""
    rows: list[CodeRow] = []
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            rows = codes_of(connection)
    names = set(CodeSummary.model_fields)
    items = [CodeSummary(**_detail(desk, row).model_dump(include=names)) for row in rows]
    return paging.page(sorted(items, key=lambda item: item.sha256), lambda item: item.sha256)


@router.get("/strategy-code/{code}", summary="One code")
def show_code(desk: TheDesk, actor: Keeper, code: CodeHash) -> CodeDetail:  # noqa: ARG001
    """Its text, and who said what of it."""
    return _detail(desk, _named(desk, code))


@router.post(
    "/strategy-code/{code}/runs",
    summary="Have approved code decide weights",
    status_code=201,
    response_description="Its weights were taken in.",
)
def run(desk: TheDesk, actor: Runner, request: Request, code: CodeHash, body: CodeRun) -> SignalsTaken:
    """In a process without network, files, secrets or other processes, with limits on memory and time.

    It is shown the prices up to the close before the last session that is asked for. Its weights are a weight file of
    the strategy, and go through intake like one: taken whole, held or refused whole.
    """
    require_file_strategy(desk, actor, body.strategy)
    _require_taken(desk)
    sender = Sender(actor.name, str(request.state.request_id))
    row = _named(desk, code)
    with _RUNNING.one():
        return SignalsTaken.of(run_code(desk, row.code_hash, body.strategy, body.sessions, sender, body.parameters))


def _require_taken(desk: Desk) -> None:
    if desk.config.api.strategy_code != "approve":
        raise Forbidden(
            "Strategy code is not taken here.",
            remedy="Send weight files. An operator who wants code says so: api.strategy_code: approve.",
        )


def _named(desk: Desk, code: str) -> CodeRow:
    try:
        with desk.ledger.read() as connection:
            return code_named(connection, code)
    except InputError as error:
        raise NotFound("strategy code", code) from error


def _detail(desk: Desk, row: CodeRow) -> CodeDetail:
    with desk.ledger.read() as connection:
        said = verdicts_of(connection, row.code_hash)
    return CodeDetail(
        sha256=row.code_hash,
        name=row.name,
        size=len(row.source.encode()),
        handed_in_by=row.actor,
        handed_in_at=row.at,
        reason=row.reason,
        approved=bool(said) and said[0].approved,
        source=row.source,
        verdicts=[Word.of(item) for item in said],
    )
