"""Opening an intake-esm catalogue of any dialect; millions of entries stay a few arrays."""

from __future__ import annotations

import ast
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urljoin, urlparse

from climrecon.catalogue.dialects import COLUMNS, columns_of, frequency
from climrecon.catalogue.roles import grid_in, role_of, version_in
from climrecon.errors import NoDataError
from climrecon.files import ABSENT, parse_json, read_bytes, why_unreadable
from climrecon.servers import fetch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_REMOTE = ("http://", "https://")
#: Columns of a table without a descriptor that hold the files, in any dialect.
_ASSETS = ("uri", "path", "file", "location", "filename")
_EXPECTED = "Give the JSON descriptor of an intake-esm catalogue; 'climrecon catalogue build DIR' writes one."


@dataclass(frozen=True)
class Row:
    """One file: its path or URI, and its facets ("" where the catalogue has none)."""

    path: str
    facets: dict[str, str]
    variables: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the file."""
        return PurePosixPath(self.path).name

    @property
    def version(self) -> str:
        """Facet."""
        return self.facets["version"]

    @property
    def role(self) -> str:
        """By the name; see :mod:`climrecon.catalogue.roles`."""
        return role_of(self.path)


class LeftOut(NamedTuple):
    """A file that matched and was not taken, and why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Column:
    """One facet of all N entries: ``codes`` (N,) point into ``values``, the few that there are."""

    codes: NDArray[np.int32]
    values: tuple[tuple[str, ...], ...]

    def where(self, test: Callable[[str], bool]) -> NDArray[np.bool_]:
        """(N,) True where one of an entry's values passes ``test``."""
        import numpy as np

        hits = np.array([any(test(text) for text in value) for value in self.values], dtype=bool)
        return np.asarray(hits[self.codes])


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The entries of a catalogue, by facet.

    ``facets`` are those that the catalogue has a column for; ``locations`` (N,) its asset column, as pandas
    has it.
    """

    origin: str
    facets: frozenset[str]
    columns: Mapping[str, Column]
    locations: Any
    base: Path | None

    def __len__(self) -> int:
        return len(self.locations)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All entries; for large catalogues :meth:`take` those that are wanted."""
        return self.take(range(len(self)))

    def take(self, positions: Any) -> tuple[Row, ...]:
        """The entries at ``positions``."""
        return tuple(self._row(int(position)) for position in positions)

    def values(self, facet: str, chosen: NDArray[np.bool_]) -> set[str]:
        """The values of ``facet`` in the ``chosen`` (N,) entries."""
        import numpy as np

        column = self.columns[facet]
        return {text for code in np.unique(column.codes[chosen]) for text in column.values[code] if text}

    def _row(self, position: int) -> Row:
        path = _location(str(self.locations.iloc[position]), self.base)
        facets = dict.fromkeys(COLUMNS, "")
        for name, column in self.columns.items():
            facets[name] = next(iter(column.values[column.codes[position]]), "")
        # Freva's exports have no version column; equal files of two versions must be distinguished all the same.
        facets["version"] = facets["version"] or version_in(path)
        facets["grid_label"] = facets["grid_label"] or grid_in(path)
        variable = self.columns.get("variable")
        return Row(path, facets, variable.values[variable.codes[position]] if variable else ())


def open_catalogue(origin: str | Path) -> Catalogue:
    """Open a descriptor with inline entries or a CSV next to it, at a path or an http(s) URL.

    Of a YAML catalogue that holds one such descriptor, that one is opened; a CSV whose files stand in a usual column is
    read as it is.

    Raises
    ------
    NoDataError
        If it cannot be reached or read, or is no intake-esm catalogue.
    """
    origin = str(origin)
    if not origin.startswith(_REMOTE):
        origin = str(Path(origin).expanduser())
    origin, content = _descriptor(origin)
    remote = origin.startswith(_REMOTE)
    try:
        import intake_esm
        import pandas  # type: ignore[import-untyped,unused-ignore]

        inline = content.get("catalog_dict")
        with TemporaryDirectory(prefix="climrecon-") as folder:
            # intake-esm guesses the types of inline entries from the first hundred, and fails on the others.
            source = {"esmcat": content, "df": pandas.DataFrame(inline)} if inline is not None else (
                _beside(content, origin, Path(folder))
            )  # fmt: skip
            store = intake_esm.esm_datastore(source)
            frame, asset = store.df, store.esmcat.assets.column_name
    except MemoryError:
        raise
    except Exception as error:  # intake-esm raises what its many parsers raise
        problem = next(iter(str(error).splitlines()), "")[:300]
        raise NoDataError(
            f"The catalogue {origin} cannot be read: {type(error).__name__}: {problem}",
            "An intake-esm descriptor (JSON) with its entries inline or in a CSV file next to it is expected; "
            "'climrecon catalogue build DIR' writes one.",
        ) from error
    if len(frame) and asset not in frame.columns:
        raise NoDataError(
            f"The catalogue {origin} has no column {asset!r}, which its descriptor says holds the files; it has "
            f"{', '.join(map(str, frame.columns))}.",
            "Mend assets.column_name in the descriptor.",
        )
    # Files must be found from anywhere, so relative paths start at the catalogue.
    base = None if remote else Path(origin).absolute().parent
    named = columns_of(frame.columns)
    columns = {facet: _coded(frame[column]) for facet, column in named.items()}
    if "time_frequency" in columns or "cmor_table" in columns:
        columns["time_frequency"] = _frequencies(columns.get("time_frequency"), columns.get("cmor_table"), len(frame))
    locations = frame[asset] if len(frame) else pandas.Series([], dtype=object)
    return Catalogue(origin, frozenset(columns), columns, locations, base)


def _descriptor(origin: str) -> tuple[str, dict[str, Any]]:
    """Where the descriptor is, and its content; fails early, and clearly, where it is absent or of another kind."""
    try:
        text = fetch(origin) if origin.startswith(_REMOTE) else read_bytes(Path(origin))
    except OSError as error:
        raise NoDataError(
            f"The catalogue {origin} cannot be reached: {error}", "Check catalogue= or the site file."
        ) from error
    kind = PurePosixPath(urlparse(origin).path).name.lower()
    if kind.endswith((".yaml", ".yml")):
        return _descriptor(_one_descriptor_of(origin, text))
    if ".csv" in kind:
        return origin, _descriptor_of_table(origin, text)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise NoDataError(f"The catalogue {origin} is no valid JSON: {error}", _EXPECTED) from error
    if not isinstance(content, dict) or "assets" not in content:
        raise NoDataError(f"{origin} is JSON, but no intake-esm catalogue: it names no assets.", _EXPECTED)
    return origin, content


def _one_descriptor_of(origin: str, text: bytes) -> str:
    """The JSON descriptor that a YAML catalogue of intake names; refuses none, and several with their places."""
    import yaml  # type: ignore[import-untyped,unused-ignore]

    folder = origin.rpartition("/")[0] or "."
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NoDataError(
            f"The catalogue {origin} is no valid YAML: {next(iter(str(error).splitlines()), '')}",
            "Give the JSON descriptor of an intake-esm catalogue.",
        ) from error
    found = dict(_descriptors(content if isinstance(content, dict) else {}, folder))
    if len(found) == 1:
        return next(iter(found.values()))
    listed = "".join(f"\n  {name}: {place}" for name, place in found.items())
    held = f"of {len(found)} catalogues:{listed}" if found else "that names no intake-esm catalogue."
    raise NoDataError(
        f"{origin} is a YAML catalogue {held}", "Give the JSON of one of them with catalogue=." if found else _EXPECTED
    )


def _descriptors(content: dict[str, Any], folder: str) -> Iterator[tuple[str, str]]:
    """Name and descriptor of each intake-esm catalogue in a YAML catalogue."""
    sources = content.get("sources")
    for name, source in sources.items() if isinstance(sources, dict) else ():
        arguments = source.get("args") if isinstance(source, dict) else None
        if not isinstance(arguments, dict) or "esm" not in str(source.get("driver", "")):
            continue
        place = str(arguments.get("obj") or arguments.get("esmcol_obj") or "")
        place = place.replace("{{CATALOG_DIR}}", folder).replace("{{ CATALOG_DIR }}", folder)
        if place:
            yield str(name), place


def _descriptor_of_table(origin: str, text: bytes) -> dict[str, Any]:
    """A descriptor for a CSV, compressed or not, that came without one."""
    import pandas  # type: ignore[import-untyped,unused-ignore]

    packed = "gzip" if text[:2] == b"\x1f\x8b" else "bz2" if text[:3] == b"BZh" else None
    hint = "Give the JSON descriptor that belongs to this CSV; it stands beside it as a rule."
    try:
        frame = pandas.read_csv(io.BytesIO(text), compression=packed, dtype=str, keep_default_na=False)
    except (ValueError, OSError, EOFError) as error:
        raise NoDataError(f"The table {origin} cannot be read: {error}", hint) from error
    asset = next((name for name in _ASSETS if name in frame.columns), None)
    if asset is None:
        raise NoDataError(
            f"The table {origin} has no column of files ({', '.join(_ASSETS)}); it has {', '.join(frame.columns)}.",
            hint,
        )
    return {
        "esmcat_version": "0.1.0",
        "id": os.path.basename(origin),  # noqa: PTH119 - it may be an address
        "attributes": [{"column_name": name} for name in frame.columns if name != asset],
        "assets": {"column_name": asset, "format": "netcdf"},
        "catalog_dict": frame.to_dict("records"),
    }


def _beside(content: Mapping[str, Any], origin: str, folder: Path) -> str:
    """A descriptor whose CSV file is here: ``origin``, or for a CSV on a server a copy of both in ``folder``."""
    address = urljoin(origin, str(content.get("catalog_file")))
    if not address.startswith(_REMOTE):
        table = Path(origin).absolute().parent / str(content.get("catalog_file"))
        if (why := why_unreadable(table)) not in (None, ABSENT):
            raise OSError(f"{table}: {why}")
        return origin
    table = folder / PurePosixPath(urlparse(address).path).name
    table.write_bytes(fetch(address))
    copy = folder / ".descriptor.json"
    copy.write_text(json.dumps({**content, "catalog_file": str(table)}), encoding="utf-8")
    return str(copy)


def _coded(series: Any) -> Column:
    """The distinct values of a column, each as texts, and where they stand."""
    import numpy as np
    import pandas  # type: ignore[import-untyped,unused-ignore]

    try:
        codes, unique = pandas.factorize(series)
    except TypeError:  # lists have no hash
        codes, unique = pandas.factorize(series.map(_texts))
    # A missing value has the code -1, which is the last value.
    return Column(codes.astype(np.int32), (*(_texts(value) for value in unique), ()))


def _frequencies(stated: Column | None, table: Column | None, size: int) -> Column:
    """Frequency of each entry, from its column or else from its CMOR table."""
    import numpy as np
    import pandas  # type: ignore[import-untyped,unused-ignore]

    none = Column(np.zeros(size, np.int32), ((),))
    first, second = stated or none, table or none
    width = len(second.values)
    pair = (first.codes % len(first.values)).astype(np.int64) * width + second.codes % width
    codes, unique = pandas.factorize(pair)
    texts = [frequency(" ".join(first.values[both // width]), " ".join(second.values[both % width])) for both in unique]
    return Column(codes.astype(np.int32), (*((text,) for text in texts), ()))


def _texts(value: Any) -> tuple[str, ...]:
    """A cell as texts; variable columns hold lists, in CSV files written out as ``['tas']``."""
    if isinstance(value, str) and value[:1] in "[(" and value[-1:] in "])":
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):  # the latter two of deep brackets
            return (value,)
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        return tuple(str(part) for part in value)
    if value is None or (isinstance(value, float) and value != value):
        return ()
    # A column of numbers with holes is read as floats: 20120101.0 is the version 20120101.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return (str(value),)


def _location(text: str, base: Path | None) -> str:
    """A path as it can be opened; URIs of other schemes (tape) stay as they are."""
    parsed = urlparse(text)
    if parsed.scheme == "file":
        return unquote(parsed.path)
    if "://" in text or base is None or Path(text).is_absolute():
        return text
    return str(base / text)
