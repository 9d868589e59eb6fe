"""Whether what happened is what was meant: plan, ledger and broker compared, session by session."""
