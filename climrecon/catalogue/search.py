"""From facets to the files of one data set, and why others were left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from climrecon.catalogue import search_errors
from climrecon.catalogue.chunks import in_time, months_of
from climrecon.catalogue.dialects import frequency
from climrecon.catalogue.opening import Catalogue, LeftOut, Row
from climrecon.catalogue.roles import ANCILLARY, COVARIANCE, MAIN, MEMBER, UNCORRELATED, member_number, why_infilled
from climrecon.catalogue.versions import newest, version_key
from climrecon.datasets import canonical_variable
from climrecon.errors import NoDataError
from climrecon.files import FOLDER, why_unreadable
from climrecon.netcdf.forms import is_zarr

#: Facets that distinguish data sets; the last two only among the fields themselves, because realisations
#: and error files differ in `ensemble` and belong to their mean all the same.
DATASET = ("project", "product", "institute", "model", "experiment", "ensemble", "grid_label")
_SHARED = 5
#: Products that a search takes only if they are named: our own output, and the demo's hidden truth.
NEVER_BY_DEFAULT = ("reconstruction", "truth")
ANY = "*"
ERRORS = (UNCORRELATED, COVARIANCE)
#: Ensembles are handed out in such files too.
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class SearchResult:
    """The files of one data set.

    ``main`` is the field, in order of time (several files are chunks of its time axis); ``members`` its realisations by
    number; ``uncorrelated`` the cell errors; ``error_covariance`` those of partly correlated errors, a file a month.
    """

    main: tuple[Path, ...]
    members: tuple[Path, ...] = ()
    uncorrelated: Path | None = None
    error_covariance: tuple[Path, ...] = ()
    facets: dict[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def search(
    catalogue: Catalogue,
    facets: Mapping[str, str | None],
    *,
    explicit: Collection[str] = (),
    preferred: Mapping[str, str] | None = None,
    allow_infilled: bool = False,
) -> SearchResult:
    """Find the one data set that ``facets`` ask for.

    Parameters
    ----------
    facets:
        Freva facet -> value; compared without regard to case. None, "" and ``*`` stand for any.
    explicit:
        Facets the user gave: one that the catalogue has no column for is then an error.
    preferred:
        Facets of the site's default data set: they decide where several match.
    allow_infilled:
        Whether products without gaps are taken too, as training data may be.

    Raises
    ------
    NoDataError
        If nothing matches (with the search, the values there are, and the closest), or several data
        sets do (with all of them).
    """
    if not len(catalogue):
        raise NoDataError(
            f"The catalogue {catalogue.origin} lists no files.",
            "Check catalogue=; 'climrecon catalogue build DIR' writes one over a folder of netCDF files.",
        )
    asked = {name: value for name, value in facets.items() if value and value != ANY}
    unknown = [name for name in asked if name not in catalogue.facets]
    if given := [name for name in unknown if name in explicit]:
        raise search_errors.no_column(catalogue, given)
    wanted = {name: value for name, value in asked.items() if name not in unknown}
    matching = _matching(catalogue, wanted)
    left_out: list[LeftOut] = []
    absent: list[Row] = []
    usable = []
    for row in matching:
        reason, is_absent = why_not(row, wanted, allow_infilled)
        if reason is None:
            usable.append(row)
            continue
        left_out.append(LeftOut(row.path, reason))
        if is_absent:
            absent.append(row)
    if not any(row.role in (MAIN, MEMBER) for row in usable):
        raise search_errors.none_usable(catalogue, wanted, len(matching), left_out)
    notes: list[str] = []
    rows, key = _one_dataset(usable, wanted, explicit, preferred or {}, left_out)
    role = MAIN if any(row.role == MAIN for row in rows) else MEMBER
    rows = _of_newest_version(rows, role, left_out, notes)
    main = [row for row in rows if row.role == MAIN]
    members = sorted((row for row in rows if row.role == MEMBER), key=lambda row: member_number(row.path))
    if main:
        main, within = in_time(main, notes)
        left_out += within
    else:
        main = members[:1]
        notes.append(f"there is no ensemble mean; {main[0].name} is taken")
    notes += _lacking(absent, main, key)
    errors = [row for row in rows if row.role == UNCORRELATED]
    return SearchResult(
        main=tuple(Path(row.path) for row in main),
        members=tuple(Path(row.path) for row in members),
        uncorrelated=Path(errors[0].path) if errors else None,
        error_covariance=tuple(Path(row.path) for row in rows if row.role == COVARIANCE),
        facets={name: value for name, value in main[0].facets.items() if value},
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def _matching(catalogue: Catalogue, wanted: Mapping[str, str]) -> tuple[Row, ...]:
    """The entries that match, and the error files that go with them; refuses a search without any."""
    import numpy as np

    hits = {
        name: catalogue.columns[name].where(lambda text, n=name, v=value: matches(n, text, v))  # type: ignore[misc]
        for name, value in wanted.items()
    }
    every = np.ones(len(catalogue), dtype=bool)
    matching = np.logical_and.reduce([every, *hits.values()])
    if not matching.any():
        raise search_errors.nothing(catalogue, wanted, hits)
    rows = catalogue.take(np.flatnonzero(matching))
    if "ensemble" in wanted:  # a data set's errors belong to each of its ensemble's files
        others = np.logical_and.reduce([every, *(hit for name, hit in hits.items() if name != "ensemble")])
        rows += tuple(row for row in catalogue.take(np.flatnonzero(others & ~matching)) if row.role in ERRORS)
    return rows


def matches(name: str, have: str, value: str) -> bool:
    """Whether facet ``name`` of an entry, ``have``, is the ``value`` asked for."""
    here, asked = have.casefold(), value.casefold()
    if name == "time_frequency":
        return here == frequency(value)
    if name == "variable":
        # Producers' own names (tas_mean) mean the variable; tas_unc is an error of it.
        return here in (asked, f"{asked}_unc") or canonical_variable(have, {}) == asked
    return here == asked


def why_not(row: Row, wanted: Mapping[str, str], allow_infilled: bool) -> tuple[str | None, bool]:
    """Why a file is not usable (None: it is), and whether that is only because it is not here."""
    product = row.facets["product"]
    if product.casefold() in NEVER_BY_DEFAULT and "product" not in wanted:
        return f"product={product} is taken only if asked for", False
    infilled = None if allow_infilled else why_infilled(row.path, product)
    if infilled:
        return infilled, False
    if row.path.lower().endswith(_ARCHIVES):
        return f"it is an archive of files; unpack it, e.g. with {_unpacking(row.path)}, and list the folder", False
    if row.role == ANCILLARY:
        return "it holds errors, counts or weights, not the field", False
    if row.path.startswith("slk://"):
        return "it is on tape; retrieve it first", True
    if "://" in row.path:
        return "it is an address; download it, or name it with obs_file", True
    why = why_unreadable(Path(row.path))
    if why == FOLDER:
        return (None, False) if is_zarr(Path(row.path)) else ("it is a folder, not a netCDF file", True)
    return why, why is not None


def _unpacking(path: str) -> str:
    return f"unzip '{path}' -d FOLDER" if path.lower().endswith(".zip") else f"tar -xf '{path}' -C FOLDER"


def _key(row: Row) -> tuple[str, ...]:
    names = DATASET if row.role == MAIN else DATASET[:_SHARED]
    return tuple(row.facets[name].casefold() for name in names)


def _one_dataset(
    rows: Sequence[Row],
    wanted: Mapping[str, str],
    explicit: Collection[str],
    preferred: Mapping[str, str],
    left_out: list[LeftOut],
) -> tuple[list[Row], tuple[str, ...]]:
    # Members without a mean are a data set too.
    groups = grouped([row for row in rows if row.role == MAIN] or rows, _key)
    # The user's facets count more than the site's.
    default = {name: value for name, value in preferred.items() if name not in explicit}
    standing = ""
    if len(groups) > 1 and default:
        of_default = {
            key: group
            for key, group in groups.items()
            if all(matches(n, group[0].facets.get(n, ""), v) for n, v in default.items())
        }
        standing = "is several of them" if of_default else "is not among them"
        groups = of_default or groups
    if len(groups) > 1:
        raise search_errors.several([group[0].facets for group in groups.values()], DATASET, wanted, default, standing)
    (key,) = groups
    chosen = [row for row in rows if _key(row) in (key, key[:_SHARED])]
    left_out += [LeftOut(row.path, "another data set") for row in rows if _key(row) not in (key, key[:_SHARED])]
    return chosen, key


def grouped(rows: Iterable[Row], key: Callable[[Row], tuple[str, ...]]) -> dict[tuple[str, ...], list[Row]]:
    """``rows`` by their ``key``, in the order in which they come."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _of_newest_version(rows: Sequence[Row], role: str, left_out: list[LeftOut], notes: list[str]) -> list[Row]:
    versions = {row.version for row in rows if row.role == role} - {""}
    best = newest(versions)
    if len(versions) > 1:
        listed = ", ".join(sorted(versions, key=version_key))
        notes.append(f"version {best} is taken, the newest of {listed}")
    # Errors and realisations of another version do not belong to this one.
    kept, others = of_version(rows, best)
    for row in others:
        how = "older" if version_key(row.version) < version_key(best) else "newer"
        left_out.append(LeftOut(row.path, f"version {row.version} is {how} than {best}"))
    return kept


def of_version(rows: Iterable[Row], version: str) -> tuple[list[Row], list[Row]]:
    """The files of a version or without any, and those of others; "" stands for all versions."""
    kept: list[Row] = []
    others: list[Row] = []
    for row in rows:
        (kept if not version or row.version in ("", version) else others).append(row)
    return kept, others


def _lacking(absent: Sequence[Row], main: Sequence[Row], key: tuple[str, ...]) -> list[str]:
    """Notes on newer versions and further months of the data set that are not here."""
    notes = []
    here = [row for row in absent if row.role == MAIN and _key(row) == key]
    version = main[0].version
    newer = {row.version for row in here if version_key(row.version) > version_key(version)}
    if newer and version:
        notes.append(f"version {newest(newer)} is newer than {version}, but it is on tape, missing or not readable")
    covered = [span for row in main if (span := months_of(row))]
    for row in here:
        span = months_of(row)
        if row.version != version or span is None or not covered:
            continue
        if not any(first <= span[0] and span[1] <= last for first, last in covered):
            notes.append(f"months of this data set are lacking: {row.name} is on tape, missing or not readable")
    return notes
