"""Strategies as plain Python: from prices as they were known to target weights.

What belongs here: what a strategy is handed (`prices`) and may answer (`protocol`, `deciding`), where its code comes
from (`registry`), and those that come along (`shipped`). What does not: backtests and parameter searches (`backtest`),
and a strategy whose weights somebody else delivers as a file (`signals`).
"""
