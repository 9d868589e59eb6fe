"""How every route is looked after: who asks, what is asked, once, and with a row in the audit.

What belongs here: the order in which a request is looked at. What does not: each of the looks (the modules named
below), and any route.

A request is known by its key (`security`), counted (`rates`), read (`body`), noted (`audit`), done once
(`idempotency`), and whatever goes wrong is a problem (`problems`). All of it before the route's own function runs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from scizor_dagster.api import body as bodies
from scizor_dagster.api import idempotency
from scizor_dagster.api.audit import READS, Audit, address_of
from scizor_dagster.api.context import Context, context_of
from scizor_dagster.api.etags import NotModified
from scizor_dagster.api.problems import Unauthorized, answer_to, documented, wrong_field
from scizor_dagster.api.security import Actor, Reach, Require, actor_at_hand, actor_of
from scizor_dagster.api.uploads import Upload
from scizor_dagster.errors import ScizorError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
PREFIX = "/api"
ALWAYS = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503)


class GuardedRoute(APIRoute):
    """A route that declares its rule, and that nobody gets to in any other way.

    Raises:
        TypeError: it declares none, when it is defined.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        found = [item.call for item in self.dependant.dependencies if isinstance(item.call, Require)]
        if len(found) != 1:
            raise TypeError(f"{path} declares {len(found)} rules; give its actor exactly one Depends(require(...))")
        self.rule: Require = found[0]
        self.known = frozenset(_query_names(self.dependant))

    @property
    def uploads(self) -> Upload | None:
        """What it takes as a file; None where it takes none."""
        return next((item.call for item in self.dependant.dependencies if isinstance(item.call, Upload)), None)

    @property
    def takes(self) -> tuple[str, ...]:
        """The media types of the body; empty where there is none."""
        if self.uploads is not None:
            return self.uploads.types
        if self.body_field is None:
            return ()
        return (str(getattr(self.body_field.field_info, "media_type", bodies.JSON)),)

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            context = context_of(request)
            audit = Audit.of(context, request, self.path, hides=self.rule.reach is Reach.ACCOUNT)
            response, error = await self._tried(context, audit, request, handler)
            if request.method not in READS or response.status_code >= 400:
                await run_in_threadpool(audit.end, response.status_code, context.redact(_outcome(error)))
            return response

        return guarded

    async def _tried(
        self, context: Context, audit: Audit, request: Request, handler: Handler
    ) -> tuple[Response, Exception | None]:
        try:
            async with context.turn(always=self.rule.always):
                actor, asked = await self._admitted(context, audit, request)
                return await self._done(context, audit, actor, asked, handler)
        except NotModified as same:
            return Response(None, 304, {"ETag": same.tag, "Cache-Control": "private, no-cache"}), None
        except Exception as error:
            return answer_to(error, str(request.state.request_id), context.redact), error

    async def _admitted(self, context: Context, audit: Audit, request: Request) -> tuple[Actor, Request]:
        """Who asks, and the request with its body; every refusal that needs no store of the domain's."""
        shown = request.headers.get("authorization", "")
        always, address = self.rule.always, address_of(request)
        actor = actor_at_hand(context, shown, address, always=always)
        if actor is None:
            actor = await run_in_threadpool(actor_of, context, shown, address, always=always)
        audit.note(actor=actor.name, key_id=actor.key_id)
        request.state.actor = actor
        self.rule.check(actor)
        self._refuse_unknown(request)
        limit = context.rules.max_upload_bytes if self.uploads is not None else context.rules.max_body_bytes
        body = await bodies.read_body(request, limit, context.rules.body_seconds)
        bodies.check_type(request, self.takes, body)
        if self.uploads is None and body:
            bodies.check_json(body)
        request.state.body = body
        if request.method == "POST":
            key = idempotency.key_of(request, required=self.rule.could_trade)
            audit.note(idempotency_key=key)
            request.state.idempotency_key = key
        audit.note(body_hash=idempotency.request_hash(request, body) if request.method not in READS else None)
        return actor, bodies.with_body(request, body)

    async def _done(
        self, context: Context, audit: Audit, actor: Actor, request: Request, handler: Handler
    ) -> tuple[Response, Exception | None]:
        if request.method in READS:
            return await handler(request), None
        await run_in_threadpool(audit.begin)
        key = audit.told.idempotency_key
        if key is None:
            return await handler(request), None
        once = idempotency.Once(context, actor, key, audit.told.body_hash or "")
        kept = await run_in_threadpool(once.begin)
        if kept is not None:
            return kept, None
        error: Exception | None = None
        try:
            response = await handler(request)
        except Exception as raised:
            error = raised
            response = answer_to(raised, str(request.state.request_id), context.redact)
        await run_in_threadpool(once.end, response, error)
        return response, error

    def _refuse_unknown(self, request: Request) -> None:
        for name, value in request.query_params.multi_items():
            if not value.isprintable():
                raise wrong_field(f"query.{name}", "It holds a character that nothing is named with.", "Leave it out.")
        unknown = sorted(set(request.query_params) - self.known)
        if unknown:
            raise RequestValidationError(
                [
                    {"type": "extra_forbidden", "loc": ("query", name), "msg": "There is no such parameter"}
                    for name in unknown
                ]
            )


class ApiRouter(APIRouter):
    """The routes of one resource, below `/api` or at `prefix`; `tag` is their heading in the documentation."""

    def __init__(self, tag: str, prefix: str = PREFIX) -> None:
        super().__init__(prefix=prefix, tags=[tag], route_class=GuardedRoute, responses=documented(*ALWAYS))


def idempotency_key(request: Request) -> str:
    """The key of a POST that could trade, for `Depends`: what the domain keeps beside what it did."""
    return str(request.state.idempotency_key)


def _query_names(dependant: Dependant) -> list[str]:
    own = [field.alias for field in dependant.query_params]
    return own + [name for item in dependant.dependencies for name in _query_names(item)]


def _outcome(error: Exception | None) -> str:
    """A few words for the audit."""
    if isinstance(error, Unauthorized):
        return error.cause
    if isinstance(error, ScizorError):
        return f"{type(error).__name__}: {error.problem}"[:500]
    return type(error).__name__ if error is not None else ""
