"""Signals: from a strategy's weight file to targets per instrument.

What belongs here: the manifest, reading files, the rules that accept or refuse them whole, exchange
dates, identifier mapping, consolidation. What does not: sizing and orders (`planning`).
"""
