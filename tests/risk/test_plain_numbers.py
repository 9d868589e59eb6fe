"""Numbers in verdicts: as a person writes them."""

from decimal import Decimal

import pytest

from scizor_dagster.risk.context import plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal(1) / 3, "0.33333333"),
        (Decimal("0.123456785"), "0.12345678"),
        (Decimal("1E+3"), "1000"),
        (Decimal("2.500"), "2.5"),
        (Decimal("-0.10"), "-0.1"),
        (Decimal("1E-12"), "0.000000000001"),
        (Decimal("0.00"), "0"),
        (Decimal("Infinity"), "Infinity"),
        ("no loss", "no loss"),
    ],
)
def test_a_number_has_no_exponent_no_idle_zeros_and_eight_decimals_unless_all_of_it_is_smaller(
    value: Decimal | str, text: str
) -> None:
    assert plain(value) == text
