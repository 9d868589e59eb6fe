"""Lists in pages: a cursor that says where the last one ended, and the address of the next.

What belongs here: the parameters, the cursor and the header `Link`. What does not: order and content of a list.

A cursor holds the key of the last item, so that items which come or go between two pages move none of the others.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query, Request, Response
from pydantic import Field

from scizor_dagster.api.models import Model
from scizor_dagster.api.problems import wrong_field

T = TypeVar("T")
MOST = 1000
USUAL = 100


class Page(Model, Generic[T]):
    """One page. `next` is the cursor of the next one; None at the end."""

    items: list[T]
    next: str | None = Field(description="`cursor` of the next page; null at the end.", examples=["QUFQTA"])


@dataclass(frozen=True, slots=True)
class Paging:
    """What page is asked for; `after` is the key of the last item before it."""

    request: Request
    response: Response
    limit: int
    after: str | None

    def page(self, items: Sequence[T], key: Callable[[T], str]) -> Page[T]:
        """The page of `items`, which are sorted by `key`, ascending, each with one of its own."""
        rest = [item for item in items if self.after is None or key(item) > self.after]
        return self.cut(rest, key)

    def cut(self, rest: Sequence[T], key: Callable[[T], str]) -> Page[T]:
        """The page of items that are known to come after the cursor, one more than `limit` where there are more."""
        shown = list(rest[: self.limit])
        if len(rest) <= self.limit:
            return Page(items=shown, next=None)
        cursor = encoded(key(shown[-1]))
        url = self.request.url.include_query_params(cursor=cursor)
        self.response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return Page(items=shown, next=cursor)


def encoded(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decoded(cursor: str) -> str:
    """The key in a cursor.

    Raises:
        InputError: it is none.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _no_cursor() from error
    if not text.isprintable():
        raise _no_cursor()
    return text


def _no_cursor() -> Exception:
    return wrong_field("query.cursor", "That is no cursor.", "Take it from `next` of the page before.")


def _paging(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Items of a page.")] = USUAL,
    cursor: Annotated[str | None, Query(min_length=1, max_length=400, description="`next` of the page before.")] = None,
) -> Paging:
    return Paging(request, response, limit, decoded(cursor) if cursor is not None else None)


ThePage = Annotated[Paging, Depends(_paging)]
