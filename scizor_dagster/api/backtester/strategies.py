"""`/api/strategies`: those of the manifest, those in Python, and named records of the latter with their parameters."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from scizor_dagster.api import etags
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Model, one_line
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import NotFound, documented, wrong_field
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.handing_in import followers_of
from scizor_dagster.flow.research_limits import asked_for, refuse_files
from scizor_dagster.flow.strategies import change, records_of, registry_of, version_row
from scizor_dagster.flow.strategy_views import shown
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.strategy_records import RecordAction
from scizor_dagster.signals.manifest import Rebalance

router = ApiRouter("strategies")
Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]
Maker = Annotated[Actor, Depends(require(Scope.ADMIN, Reach.SHARED))]
Changer = Annotated[Actor, Depends(require(Scope.ADMIN, Reach.ACCOUNT))]
NAME = r"^[a-z][a-z0-9_]{0,30}$"
StrategyName = Annotated[
    str, Path(min_length=1, max_length=64, description="Of the strategy manifest, a record, or a strategy in Python.")
]
_TOLD = "Why; it stands in the ledger."
Reason = Annotated[str, Field(min_length=1, max_length=500, description=_TOLD), AfterValidator(one_line)]
Values = Annotated[dict[str, JsonValue], Field(description="Parameters by name; what is not named has its default.")]


class Kind(StrEnum):
    MANIFEST = "manifest"
    """An entry of the strategy manifest: what portfolios follow."""
    RECORD = "record"
    """A strategy in Python under a name, with parameters of its own."""
    FUNCTION = "function"
    """A strategy in Python: shipped, of a package, or of the project's folder."""


_SUMMARY: dict[str, JsonValue] = {
    "name": "fast",
    "kind": "record",
    "function": "momentum",
    "version": "3f0a9c21" * 8,
    "description": "Momentum over three months.",
    "portfolios": [],
    "changed_by": "ada",
    "reason": "less turnover",
    "changed_at": "2026-11-20T21:05:00Z",
}


class StrategySummary(Model):
    """A strategy by its name."""

    model_config = ConfigDict(json_schema_extra={"example": _SUMMARY})

    name: str
    kind: Kind
    function: str | None = Field(description="The strategy in Python behind it; null where a file is delivered.")
    version: str | None = Field(description="Of a record: SHA-256 of function, source, parameters and rhythm.")
    description: str
    portfolios: list[str] = Field(description="Those that follow it, of the accounts that the key may see.")
    changed_by: str | None
    reason: str | None
    changed_at: datetime | None


class StrategyParameter(Model):
    """A parameter, with its value or default."""

    name: str
    value: JsonValue
    bounds: str
    required: bool


class StrategyChange(Model):
    """What a record was from then on."""

    at: datetime
    action: str
    version: str
    by: str
    reason: str
    parameters: dict[str, JsonValue]


class StrategyDetail(StrategySummary):
    """A strategy: what it takes, and what it has been."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_SUMMARY,
                "rebalance": "weekly",
                "format": None,
                "weights_dated": "trade_session",
                "parameters": [{"name": "lookback", "value": 60, "bounds": "minimum 1", "required": False}],
                "history": [],
            }
        }
    )

    rebalance: str | None = Field(description="When it decides anew; null where a file says so.")
    format: str | None = Field(description="Of the file that is delivered for it.")
    weights_dated: str = Field(description="What the dates of its weights are of: `trade_session` or `signal_close`.")
    parameters: list[StrategyParameter]
    history: list[StrategyChange] = Field(description="Every change of a record, oldest first.")


class NewRecord(Model):
    """A record to make."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "fast",
                "function": "momentum",
                "parameters": {"lookback": 60, "skip": 5},
                "rebalance": "weekly",
                "description": "Momentum over three months.",
                "reason": "a try",
            }
        }
    )

    name: Annotated[str, Field(pattern=NAME)]
    function: Annotated[str, Field(pattern=NAME, description="A strategy in Python.")]
    parameters: Values = Field(default_factory=dict)
    rebalance: Rebalance | None = None
    description: Annotated[str, Field(max_length=2000)] = ""
    reason: Reason


class RecordChange(Model):
    """What a record is to be; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"parameters": {"lookback": 90}, "reason": "less turnover"}}
    )

    parameters: Values = Field(default_factory=dict)
    rebalance: Rebalance | None = None
    description: Annotated[str, Field(max_length=2000)] | None = None
    reason: Reason


@router.get("/strategies", summary="The strategies")
def list_strategies(
    desk: TheDesk,
    actor: Reader,
    paging: ThePage,
    kind: Annotated[Kind | None, Query(description="Only those of this kind.")] = None,
) -> Page[StrategySummary]:
    """All that has a name, by kind and name. Nothing is loaded: one whose code is broken is among them."""
    found = [*_entries(desk, actor), *_records(desk, actor), *_functions(desk)]
    items = sorted((item for item in found if kind in (None, item.kind)), key=_key)
    return paging.page(items, _key)


def _key(item: StrategySummary) -> str:
    return f"{item.kind} {item.name}"


def _visible(desk: Desk, actor: Actor, entry: str) -> list[str]:
    seen = actor.portfolios(desk)
    return [name for name in followers_of(desk, entry) if name in seen]


def _entries(desk: Desk, actor: Actor) -> list[StrategySummary]:
    return [
        _summary(entry.id, Kind.MANIFEST, function=entry.function, portfolios=_visible(desk, actor, entry.id))
        for entry in desk.manifest.strategies
    ]


def _records(desk: Desk, actor: Actor) -> list[StrategySummary]:
    return [
        _summary(
            name,
            Kind.RECORD,
            function=version_row(desk, row.version).function,
            version=row.version,
            description=row.description,
            portfolios=[
                portfolio
                for entry in desk.manifest.strategies
                if entry.function == name
                for portfolio in _visible(desk, actor, entry.id)
            ],
            changed_by=row.actor,
            reason=row.reason,
            changed_at=row.at,
        )
        for name, row in records_of(desk).items()
    ]


def _functions(desk: Desk) -> list[StrategySummary]:
    return [_summary(name, Kind.FUNCTION, function=name) for name in registry_of(desk).names()]


def _summary(name: str, kind: Kind, **told: Any) -> StrategySummary:
    nothing: dict[str, Any] = {
        "function": None, "version": None, "description": "", "portfolios": [], "changed_by": None, "reason": None,
        "changed_at": None,
    }  # fmt: skip
    return StrategySummary(**(nothing | told), name=name, kind=kind)


@router.post(
    "/strategies",
    summary="Record a strategy under a name",
    status_code=201,
    responses={201: {"description": "It is recorded."}},
)
def create_record(desk: TheDesk, actor: Maker, response: Response, body: NewRecord) -> StrategyDetail:
    """A strategy in Python with parameters of its own. A manifest entry may name it; by itself it trades nothing."""
    if body.function in records_of(desk):
        raise wrong_field("body.function", f"'{body.function}' is a record itself.", "Name the strategy behind it.")
    refuse_files(desk, body.function, list(body.parameters))
    with asked_for():
        change(
            desk,
            body.name,
            RecordAction.CREATED,
            function=body.function,
            values=body.parameters,
            rebalance=body.rebalance,
            description=body.description,
            actor=actor.name,
            reason=body.reason,
        )
    found = detail_of(desk, actor, body.name)
    response.headers["Location"] = f"/api/strategies/{body.name}"
    response.headers["ETag"] = _tag(found)
    return found


@router.get("/strategies/{strategy}", summary="One strategy", responses=etags.DOCUMENTED)
def show_strategy(
    desk: TheDesk, actor: Reader, request: Request, response: Response, strategy: StrategyName
) -> StrategyDetail:
    """Its parameters with their bounds, and of a record every version that it had. The ETag is of what it is now."""
    found = detail_of(desk, actor, strategy)
    etags.state(request, response, _tag(found))
    return found


@router.put("/strategies/{strategy}", summary="Change a record", responses=documented(412))
def change_record(
    desk: TheDesk, actor: Changer, request: Request, response: Response, strategy: StrategyName, body: RecordChange
) -> StrategyDetail:
    """Other parameters, or its function as it is now. A strategy that trades by it follows from its next plan on."""
    _require_record(desk, actor, request, strategy)
    refuse_files(desk, strategy, list(body.parameters))
    with asked_for():
        change(
            desk,
            strategy,
            RecordAction.UPDATED,
            values=body.parameters,
            rebalance=body.rebalance,
            description=body.description,
            actor=actor.name,
            reason=body.reason,
        )
    found = detail_of(desk, actor, strategy)
    response.headers["ETag"] = _tag(found)
    return found


@router.delete("/strategies/{strategy}", summary="Delete a record", status_code=204, responses=documented(412))
def delete_record(
    desk: TheDesk,
    actor: Changer,
    request: Request,
    strategy: StrategyName,
    reason: Annotated[str, Query(min_length=1, max_length=500, description=_TOLD)] = "asked for over HTTP",
) -> None:
    """Take a record away. Its history stays; one that the strategy manifest names is kept (409 or 422 says so)."""
    _require_record(desk, actor, request, strategy)
    change(desk, strategy, RecordAction.DELETED, actor=actor.name, reason=reason)


def require_entry(desk: Desk, actor: Actor, name: str) -> None:
    """Refuse a strategy of the manifest that trades for an account which the key may not see: its weights are that
    account's. Whatever else has the name passes.

    Raises:
        NotFound: it is not for this key.
    """
    if any(entry.id == name for entry in desk.manifest.strategies):
        for portfolio in followers_of(desk, name):
            actor.require_account(desk.portfolio(portfolio).account, "strategy", name)


def _require_record(desk: Desk, actor: Actor, request: Request, name: str) -> None:
    """Refuse what is no record, trades for an account that the key may not see, or is not what the client has seen.

    Raises:
        NotFound: it is none, or an account behind it cannot be seen.
        RequestRefused: `If-Match` is of another version (412).
    """
    if name not in records_of(desk):
        raise NotFound("record", name)
    for entry in desk.manifest.strategies:
        if entry.function == name:
            for portfolio in followers_of(desk, entry.id):
                actor.require_account(desk.portfolio(portfolio).account, "record", name)
    etags.require_match(request, _tag(detail_of(desk, actor, name)))


def _tag(found: StrategyDetail) -> str:
    return etags.tag_of(found.model_dump_json())


def detail_of(desk: Desk, actor: Actor, name: str) -> StrategyDetail:
    """Everything of a strategy.

    Raises:
        NotFound: nothing has that name.
        ConfigError: its code cannot be used.
    """
    every = {
        item.kind: item
        for item in [*_entries(desk, actor), *_records(desk, actor), *_functions(desk)]
        if item.name == name
    }
    # As a backtest understands a name: of the manifest first.
    found = next((every[kind] for kind in (Kind.MANIFEST, Kind.RECORD, Kind.FUNCTION) if kind in every), None)
    if found is None:
        raise NotFound("strategy", name)
    entry = next((item for item in desk.manifest.strategies if item.id == name), None)
    told: dict[str, Any] = {"parameters": [], "history": [], "rebalance": None, "format": None}
    if entry is not None and entry.function is None:
        told["format"] = entry.format
    else:
        seen = shown(desk, name)
        values = [item | {"name": item.pop("parameter")} for item in seen["parameters"]]
        told |= {"parameters": values, "history": seen["history"], "rebalance": seen["rebalance"]}
        told["description"] = found.description or seen["summary"]
    told["weights_dated"] = entry.weights_dated if entry is not None else "trade_session"
    return StrategyDetail.model_validate(found.model_dump() | told)
