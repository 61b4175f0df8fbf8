"""Parts of the Markdown tables that benchmarks/tables.py renders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def between(interval: list[float], form: str = "+.3f") -> str:
    low, high = interval
    return f"{low:{form}}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{high:{form}}"


def share(value: float, low: float, high: float) -> str:
    """A share with the lowest and highest one in brackets; browsers do not break it."""
    return f"{value:.2f}\N{NO-BREAK SPACE}({low:.2f}\N{NON-BREAKING HYPHEN}{high:.2f})"
