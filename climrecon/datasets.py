"""The table of data sets, and which data set, release and variable a file holds.

A data set that is to be known is one more row of :data:`DATA_SETS`: reader, catalogue builder, search and watch take all
that they know of it from there. What a file states is weighed in :func:`release_of`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any

from climrecon.errors import InputDataError
from climrecon.variables import VARIABLES


@dataclass(frozen=True)
class DataSet:
    """What the package knows of a data set.

    Patterns are regular expressions, sought without regard to case.

    Attributes
    ----------
    name:
        As the facet ``model`` names it; with its ``generation`` where this is a part of the name (HadCRUT5).
    pattern:
        Of file names, titles and other names of it, with all its aliases. Names that several producers give to their
        files (``air.mon.anom.nc``) belong to none.
    version:
        Of the version in a file's name, as first group, where the usual patterns do not find it.
    blended:
        Whether it blends air temperature over land with sea-surface temperature.
    parts:
        Names of the data sets that it is made of: a text that names several of them names it too.
    base:
        First and last year of its anomalies' reference period, for files that do not state it; None if not known.
    bases:
        The same for versions with another one, by the start of the version: ``{"6": (1991, 2020)}``.
    absolute:
        Whether its fields are absolute values.
    institute:
        Facet.
    names:
        Its names of variables in files, lower case -> CMOR name; usual ones stand in :mod:`climrecon.variables`.
    generations:
        Whether the first number of the version is a part of the name.
    reanalysis:
        Whether it is a reanalysis, whose files may bear CMOR names.
    infilled, infilled_folder:
        Of names and titles, and of folders, of products whose gaps the producer has filled.
    most_covered:
        Share of the area that the product with its real gaps never exceeds in a month on cells of five degrees.
    """

    name: str
    pattern: str
    version: str = ""
    blended: bool = False
    parts: tuple[str, ...] = ()
    base: tuple[int, int] | None = None
    bases: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    absolute: bool = False
    institute: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    generations: bool = False
    reanalysis: bool = False
    infilled: str = ""
    infilled_folder: str = ""
    most_covered: float = 1.0

    @property
    def of_anomalies(self) -> bool:
        """Whether its fields are known to be anomalies."""
        return self.base is not None and not self.absolute


#: Blends come first: their names and titles name their parts too (``gistemp1200_GHCNv4_ERSSTv5.nc``).
DATA_SETS: tuple[DataSet, ...] = (
    DataSet(
        "CowtanWay", r"had4\w*_(?:krig|uah)|cowtan",
        blended=True, parts=("HadCRUT", "CRUTEM", "HadSST"), base=(1961, 1990), institute="UYork",
        infilled=r"had4\w*_(?:krig|uah)|cowtan",
    ),
    DataSet(
        "HadCRUT", r"hadcrut",
        blended=True, parts=("CRUTEM", "HadSST"), base=(1961, 1990), institute="MOHC", generations=True,
        names={"tas_mean": "tas", "tas_median": "tas", "temperature_anomaly": "tas"},
        infilled=r"(?<![a-z])(?<!re[\W_])analys[ei]s(?![a-z])|20crai",
        # At CEDA the analysis and the gappy fields bear the same file names.
        infilled_folder=r"/hadcrut\.?5[^/]*/(?:[^/]+/)?analysis/",
        most_covered=0.92,
    ),
    DataSet(
        "GISTEMP", r"gistemp",
        blended=True, parts=("ERSST",), base=(1951, 1980), institute="NASA-GISS", names={"tempanomaly": "tas"},
    ),
    DataSet(
        "NOAAGlobalTemp", r"noaa[\W_]*(?:merged[\W_]*land[\W_]*ocean[\W_]*)?global[\W_]*(?:surface[\W_]*)?temp",
        blended=True, parts=("ERSST",), base=(1971, 2000), institute="NOAA", names={"anom": "tas"},
    ),
    DataSet(
        "BerkeleyEarth", r"land_and_ocean_latlong\d?|berkeley",
        blended=True, parts=("HadSST",), base=(1951, 1980), institute="BerkeleyEarth",
    ),
    DataSet(
        "DCENT", r"(?<![a-z])dcent",
        blended=True, base=(1982, 2014), institute="WHOI", infilled=r"(?<![a-z])dcent[\W_]?(?:i(?![a-z])|mle)",
    ),
    DataSet("HadCRU-MLE", r"hadcru[\W_]?mle", blended=True, infilled=r"hadcru[\W_]?mle"),
    DataSet("CRUTEM", r"crutem", base=(1961, 1990), institute="MOHC", generations=True),
    DataSet(
        "CRU-TS", r"(?<![a-z])cru(?:_reanaly)?[\W_]?ts(?![a-z])", version=r"[\W_]?ts[\W_]?v?(\d\.\d\d)",
        institute="UEA-CRU", absolute=True,
    ),
    DataSet(
        "HadSST", r"hadsst", base=(1961, 1990), institute="MOHC", generations=True,
        names={"tos_mean": "tos", "anom": "tos"},
    ),
    DataSet(
        "ERSST", r"ersst|extended reconstructed (?:sst|sea[\W_]surface)",
        base=(1971, 2000), absolute=True, institute="NOAA", names={"anom": "tos"},
    ),
    DataSet(
        "20CR", r"20cr|(?:20th|twentieth) century reanalysis",
        institute="NOAA-PSL", reanalysis=True, absolute=True, names={"air": "tas"},
    ),
)  # fmt: skip
#: Words for infilled products of any data set, and for products that are not infilled.
_FILLED = r"(?:in|gap)[\W_]?fill(?:ed|ing)?(?![a-z])"
_INFILLED = (
    rf"{_FILLED}|(?<![a-z])krig(?:ed|ing)?(?![a-z])|(?<!un)(?<!non)[._-]filled[._-]|[._-]analysis[._-]anomal"
    r"|(?<![a-z])spatially[\W_]complete|climrecon-"
)
_NOT_INFILLED = (
    r"(?<![a-z])(?:non|not|no|un|without|never|before)(?:[\W_]+(?:been|yet|the|any)\b)*[\W_]*"
    rf"{_FILLED}|(?<![a-z])unfilled"
)
#: Attributes that name a product as titles do, those about other things than the data, and those that are flags.
_NAMES_PRODUCT = re.compile(r"product\w*|source_label|variant_info|data(?:_?set)?_type", re.IGNORECASE)
_NOT_ON_DATA = re.compile(
    r"history|references?|licen[cs]e|acknowledg\w*|institution\w*|\w*ur[il]|\w*doi", re.IGNORECASE
)
_FLAG = re.compile(r"(?:is_?)?(?:in|gap_?)?filled", re.IGNORECASE)
#: Names and standard names of fields about a variable, not of it.
_ABOUT_A_VARIABLE = re.compile(r"climatolog|_unc\b|uncertainty|error|std|spread|bnds|bounds|status|flag", re.IGNORECASE)
_VERSION = re.compile(r"(?<!\d)(?<!\d\.)(\d+(?:\.\d+){2,3})(?![\d]|\.\d)")
_SHORT_VERSION = re.compile(r"[._ -]v(?:ersion )?(\d{1,3}[a-z]?(?:[._]\d{1,2}(?!\d))*)(?![a-z\d])", re.IGNORECASE)
#: ``HadCRUT4``, ``ERSSTv5``, ``HadCRUT-5-1-0-0``: behind the data set's name; not the 1200 km of ``gistemp1200``.
_VERSION_BEHIND = re.compile(r"[._ -]?v?(\d{1,2}(?:-\d{1,2}){2,3})(?!\d)|v?(\d{1,2}[a-z]?)(?![a-z\d])", re.IGNORECASE)
#: What stands behind these words in a title is about the program that wrote the file, not about the data set.
_WRITTEN_FOR = re.compile(
    r"\b(?:reformatted|prepared|processed|output|written|converted)\b.*", re.IGNORECASE | re.DOTALL
)
#: Attributes that name the data set, of a variable and of a file.
_OF_VARIABLE = ("dataset", "long_name")
_OF_FILE = ("title", "dataset_title", "dataset", "dataset_id", "dataset_name", "version")
#: Where texts stand that are more than names; as notes and messages call these places.
USER, _FOLDER, _NAME = "the parameter model", "its folder", "its name"


@dataclass(frozen=True)
class Stated:
    """What a file states about the data set that it holds.

    Attributes
    ----------
    path:
        Of the file; its last folders count, and its name.
    attributes, variable:
        Of the file, and of the variable that is read.
    model:
        Facet of the catalogue that lists the file.
    named:
        The data set as the user names it; decides.
    """

    path: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    variable: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    named: str = ""

    @property
    def name(self) -> str:
        """Of the file."""
        return PurePath(self.path).name

    @property
    def title(self) -> str:
        """Of the file."""
        return str(self.attributes.get("title", ""))

    @cached_property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """Where a text stands, and the text; what counts most comes first."""
        found = [(USER, self.named), *((f"the {key} of its variable", self.variable.get(key)) for key in _OF_VARIABLE)]
        found += [(f"its {key}", self.attributes.get(key)) for key in (*_OF_FILE, "source_id")]
        folders = reversed(PurePath(self.path).parent.parts)
        folder = next(filter(is_data_set, folders), "")  # the nearest
        model = self.model if is_data_set(self.model) else ""
        found += [("the catalogue's model", model), (_FOLDER, folder), (_NAME, self.name)]
        return tuple((where, str(text)) for where, text in found if isinstance(text, str) and text.strip())


def is_data_set(text: str) -> bool:
    """Whether ``text`` is the name of a data set, and nothing else but its version."""
    return any(re.fullmatch(rf"(?:{row.pattern})[\W_]*v?[\d._-]*[a-z]?", text, re.IGNORECASE) for row in DATA_SETS)


@dataclass(frozen=True)
class Release:
    """A data set and its version, "" if this is not known.

    ``evidence`` is where the data set is named; ``doubts`` are other versions that the file states.
    """

    data_set: DataSet
    version: str
    evidence: str = field(default="", compare=False)
    doubts: tuple[str, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.data_set.name

    @property
    def base(self) -> tuple[int, int] | None:
        """First and last year of the reference period of its anomalies, where a file states none."""
        row = self.data_set
        return next((base for start, base in row.bases.items() if self.version.startswith(start)), row.base)

    @property
    def note(self) -> str:
        """What was decided, and from what."""
        label = f"{self.name}.{self.version}" if self.version else self.name
        return f"data set {label}, by {self.evidence}" + "".join(f"; {doubt}" for doubt in self.doubts)


def release_of(stated: Stated) -> Release | None:
    """Data set and version of a file, by patterns, so that future releases are recognised too; None if unknown.

    The user's word decides. Else the attributes of the variable count before those of the file, these before
    ``source_id``, catalogue and folder, and these before the file's name.

    Raises
    ------
    InputDataError
        If two of them name different data sets.
    """
    first, agreed = "", list[DataSet]()
    for where, text in stated.texts[:1] if stated.named else stated.texts:
        rows = _named_in(text)
        if not rows:
            continue
        if where == _FOLDER:  # a blend's folder may hold its parts
            rows += [row for row in DATA_SETS if any(row.name in one.parts for one in rows)]
        common = [row for row in agreed if row in rows]
        if agreed and not common:
            raise InputDataError(
                f"It is not clear which data set this is: {first} names {agreed[0].name}, {where} ({text!r}) names "
                f"{rows[0].name}.",
                f"Name the data set with model=, e.g. model={agreed[0].name}, together with obs_file=; or correct the "
                "wrong statement.",
            )
        first = first or f"{where} ({text!r})"
        agreed = common or rows
    return _with_version(agreed[0], stated, first) if agreed else None


def _named_in(text: str) -> list[DataSet]:
    """The data sets that a text names, and the blends of which it names several parts."""
    rows = [row for row in DATA_SETS if _search(row.pattern, text)]
    names = {row.name for row in rows}
    return [row for row in DATA_SETS if row in rows or len(names.intersection(row.parts)) > 1]


def _with_version(row: DataSet, stated: Stated, evidence: str) -> Release:
    """The release with the first version that is stated, in full where a later text has more numbers of it."""
    version, first = "", ""
    doubts = []
    for where, text in stated.texts:
        found = _version_in(row, text, alone=where in (_NAME, "its version"))
        if found.startswith(version):
            version, first = found or version, (first or where) if found else first
        elif found and not version.startswith(found):
            doubts.append(f"{first} states version {version}, {where} {found}")
    return Release(row, version, evidence, tuple(doubts))


def _version_in(row: DataSet, text: str, *, alone: bool) -> str:
    """The version in ``text``, which names the data set, or is a version's place (``alone``)."""
    match = _search(row.pattern, text)
    if match is None and (not alone or _named_in(text)):  # a version of another data set is none of this one
        return ""
    if not alone:
        text = _WRITTEN_FOR.sub("", text)
    number = _search(row.version, text) or _VERSION.search(text)
    number = number or (match and _VERSION_BEHIND.match(text, match.end())) or _SHORT_VERSION.search(text)
    found = next(filter(None, number.groups()), "") if number else ""
    return found.replace("_", ".").replace("-", ".")


def why_infilled(stated: Stated, data_set: DataSet | None = None) -> str | None:
    """Why a product is known to be infilled, by what its file states; None if it is not.

    ``non-infilled`` in a text is a statement too, and counts more than the name of a folder.

    Raises
    ------
    InputDataError
        If one text states the one, another text the other.
    """
    pattern = "|".join(filter(None, (data_set.infilled if data_set else "", _INFILLED)))
    found: list[tuple[str, str]] = []
    denied = ""
    for where, text, names in _on_gaps(stated):
        if _search(_NOT_INFILLED, text):
            denied = denied or f"{where} ({text!r})"
        elif match := _search(pattern if names else _FILLED, text):
            found.append((where, match[0]))
    if found and denied:
        raise InputDataError(
            f"It is not clear whether the gaps of {stated.name} are filled: {found[0][0]} says so ({found[0][1]!r}), "
            f"{denied} denies it.",
            "Correct the wrong statement, or use the file as it is with allow_infilled=true.",
        )
    if not found and not denied and (folder := _infilled_folder(stated.path)):
        found = [(_FOLDER, folder)]
    return f"{found[0][0]} says that its gaps are filled already ({found[0][1]!r})" if found else None


def _on_gaps(stated: Stated) -> Iterator[tuple[str, str, bool]]:
    """Where a text stands that may state that gaps are filled, the text, and whether it is a name; flags become texts."""
    yield from ((where, text, True) for where, text in stated.texts if where not in (USER, _FOLDER))
    for attributes, known in ((stated.variable, _OF_VARIABLE), (stated.attributes, _OF_FILE)):
        for key, value in attributes.items():
            if _FLAG.fullmatch(key):
                filled = str(value).strip().lower() in ("true", "t", "yes", "y", "1", ".true.")
                yield f"the attribute {key}={value}", "infilled" if filled else "non-infilled", True
            elif isinstance(value, str) and key not in known and not _NOT_ON_DATA.fullmatch(key):
                yield f"its {key}", value, bool(_NAMES_PRODUCT.fullmatch(key))


def _infilled_folder(path: str) -> str | None:
    """The part of ``path`` that is the folder of an infilled product, None if no folder is."""
    matches = (_search(row.infilled_folder, path) for row in DATA_SETS)
    return next((match[0] for match in matches if match), None)


def canonical_variable(name_in_file: str, attributes: Mapping[str, Any], data_set: DataSet | None = None) -> str | None:
    """CMOR name of a variable called ``name_in_file`` in its file, or None if it is not known.

    A name that belongs to one variable decides. For a name that several quantities share (``air``, ``anom``) the standard
    name does, then the data set, then the long name, and last the quantity that most producers mean.
    """
    name = name_in_file.lower()
    for one in VARIABLES.values():
        if name in one.names or name in one.standard_names:
            return one.name
    standard = str(attributes.get("standard_name", "")).strip().lower()
    if _ABOUT_A_VARIABLE.search(name_in_file) or _ABOUT_A_VARIABLE.search(standard):
        return None
    if standard not in ("", "unknown"):
        return next((one.name for one in VARIABLES.values() if standard in one.standard_names), None)
    if data_set and name in data_set.names:
        return data_set.names[name]
    usual = [one.name for one in VARIABLES.values() if name in one.shared_names]
    usual += [row.names[name] for row in DATA_SETS if name in row.names]
    return (_by_long_name(str(attributes.get("long_name", ""))) or usual[0]) if usual else None


def _by_long_name(text: str) -> str | None:
    """The variable that a long name describes, None if it describes none or several, as that of a blend does."""
    found = [one.name for one in VARIABLES.values() if one.described and _search(one.described, text)]
    return found[0] if len(found) == 1 else None


def _search(pattern: str, text: str) -> re.Match[str] | None:
    return re.search(pattern, text, re.IGNORECASE) if pattern else None
