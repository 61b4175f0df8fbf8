"""What the path of a file says: the field, a realisation of it, or its errors; and which version."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from climrecon.variables import dataset_of, infilled_product

MAIN, MEMBER, UNCORRELATED, COVARIANCE = "main", "member", "uncorrelated", "error_covariance"
#: Whatever else belongs to a data set without being its field: further uncertainties, counts, weights.
ANCILLARY_ROLES = "beside"

_MEMBER = re.compile(
    # HadCRUT.5.0.2.0.anomalies.7.nc; at CEDA HadCRUT.5.0.0.0_anomalies_7.nc
    r"(?:anomalies|(?:ensemble[._-]?)?(?:member|reali[sz]ation)|ensemble)[._-]?(\d{1,4})\.nc$",
    re.IGNORECASE,
)
_PATTERNS = (
    (COVARIANCE, re.compile(r"error[_-]covariance", re.IGNORECASE)),
    (UNCORRELATED, re.compile(r"uncorrelated(?![_-]supplementary)", re.IGNORECASE)),
    (
        ANCILLARY_ROLES,
        re.compile(
            r"uncertaint|uncorrelated|sampling|standard[_-]?error|station[_-](?:error|count)|number[_-]of"
            r"|observation[_-]?count|[._-](?:bias(?:es)?|weights|unc|summary_series)[._-]",
            re.IGNORECASE,
        ),
    ),
    (MAIN, re.compile(r"ensemble[_-]mean|median|summary", re.IGNORECASE)),
    (MEMBER, _MEMBER),
)
_VERSION_FOLDER = re.compile(r"^v\d{1,8}$")
#: HadCRUT5 as CEDA keeps it: the analysis and the gappy fields bear the same file names.
_ANALYSIS_FOLDER = re.compile(r"/hadcrut\.?5[^/]*/(?:[^/]+/)?analysis/", re.IGNORECASE)
_INFILLED_PRODUCTS = ("analysis", "infilled")


def role_of(path: str) -> str:
    """Role of a file, by its name."""
    name = PurePosixPath(path).name
    for role, pattern in _PATTERNS:
        if pattern.search(name):
            return role
    return MAIN


def member_number(path: str) -> int:
    """Number of a realisation's file, 0 if it has none."""
    match = _MEMBER.search(PurePosixPath(path).name)
    return int(match[1]) if match else 0


def version_in(path: str) -> str:
    """Version as the path tells it: a DRS folder ``v20120101``, or the name of a known data set; else ""."""
    place = PurePosixPath(path)
    folder = next((part for part in reversed(place.parts[:-1]) if _VERSION_FOLDER.match(part)), "")
    known = None if folder else dataset_of(place.name)
    return folder or (known[1] if known else "")


def why_infilled(path: str, product: str = "") -> str | None:
    """Why the gaps of this file are known to be filled, by its name, folder or product; None if not."""
    place = PurePosixPath(path)
    told = infilled_product(place.name)
    if told or "infilled" in place.name.lower():  # a name that says "non-infilled" is believed
        return told
    if product.casefold() in _INFILLED_PRODUCTS:
        return f"its product says that its gaps are filled already ({product!r})"
    folder = _ANALYSIS_FOLDER.search(path)
    return f"its folder says that its gaps are filled already ({folder[0]!r})" if folder else None
