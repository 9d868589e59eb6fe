"""The ledgers of the tests of execution serve here too."""

from tests.execution.conftest import holding_ledger, ledger

__all__ = ["holding_ledger", "ledger"]
