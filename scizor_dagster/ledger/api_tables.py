"""Who may ask the HTTP services, what they asked, and what they were answered: the tables, in the ledger's metadata.

What belongs here: columns. What does not: the other tables (`tables`), and who may write a row (`api_keys`,
`api_requests`, `api_answers`).
"""

from __future__ import annotations

import sqlalchemy as sa

from scizor_dagster.ledger.tables import Instant, metadata

api_keys = sa.Table(
    "api_keys",
    metadata,
    # The public part of a key; the key itself is nowhere.
    sa.Column("key_id", sa.String(16), primary_key=True),
    # SHA-256 of the whole key, hexadecimal.
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    # Both sorted, between commas; `*` stands for every account.
    sa.Column("scopes", sa.String(64), nullable=False),
    sa.Column("accounts", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("revoked_at", Instant, nullable=True),
    sa.Column("revoked_by", sa.String(64), nullable=True),
    sa.Column("reason", sa.Text, nullable=False),
    # To the hour: a use is not worth a row each.
    sa.Column("last_used_at", Instant, nullable=True),
)

api_requests = sa.Table(
    "api_requests",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("request_id", sa.String(32), nullable=False, unique=True),
    sa.Column("at", Instant, nullable=False),
    # Empty where nobody could be told by the key.
    sa.Column("key_id", sa.String(16), nullable=True),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("method", sa.String(8), nullable=False),
    # As the service knows it (`/api/orders/{order_id}`), and as it was asked for.
    sa.Column("route", sa.String(200), nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.String(128), nullable=True),
    sa.Column("body_hash", sa.String(64), nullable=True),
    # Empty while it is not answered: of one that stays so, only the rest of the ledger says what it did.
    sa.Column("status", sa.Integer, nullable=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("ended_at", Instant, nullable=True),
    sa.Index(None, "actor"),
)

api_answers = sa.Table(
    "api_answers",
    metadata,
    # The answer to the one request that came with an idempotency key.
    sa.Column("key_id", sa.String(16), nullable=False),
    sa.Column("idempotency_key", sa.String(128), nullable=False),
    sa.Column("request_hash", sa.String(64), nullable=False),
    # The process that works on it; its lock says whether it still does.
    sa.Column("holder", sa.String(32), nullable=False),
    sa.Column("begun_at", Instant, nullable=False),
    sa.Column("status", sa.Integer, nullable=True),
    sa.Column("headers", sa.JSON, nullable=False),
    sa.Column("body", sa.Text, nullable=True),
    sa.PrimaryKeyConstraint("key_id", "idempotency_key"),
)
