"""`/api/strategies/{strategy}/signals`: a weight file, handed in through intake."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from pydantic import ConfigDict, Field

from scizor_dagster.api.backtester.strategies import StrategyName, require_entry
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import NotFound, RequestRefused
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.api.uploads import ANY, CSV, PARQUET, XLSX, Upload
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.handing_in import HandedIn, Sender, hand_in
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.deliveries import DeliveryRow, deliveries_of
from scizor_dagster.signals.report import Violation

router = ApiRouter("signals")
Uploader = Annotated[Actor, Depends(require(Scope.UPLOAD, Reach.ACCOUNT))]
Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.ACCOUNT))]
TYPES = {CSV: "csv", XLSX: "xlsx", PARQUET: "parquet", "application/json": "json"}
MOST_FINDINGS = 100


class Finding(Model):
    """One thing that is wrong with a file, or worth knowing of it."""

    rule: str
    problem: str
    remedy: str
    line: int | None = Field(description="Line of a text, row of a workbook (both from 1, the header included).")
    sheet: str | None
    column: str | None
    value: str | None

    @classmethod
    def of(cls, item: Violation) -> Finding:
        return cls(**{name: getattr(item, name) for name in cls.model_fields})


class SignalsTaken(Model):
    """A weight file that was taken whole."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "strategy": "weekly",
                "status": "accepted",
                "sha256": "9f" * 32,
                "size": 181,
                "rows": 4,
                "sessions": ["2026-11-20"],
                "fresh": True,
                "handed_in_by": "ada",
                "handed_in_at": "2026-11-19T21:05:00Z",
                "held_for": [],
                "warnings": [],
            }
        }
    )

    strategy: str
    status: str = Field(description="`accepted`, or `held`: it lies there, and trades once a person has approved it.")
    sha256: str
    size: int
    rows: int
    sessions: list[date] = Field(description="Those that it trades in, at most the last 1000.")
    fresh: bool = Field(description="Whether it was laid now; false where the same content lay there already.")
    handed_in_by: str
    handed_in_at: datetime
    held_for: list[Finding]
    warnings: list[Finding]

    @classmethod
    def of(cls, taken: HandedIn) -> SignalsTaken:
        report, row = taken.report, taken.delivery
        return cls(
            strategy=row.strategy,
            status=report.status,
            sha256=row.file_hash,
            size=row.size,
            rows=report.rows,
            sessions=list(taken.sessions[-1000:]),
            fresh=taken.fresh,
            handed_in_by=row.actor,
            handed_in_at=row.at,
            held_for=[Finding.of(item) for item in report.violations[:MOST_FINDINGS]],
            warnings=[Finding.of(item) for item in report.warnings[:MOST_FINDINGS]],
        )


class Delivery(Model):
    """A weight file that somebody handed in."""

    number: int
    sha256: str
    size: int
    handed_in_by: str
    handed_in_at: datetime
    request_id: str | None
    code: str | None = Field(description="SHA-256 of the code that computed it.")

    @classmethod
    def of(cls, row: DeliveryRow) -> Delivery:
        return cls(
            number=row.number,
            sha256=row.file_hash,
            size=row.size,
            handed_in_by=row.actor,
            handed_in_at=row.at,
            request_id=row.request_id or None,
            code=row.code_hash or None,
        )


@router.post(
    "/strategies/{strategy}/signals",
    summary="Hand in a weight file",
    status_code=201,
    responses={200: {"model": SignalsTaken, "description": "The same content lies there already."}},
)
def hand_in_signals(
    desk: TheDesk,
    actor: Uploader,
    request: Request,
    response: Response,
    strategy: StrategyName,
    file: Annotated[bytes, Depends(Upload())],
    session: Annotated[date | None, Query(description="A session that it must have rows for.")] = None,
) -> SignalsTaken:
    """The file is the body, in the format that the strategy manifest states; its Content-Type must agree.

    It is judged by the same rules as one that lies in the folder, taken whole or refused whole (422, with a finding
    for each line), and laid exactly where such a file lies, under a name of our own. What was accepted last stays
    where it is refused. The same content again changes nothing. When it trades, and that it may have to be approved,
    is as for every other file; `scizor explain` leads from an order to who handed it in.
    """
    require_file_strategy(desk, actor, strategy)
    stated = request.headers.get("content-type", ANY).partition(";")[0].strip().lower()
    wanted = desk.manifest.strategy(strategy).format
    if TYPES.get(stated, wanted) != wanted:
        raise RequestRefused(
            f"The body is {stated}, and the files of strategy '{strategy}' are {wanted}.",
            remedy="Nothing was changed. Send that format, or change 'format' in the strategy manifest.",
            status=415,
        )
    taken = hand_in(desk, strategy, file, Sender(actor.name, str(request.state.request_id)), session)
    if not taken.fresh:
        response.status_code = 200
    response.headers["Location"] = f"/api/strategies/{strategy}/signals"
    return SignalsTaken.of(taken)


@router.get("/strategies/{strategy}/signals", summary="What was handed in for a strategy")
def list_signals(desk: TheDesk, actor: Reader, paging: ThePage, strategy: StrategyName) -> Page[Delivery]:
    """The oldest first. A file that was laid into the folder by hand is not among them."""
    require_file_strategy(desk, actor, strategy)
    rows: list[DeliveryRow] = []
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            rows = deliveries_of(connection, strategy)[::-1]
    return paging.page([Delivery.of(row) for row in rows], lambda item: f"{item.number:012d}")


def require_file_strategy(desk: Desk, actor: Actor, name: str) -> None:
    """Refuse what is no strategy of the manifest, or trades for an account that the key may not see.

    Raises:
        NotFound: it is not there, or not for this key.
    """
    if all(entry.id != name for entry in desk.manifest.strategies):
        raise NotFound("strategy", name)
    require_entry(desk, actor, name)
