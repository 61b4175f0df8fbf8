from __future__ import annotations

import pytest

from climrecon.settings.periods import Period, parse_month, parse_period


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("1850-2025", 1850 * 12, 2025 * 12 + 11),
        ("1850:2025", 1850 * 12, 2025 * 12 + 11),
        ("185003-202510", 1850 * 12 + 2, 2025 * 12 + 9),
        ("1850-03:2025-10", 1850 * 12 + 2, 2025 * 12 + 9),
        ("1850-03/2025-10", 1850 * 12 + 2, 2025 * 12 + 9),
        ("1950-", 1950 * 12, None),
        ("-1950", None, 1950 * 12 + 11),
        ("195004-", 1950 * 12 + 3, None),
        ("1877", 1877 * 12, 1877 * 12 + 11),
        (" 1850 - 2025 ", 1850 * 12, 2025 * 12 + 11),
    ],
)
def test_period_forms(text: str, start: int | None, end: int | None) -> None:
    assert parse_period(text) == Period(start, end)


@pytest.mark.parametrize("text", ["", "-", "banana", "2000-1990", "185013-190001", "18500-1900", "1850-2025-2030"])
def test_bad_periods(text: str) -> None:
    with pytest.raises(ValueError, match=r"period|month|before"):
        parse_period(text)


def test_a_period_prints_as_it_can_be_read() -> None:
    for text in ("1850-2025", "1950-", "-195003", "187709-189308"):
        period = parse_period(text)
        assert parse_period(str(period)) == period


def test_months() -> None:
    assert parse_month("1877-11") == parse_month("187711") == 1877 * 12 + 10
    with pytest.raises(ValueError, match="month"):
        parse_month("1877-13")
