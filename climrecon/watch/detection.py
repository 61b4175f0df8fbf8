"""What a look finds: the files of one release, what they say of themselves, and what they hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from climrecon.catalogue.roles import why_infilled
from climrecon.datasets import canonical_variable, release_of
from climrecon.errors import InputDataError
from climrecon.watch.file_stamps import Stamp, signature, stamps_of
from climrecon.watch.remote import ARCHIVES, archives_in

_VERSION = re.compile(r"\d+(?:\.\d+){2,3}")
_MONTHS = re.compile(r"\d{4}-?\d{2}\s*[-_]\s*\d{4}-?\d{2}")


@dataclass(frozen=True)
class Found:
    """The files of one release.

    A run reads ``main``, ``uncorrelated`` and some of the ``members``; these and ``archives`` (zips of members) are the
    ensemble: a release is taken only when they are whole too, but they alone cause no run. ``beside`` are all
    archives in the folders of ``main``, whatever they hold.
    """

    main: tuple[Path, ...]
    uncorrelated: Path | None = None
    members: tuple[Path, ...] = ()
    archives: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    beside: tuple[Path, ...] = ()

    @property
    def reads(self) -> tuple[Path, ...]:
        """The files that decide what a run gives."""
        return (*self.main, *([self.uncorrelated] if self.uncorrelated else []))

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the release, each once."""
        return tuple(dict.fromkeys((*self.reads, *self.members, *self.archives)))

    @property
    def stamps(self) -> dict[str, Stamp | None]:
        """Size and dates of all files."""
        return stamps_of(self.files)

    @property
    def signature(self) -> str:
        """One hash of all sizes and dates."""
        return signature(self.stamps)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that the files lie in: a new archive changes their date."""
        return tuple(sorted({path.parent for path in self.main}))


def with_archives(
    main: Sequence[Path],
    uncorrelated: Path | None,
    members: Sequence[Path],
    listed: Sequence[str],
    notes: Sequence[str],
) -> Found:
    """Add the archives of members: those that the catalogue lists, and those beside the field's file."""
    beside = [Path(text) for text in archives_in(sorted({path.parent for path in main}))]
    archives = {*beside, *(Path(text) for text in listed if _is_archive(Path(text)) and Path(text).is_file())}
    own = release_of(main[0].name)
    mine = [
        path
        for path in archives
        if release_of(path.name) == own and own is not None and not why_infilled(str(path))
    ]
    return Found(tuple(main), uncorrelated, tuple(members), tuple(sorted(mine)), tuple(notes), tuple(beside))


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() in ARCHIVES and not path.name.startswith(".")


@dataclass(frozen=True)
class Header:
    """What the header and axes of a release's files say.

    ``first`` and ``last`` are months (year * 12 + month - 1), ``months`` their number; ``grid`` is words and a
    hash of the coordinates; ``said`` the version attribute, ``version`` that of the name or else of the file.
    """

    dataset: str
    version: str
    said: str
    first: int
    last: int
    months: int
    grid: str

    @property
    def span(self) -> str:
        """``YYYYMM-YYYYMM``."""
        return f"{_label(self.first)}-{_label(self.last)}"

    @property
    def name(self) -> str:
        """``HadCRUT.5.0.2.0_185001-202510``; the name a release of it is published under."""
        label = f"{self.dataset}.{self.version}" if self.version else self.dataset
        return re.sub(r"[^\w.-]", "-", f"{label}_{self.span}")


def _label(month: int) -> str:
    return f"{month // 12:04d}{month % 12 + 1:02d}"


def read_header(paths: Sequence[Path], variable: str) -> Header:
    """Read attributes and axes, no data.

    Raises
    ------
    InputDataError
        If a file cannot be opened or has no such axes.
    """
    parts = [_one(path, variable) for path in paths]
    first, last = min(part.first for part in parts), max(part.last for part in parts)
    months = len(set().union(*(part.all_months for part in parts)))
    if len({part.grid for part in parts}) > 1:
        raise InputDataError(f"The files {', '.join(p.name for p in paths)} have different grids.", None)
    part = parts[-1]
    return Header(part.dataset, part.version, part.said, first, last, months, part.grid)


@dataclass(frozen=True)
class _Part(Header):
    all_months: frozenset[int] = field(default_factory=frozenset)


def _one(path: Path, variable: str) -> _Part:
    import netCDF4
    import numpy as np

    try:
        with netCDF4.Dataset(path) as file:
            name = next(
                n
                for n, v in file.variables.items()
                if v.ndim >= 3 and canonical_variable(n, v.__dict__) == variable
            )
            time, lat, lon = (file[dimension] for dimension in file[name].dimensions[-3:])
            calendar = getattr(time, "calendar", "standard")
            dates = netCDF4.num2date(time[:], time.units, calendar)
            axes = [np.round(np.asarray(axis[:], dtype=np.float64), 4) for axis in (lat, lon)]
            about = {key: str(getattr(file, key, "")) for key in ("title", "version")}
    except StopIteration:
        raise InputDataError(f"{path} holds no {variable}.", "Check variable= and the file.") from None
    # netCDF4 raises what it likes at a damaged file.
    except (OSError, RuntimeError, ValueError, LookupError, AttributeError) as error:
        raise InputDataError(
            f"{path} cannot be read: {error}", "It is damaged, or still being copied; it is looked at again."
        ) from error
    months = frozenset(int(date.year) * 12 + int(date.month) - 1 for date in np.ravel(dates))
    if not months:
        raise InputDataError(f"{path} holds no month.", "It is damaged, or still being written.")
    known = release_of(path.name, about["title"], about["version"])
    digest = hashlib.sha256(b"".join(axis.tobytes() for axis in axes)).hexdigest()[:12]
    said = _VERSION.search(about["version"])
    return _Part(
        dataset=known.name if known else path.name.split(".")[0],
        version=known.version if known else "",
        said=said[0] if said else "",
        first=min(months),
        last=max(months),
        months=len(months),
        grid=f"{len(axes[0])} x {len(axes[1])} ({digest})",
        all_months=months,
    )


def bare_name(path: Path | str) -> str:
    """A file's name without version and months: what stays from release to release."""
    name = Path(path).name
    known = release_of(name)
    version = known.version if known else ""
    return _MONTHS.sub("", name.replace(version, "") if version else name).casefold()
