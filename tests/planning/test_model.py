"""The words of a plan."""

from scizor_dagster.planning.model import Reason


def test_a_reason_is_written_as_its_name_in_lower_case() -> None:
    assert [reason.value for reason in Reason] == [reason.name.lower() for reason in Reason]
