"""The embedded paper exchange: a matching engine over daily bars, with books of its own.

`model`, `rules`, `buying_power`, `matching`, `overnight` and `engine` are pure: books in, books out,
no clock, no chance, no storage. `store` keeps the books in the ledger's database; `exchange` joins the
two and is what a door (the in-process adapter, a wire protocol) serves.
"""
