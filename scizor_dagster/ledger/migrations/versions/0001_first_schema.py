"""The ledger's first schema: intents, fills and their history, and the embedded exchange's books."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EXACT = sa.String(60).with_variant(sa.Numeric(), "postgresql")


def upgrade() -> None:
    op.create_table('account_clocks',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('session', sa.Date(), nullable=False),
    sa.PrimaryKeyConstraint('account', name=op.f('pk_account_clocks'))
    )
    op.create_table('activities',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('activity_id', sa.String(length=128), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('session', sa.Date(), nullable=False),
    sa.Column('symbol', sa.String(length=32), nullable=True),
    sa.Column('amount', EXACT, nullable=False),
    sa.Column('qty_factor', EXACT, nullable=True),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('account', 'activity_id', name=op.f('pk_activities'))
    )
    op.create_index(op.f('ix_activities_session'), 'activities', ['session'], unique=False)
    op.create_table('adoptions',
    sa.Column('adoption_id', sa.String(length=128), nullable=False),
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('portfolio', sa.String(length=64), nullable=False),
    sa.Column('symbol', sa.String(length=32), nullable=False),
    sa.Column('qty', EXACT, nullable=False),
    sa.Column('price', EXACT, nullable=False),
    sa.Column('session', sa.Date(), nullable=False),
    sa.Column('actor', sa.String(length=64), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('adoption_id', name=op.f('pk_adoptions'))
    )
    op.create_table('arming',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('broker_account_id', sa.String(length=64), nullable=False),
    sa.Column('environment', sa.String(length=16), nullable=False),
    sa.Column('actor', sa.String(length=64), nullable=False),
    sa.Column('armed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('account', name=op.f('pk_arming'))
    )
    op.create_table('batches',
    sa.Column('batch_id', sa.String(length=128), nullable=False),
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('portfolio', sa.String(length=64), nullable=False),
    sa.Column('session', sa.Date(), nullable=False),
    sa.Column('batch', sa.Integer(), nullable=False),
    sa.Column('plan_id', sa.String(length=64), nullable=False),
    sa.Column('origin', sa.String(length=16), nullable=False),
    sa.Column('state', sa.String(length=24), nullable=False),
    sa.Column('cash_buffer', EXACT, nullable=False),
    sa.Column('starting_cash', EXACT, nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('batch_id', name=op.f('pk_batches')),
    sa.UniqueConstraint('account', 'portfolio', 'session', 'batch', name=op.f('uq_batches_account_portfolio_session_batch'))
    )
    op.create_table('events',
    sa.Column('seq', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('client_order_id', sa.String(length=48), nullable=True),
    sa.Column('kind', sa.String(length=32), nullable=False),
    sa.Column('payload', sa.Text(), nullable=False),
    sa.Column('previous_hash', sa.String(length=64), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('seq', name=op.f('pk_events'))
    )
    op.create_index(op.f('ix_events_client_order_id'), 'events', ['client_order_id'], unique=False)
    op.create_table('fills',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('fill_id', sa.String(length=128), nullable=False),
    sa.Column('portfolio', sa.String(length=64), nullable=True),
    sa.Column('client_order_id', sa.String(length=128), nullable=False),
    sa.Column('symbol', sa.String(length=32), nullable=False),
    sa.Column('side', sa.String(length=8), nullable=False),
    sa.Column('qty', EXACT, nullable=False),
    sa.Column('price', EXACT, nullable=False),
    sa.Column('fee', EXACT, nullable=False),
    sa.Column('session', sa.Date(), nullable=False),
    sa.Column('executed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('account', 'fill_id', name=op.f('pk_fills'))
    )
    op.create_index(op.f('ix_fills_account_client_order_id'), 'fills', ['account', 'client_order_id'], unique=False)
    op.create_index(op.f('ix_fills_portfolio'), 'fills', ['portfolio'], unique=False)
    op.create_index(op.f('ix_fills_session'), 'fills', ['session'], unique=False)
    op.create_table('leases',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('holder', sa.String(length=200), nullable=True),
    sa.Column('token', sa.Integer(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('advisory', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('account', name=op.f('pk_leases'))
    )
    op.create_table('paper_accounts',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('currency', sa.String(length=3), nullable=False),
    sa.Column('deposit', EXACT, nullable=False),
    sa.Column('cash', EXACT, nullable=False),
    sa.Column('session', sa.Date(), nullable=True),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('next_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('account', name=op.f('pk_paper_accounts'))
    )
    op.create_table('paper_activities',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('activity_id', sa.String(length=128), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('session', sa.Date(), nullable=False),
    sa.Column('symbol', sa.String(length=32), nullable=True),
    sa.Column('amount', EXACT, nullable=False),
    sa.Column('qty_factor', EXACT, nullable=True),
    sa.Column('description', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('account', 'activity_id', name=op.f('pk_paper_activities'))
    )
    op.create_index(op.f('ix_paper_activities_session'), 'paper_activities', ['session'], unique=False)
    op.create_table('paper_fills',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('fill_id', sa.String(length=128), nullable=False),
    sa.Column('client_order_id', sa.String(length=128), nullable=False),
    sa.Column('symbol', sa.String(length=32), nullable=False),
    sa.Column('side', sa.String(length=8), nullable=False),
    sa.Column('qty', EXACT, nullable=False),
    sa.Column('price', EXACT, nullable=False),
    sa.Column('fee', EXACT, nullable=False),
    sa.Column('session', sa.Date(), nullable=False),
    sa.Column('executed_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('account', 'fill_id', name=op.f('pk_paper_fills'))
    )
    op.create_index(op.f('ix_paper_fills_session'), 'paper_fills', ['session'], unique=False)
    op.create_table('paper_orders',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('client_order_id', sa.String(length=128), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('broker_order_id', sa.String(length=128), nullable=False),
    sa.Column('symbol', sa.String(length=32), nullable=False),
    sa.Column('side', sa.String(length=8), nullable=False),
    sa.Column('qty', EXACT, nullable=False),
    sa.Column('filled_qty', EXACT, nullable=False),
    sa.Column('average_price', EXACT, nullable=True),
    sa.Column('order_type', sa.String(length=16), nullable=False),
    sa.Column('role', sa.String(length=16), nullable=False),
    sa.Column('parent', sa.String(length=128), nullable=True),
    sa.Column('limit_price', EXACT, nullable=True),
    sa.Column('stop_price', EXACT, nullable=True),
    sa.Column('take_profit', EXACT, nullable=True),
    sa.Column('stop_loss', EXACT, nullable=True),
    sa.Column('session', sa.Date(), nullable=False),
    sa.Column('status', sa.String(length=24), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('submitted_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('account', 'client_order_id', name=op.f('pk_paper_orders')),
    sa.UniqueConstraint('account', 'number', name=op.f('uq_paper_orders_account_number'))
    )
    op.create_index(op.f('ix_paper_orders_session'), 'paper_orders', ['session'], unique=False)
    op.create_table('paper_positions',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('symbol', sa.String(length=32), nullable=False),
    sa.Column('qty', EXACT, nullable=False),
    sa.Column('average_price', EXACT, nullable=False),
    sa.Column('last_price', EXACT, nullable=True),
    sa.PrimaryKeyConstraint('account', 'symbol', name=op.f('pk_paper_positions'))
    )
    op.create_table('risk_events',
    sa.Column('event_id', sa.String(length=64), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('portfolio', sa.String(length=64), nullable=False),
    sa.Column('session', sa.Date(), nullable=False),
    sa.Column('client_order_id', sa.String(length=48), nullable=True),
    sa.Column('limit_name', sa.String(length=48), nullable=False),
    sa.Column('value', sa.String(length=64), nullable=False),
    sa.Column('threshold', sa.String(length=64), nullable=False),
    sa.Column('verdict', sa.String(length=16), nullable=False),
    sa.PrimaryKeyConstraint('event_id', name=op.f('pk_risk_events'))
    )
    op.create_table('intents',
    sa.Column('client_order_id', sa.String(length=48), nullable=False),
    sa.Column('batch_id', sa.String(length=128), nullable=False),
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('portfolio', sa.String(length=64), nullable=False),
    sa.Column('session', sa.Date(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('symbol', sa.String(length=32), nullable=False),
    sa.Column('instrument_id', sa.String(length=48), nullable=False),
    sa.Column('side', sa.String(length=8), nullable=False),
    sa.Column('planned_qty', EXACT, nullable=False),
    sa.Column('final_qty', EXACT, nullable=True),
    sa.Column('order_type', sa.String(length=16), nullable=False),
    sa.Column('time_in_force', sa.String(length=8), nullable=False),
    sa.Column('intent', sa.String(length=24), nullable=False),
    sa.Column('limit_price', EXACT, nullable=True),
    sa.Column('take_profit', EXACT, nullable=True),
    sa.Column('stop_loss', EXACT, nullable=True),
    sa.Column('price_used', EXACT, nullable=False),
    sa.Column('leg', sa.Integer(), nullable=False),
    sa.Column('slice', sa.Integer(), nullable=False),
    sa.Column('phase', sa.Integer(), nullable=False),
    sa.Column('depends_on', sa.JSON(), nullable=False),
    sa.Column('parameter_hash', sa.String(length=64), nullable=True),
    sa.Column('cleared_hash', sa.String(length=64), nullable=True),
    sa.Column('state', sa.String(length=24), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('broker_order_id', sa.String(length=128), nullable=True),
    sa.Column('filled_qty', EXACT, nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['batch_id'], ['batches.batch_id'], name=op.f('fk_intents_batch_id_batches')),
    sa.PrimaryKeyConstraint('client_order_id', name=op.f('pk_intents')),
    sa.UniqueConstraint('batch_id', 'position', name=op.f('uq_intents_batch_id_position'))
    )
    op.create_index(op.f('ix_intents_account_state'), 'intents', ['account', 'state'], unique=False)
    op.create_index(op.f('ix_intents_batch_id'), 'intents', ['batch_id'], unique=False)
    op.create_table('releases',
    sa.Column('batch_id', sa.String(length=128), nullable=False),
    sa.Column('factor', EXACT, nullable=False),
    sa.Column('cash', EXACT, nullable=False),
    sa.Column('needed', EXACT, nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['batch_id'], ['batches.batch_id'], name=op.f('fk_releases_batch_id_batches')),
    sa.PrimaryKeyConstraint('batch_id', name=op.f('pk_releases'))
    )


def downgrade() -> None:
    op.drop_table('releases')
    op.drop_index(op.f('ix_intents_batch_id'), table_name='intents')
    op.drop_index(op.f('ix_intents_account_state'), table_name='intents')
    op.drop_table('intents')
    op.drop_table('risk_events')
    op.drop_table('paper_positions')
    op.drop_index(op.f('ix_paper_orders_session'), table_name='paper_orders')
    op.drop_table('paper_orders')
    op.drop_index(op.f('ix_paper_fills_session'), table_name='paper_fills')
    op.drop_table('paper_fills')
    op.drop_index(op.f('ix_paper_activities_session'), table_name='paper_activities')
    op.drop_table('paper_activities')
    op.drop_table('paper_accounts')
    op.drop_table('leases')
    op.drop_index(op.f('ix_fills_session'), table_name='fills')
    op.drop_index(op.f('ix_fills_portfolio'), table_name='fills')
    op.drop_index(op.f('ix_fills_account_client_order_id'), table_name='fills')
    op.drop_table('fills')
    op.drop_index(op.f('ix_events_client_order_id'), table_name='events')
    op.drop_table('events')
    op.drop_table('batches')
    op.drop_table('arming')
    op.drop_table('adoptions')
    op.drop_index(op.f('ix_activities_session'), table_name='activities')
    op.drop_table('activities')
    op.drop_table('account_clocks')
