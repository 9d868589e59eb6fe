"""How Alembic reaches the ledger: on the connection, and in the transaction, that `Ledger.open` holds.

What belongs here: nothing but that. The steps themselves are in `versions/`, one file each, with
explicit operations, so that a later change of `tables` does not change what an old step did.
"""

from alembic import context

from scizor_dagster.ledger.schema import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("Migrations run through scizor_dagster.ledger.store.Ledger.open, which holds the lock.")
context.configure(connection=connection, target_metadata=metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
