"""Interactive Brokers: a TWS or a Gateway as Scizor sees it.

What belongs here: the connection, the meaning of its error codes, and the broker on top of it. What does
not: prices (`market_data.ibkr`). The client library's types do not leave this package and that module.
"""
