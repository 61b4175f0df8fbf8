"""What a file of an observational data set is: the field, a realisation of it, or its errors."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

MAIN, MEMBER, UNCORRELATED, COVARIANCE = "main", "member", "uncorrelated", "error_covariance"

_PATTERNS = (
    (COVARIANCE, re.compile(r"error[_-]covariance", re.IGNORECASE)),
    (UNCORRELATED, re.compile(r"uncorrelated", re.IGNORECASE)),
    (MAIN, re.compile(r"ensemble[_-]mean|median|summary", re.IGNORECASE)),
    # HadCRUT.5.0.2.0.anomalies.7.nc; at CEDA HadCRUT.5.0.0.0_anomalies_7.nc
    (MEMBER, re.compile(r"anomalies[._](\d{1,3})\.nc$", re.IGNORECASE)),
)


def role_of(path: str) -> str:
    """Role of a file, by its name."""
    name = PurePosixPath(path).name
    for role, pattern in _PATTERNS:
        if pattern.search(name):
            return role
    return MAIN


def member_number(path: str) -> int:
    """Number of a realisation's file, 0 if it has none."""
    match = _PATTERNS[-1][1].search(PurePosixPath(path).name)
    return int(match[1]) if match else 0
