"""The ledgers of the tests of execution serve here too."""

from tests.execution.conftest import empty_ledger, holding_ledger, ledger

__all__ = ["empty_ledger", "holding_ledger", "ledger"]
