"""Role of a file by its path (the field, a realisation, errors), its version, and whether its gaps are filled."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from climrecon.datasets import Stated, release_of
from climrecon.datasets import why_infilled as stated_infilled
from climrecon.netcdf.names import plain_name

MAIN, MEMBER, UNCORRELATED, COVARIANCE = "main", "member", "uncorrelated", "error_covariance"
#: Other files of a data set: further uncertainties, counts, weights.
ANCILLARY = "ancillary"

_MEMBER = re.compile(
    # HadCRUT.5.0.2.0.anomalies.7.nc; at CEDA HadCRUT.5.0.0.0_anomalies_7.nc
    r"(?:anomalies|(?:ensemble[._-]?)?(?:member|reali[sz]ation)|ensemble)[._-]?(\d{1,4})\.nc$",
    re.IGNORECASE,
)
_PATTERNS = (
    (COVARIANCE, re.compile(r"error[_-]covariance", re.IGNORECASE)),
    (UNCORRELATED, re.compile(r"uncorrelated(?![_-]supplementary)", re.IGNORECASE)),
    (
        ANCILLARY,
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
_GRID_NAME = re.compile(r"_r\d+i\d+p\d+f\d+_(g[a-z0-9]{1,4})(?=[_.])")
_GRID_FOLDER = re.compile(r"^g[mnr]\d?[a-z]?$")
_INFILLED_PRODUCTS = ("analysis", "infilled")


def role_of(path: str) -> str:
    """Role of a file, by its name."""
    name = plain_name(PurePosixPath(path).name)
    for role, pattern in _PATTERNS:
        if pattern.search(name):
            return role
    return MAIN


def member_number(path: str) -> int:
    """Number of a realisation's file, 0 if it has none."""
    match = _MEMBER.search(plain_name(PurePosixPath(path).name))
    return int(match[1]) if match else 0


def version_in(path: str) -> str:
    """Version by the path: of a DRS folder ``v20120101``, or of a known data set's file name; else ""."""
    place = PurePosixPath(path)
    folder = next((part for part in reversed(place.parts[:-1]) if _VERSION_FOLDER.match(part)), "")
    known = None if folder else release_of(Stated(place.name))
    return folder or (known.version if known else "")


def grid_in(path: str) -> str:
    """The label of the grid (``gn``, ``gr``) by a file's name or folder in CMIP6's form; else ""."""
    place = PurePosixPath(path)
    named = _GRID_NAME.search(place.name)
    return named[1] if named else next((part for part in reversed(place.parts[:-1]) if _GRID_FOLDER.match(part)), "")


def why_infilled(path: str, product: str = "") -> str | None:
    """Why the gaps of this file are known to be filled, by its name, product or folder; None if not."""
    name = Stated(PurePosixPath(path).name)
    release = release_of(name)
    row = release.data_set if release else None
    reason = stated_infilled(name, row)
    if reason or "infilled" in name.path.lower():  # "non-infilled" in a name decides
        return reason
    if product.casefold() in _INFILLED_PRODUCTS:
        return f"its product says that its gaps are filled already ({product!r})"
    return stated_infilled(Stated(path), row)
