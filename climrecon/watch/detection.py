"""The files of a release, and what their names, attributes and axes state."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from climrecon.catalogue.roles import why_infilled
from climrecon.datasets import Stated, release_of
from climrecon.errors import InputDataError
from climrecon.files import why_unreadable
from climrecon.watch.file_stamps import ARCHIVES, archives_in

_VERSION = re.compile(r"\d+(?:\.\d+){2,3}")
_MONTHS = re.compile(r"\d{4}-?\d{2}\s*[-_]\s*\d{4}-?\d{2}")


@dataclass(frozen=True)
class ReleaseFiles:
    """The files of one release.

    A run reads ``main``, ``uncorrelated`` and some of the ``members``; these and ``archives`` (zips of members) are the
    ensemble: a release is taken only when they are whole too, but they alone cause no run. ``all_archives`` are all
    archives in the folders of ``main``, whatever they hold.
    """

    main: tuple[Path, ...]
    uncorrelated: Path | None
    members: tuple[Path, ...]
    archives: tuple[Path, ...]
    all_archives: tuple[Path, ...]

    @property
    def reads(self) -> tuple[Path, ...]:
        """The files that decide what a run gives."""
        return (*self.main, *([self.uncorrelated] if self.uncorrelated else []))

    @property
    def all(self) -> tuple[Path, ...]:
        """All files of the release, each once."""
        return tuple(dict.fromkeys((*self.reads, *self.members, *self.archives)))


def with_archives(
    main: Sequence[Path], uncorrelated: Path | None, members: Sequence[Path], listed: Sequence[str]
) -> ReleaseFiles:
    """Add the archives of members: those in ``listed`` (of the catalogue), and those beside the field's file."""
    in_folders = [Path(text) for text in archives_in(sorted({path.parent for path in main}))]
    archives = {
        *in_folders,
        *(
            path
            for path in map(Path, listed)
            if path.suffix.lower() in ARCHIVES and not path.name.startswith(".") and why_unreadable(path) is None
        ),
    }
    release = release_of(Stated(main[0].name))
    same = sorted(
        path
        for path in archives
        if release is not None and release_of(Stated(path.name)) == release and not why_infilled(str(path))
    )
    return ReleaseFiles(tuple(main), uncorrelated, tuple(members), tuple(same), tuple(in_folders))


@dataclass(frozen=True)
class Header:
    """Data set, version, months and grid of a release's files.

    ``first`` and ``last`` are months (year * 12 + month - 1), ``months`` their number; ``grid`` is its shape and a
    hash of the coordinates; ``stated_version`` the version attribute, ``version`` that of the name or else of the file.
    """

    dataset: str
    version: str
    stated_version: str
    first: int
    last: int
    months: int
    grid: str

    @property
    def span(self) -> str:
        """``YYYYMM-YYYYMM``."""
        return "-".join(f"{month // 12:04d}{month % 12 + 1:02d}" for month in (self.first, self.last))

    @property
    def name(self) -> str:
        """``HadCRUT.5.0.2.0_185001-202510``; the name a release of it is published under."""
        label = f"{self.dataset}.{self.version}" if self.version else self.dataset
        return re.sub(r"[^\w.-]", "-", f"{label}_{self.span}")


def read_header(paths: Sequence[Path], variable: str, named: str = "") -> Header:
    """Read attributes and axes, no data, of a variable that may be ``named`` as the files call it.

    Raises
    ------
    InputDataError
        If a file cannot be opened or has no such axes.
    """
    parts = [_read_one(path, variable, named) for path in paths]
    months = set().union(*(part[0] for part in parts))
    if len({part[1] for part in parts}) > 1:
        raise InputDataError(
            f"The files {', '.join(p.name for p in paths)} have different grids.",
            "Keep files of one grid under one name pattern.",
        )
    _, grid, title, stated = parts[-1]
    name = paths[-1].name
    known = release_of(Stated(name))  # a version that the name has is compared with the one that the file states
    if known is None or not known.version:
        known = release_of(Stated(name, {"title": title, "version": stated}))
    dataset, version = (known.name, known.version) if known else (name.split(".")[0], "")
    match = _VERSION.search(stated)
    return Header(dataset, version, match[0] if match else "", min(months), max(months), len(months), grid)


def _read_one(path: Path, variable: str, named: str) -> tuple[set[int], str, str, str]:
    """Months, grid, title and version attribute of a file."""
    import numpy as np

    from climrecon.netcdf.opening import opened
    from climrecon.netcdf.times import find_time, month_index
    from climrecon.preprocess.axes import find_horizontal
    from climrecon.preprocess.field import find_variable

    try:
        with opened(path) as file:
            field = find_variable(file, variable, named)
            months = month_index(file, find_time(file, field)[1]).index
            horizontal = find_horizontal(file, field)
            axes = [np.round(axis, 4) for axis in (horizontal.lat, horizontal.lon)]
            title, stated = (str(getattr(file, key, "")) for key in ("title", "version"))
    except InputDataError as error:
        hint = f"{error.hint or ''} If the file is still being copied, the next look reads it again.".strip()
        raise InputDataError(error.message, hint) from error
    digest = hashlib.sha256(b"".join(axis.tobytes() for axis in axes)).hexdigest()[:12]
    return set(months.tolist()), f"{len(axes[0])} x {len(axes[1])} ({digest})", title, stated


def bare_name(path: Path | str) -> str:
    """A file's name without version and months: the same from release to release."""
    name = Path(path).name
    known = release_of(Stated(name))
    version = known.version if known else ""
    return _MONTHS.sub("", name.replace(version, "") if version else name).casefold()
