"""The files that a run reads: one named by the user, or those that a search of the catalogue finds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from climrecon.catalogue.search import SearchResult, search
from climrecon.errors import NoDataError
from climrecon.settings import RunSettings, Site
from climrecon.workflow.progress import Reporter

if TYPE_CHECKING:  # a look of the watch finds its files without numpy
    from climrecon.preprocess import PrepareRequest


@dataclass(frozen=True)
class Inputs(SearchResult):
    """The files of one observational data set that a run reads; or the name of made-up coverage, and no file."""

    made_up: str = ""

    @property
    def observations(self) -> tuple[Path, ...]:
        """Files of the field and of its uncorrelated errors."""
        return (*self.main, *([self.uncorrelated] if self.uncorrelated else []))

    @property
    def label(self) -> str:
        """Names of the main files, or of the made-up coverage, for messages."""
        return self.made_up or ", ".join(path.name for path in self.main)

    def request(self, settings: RunSettings, scratch: Path | None = None) -> PrepareRequest:
        """How the observations are read; ``scratch``: folder for arrays that are too large for the memory."""
        from climrecon.preprocess import PrepareRequest

        return PrepareRequest(
            variable=settings.variable,
            frequency=settings.frequency,
            values=settings.values,
            period=settings.period or (None, None),
            reference_period=settings.reference_period.years,
            facets=self.facets,
            obs_variable=settings.obs_variable or "",
            data_set=settings.data_set,
            grid=settings.grid or "",
            domain=settings.domain,
            allow_infilled=settings.allow_infilled,
            scratch=scratch,
        )


def of_file(path: Path, parameter: str, reporter: Reporter) -> Inputs:
    """The observations in one file, or in a zip of several: the field's files, and members of an ensemble by number.

    Raises
    ------
    InputDataError
        If there is no such file; ``parameter`` named it.
    """
    from climrecon.catalogue.roles import MAIN, MEMBER, member_number, role_of
    from climrecon.netcdf.forms import members_in, readable

    path, note = readable(path, parameter)
    files = sorted(members_in(path), key=lambda one: (member_number(one.name), one.name))
    members = tuple(one for one in files if role_of(one.name) == MEMBER)
    main = tuple(one for one in files if role_of(one.name) == MAIN) or members[:1] or (path,)
    if files:
        note = (
            f"{path.name} holds {len(main)} files of the field" if main != members[:1] else f"{path.name} holds no mean"
        )
        note += f" and {len(members)} members of an ensemble"
    if note:
        reporter.note(note)
    return Inputs(main=main, members=members, notes=(note,) if note else ())


def resolve(settings: RunSettings, site: Site, reporter: Reporter) -> Inputs:
    """Find the observations that ``settings`` ask for.

    Raises
    ------
    InputDataError
        If a named file does not exist.
    NoDataError
        If no catalogue is known, or the search gives nothing or more than one data set.
    """
    if settings.obs_file:
        named = of_file(settings.obs_file, "obs_file", reporter)
        return replace(named, facets={"model": settings.data_set} if settings.data_set else {})
    if not settings.catalogue:
        raise NoDataError(
            "No catalogue is known to search in.",
            "Give catalogue=PATH or obs_file=FILE, set it in the site file, or write one with "
            "'climrecon catalogue build DIR' ('climrecon demo DIR' makes data to try).",
        )
    from climrecon.catalogue import open_catalogue
    from climrecon.netcdf.forms import readable

    reporter.stage(f"Searching {settings.catalogue}")
    found = search(
        open_catalogue(settings.catalogue),
        settings.facets,
        explicit=settings.given,
        preferred=site.file.dataset,
        allow_infilled=settings.allow_infilled,
    )
    for note in found.notes:
        reporter.note(note)
    return Inputs(**{**vars(found), "main": tuple(readable(path, "catalogue")[0] for path in found.main)})
