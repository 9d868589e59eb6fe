"""Alpaca as a broker, and the one place that talks to its API.

`transport` sends and reads, `outcomes` says what a reply means, `rows` turns JSON into the broker's words,
`history` reads long lists whole, `venue_clock` knows where the session stands, `broker` joins them.
No type of the SDK leaves this package: what comes in is JSON, what goes out is `brokers.protocol`.
"""
