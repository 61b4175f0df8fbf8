"""The files that a run reads: one named by the user, or those that a search of the catalogue finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from climrecon.errors import NoDataError
from climrecon.files import require_file
from climrecon.settings import RunSettings, Site
from climrecon.workflow.progress import Reporter

if TYPE_CHECKING:  # a look of the watch finds its files without numpy
    from climrecon.preprocess import PrepareRequest


@dataclass(frozen=True)
class Inputs:
    """Files of one observational data set.

    ``main`` holds the field to reconstruct (several files are chunks of its time axis); ``members``
    the realisations of an ensemble; ``uncorrelated`` the cell errors; ``error_covariance`` those of partly correlated
    errors, a file a month.
    """

    main: tuple[Path, ...]
    members: tuple[Path, ...] = ()
    uncorrelated: Path | None = None
    facets: dict[str, str] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    error_covariance: tuple[Path, ...] = ()

    @property
    def observations(self) -> tuple[Path, ...]:
        """Files of the field and of its uncorrelated errors."""
        return (*self.main, *([self.uncorrelated] if self.uncorrelated else []))

    @property
    def label(self) -> str:
        """Names of the main files, for messages."""
        return ", ".join(path.name for path in self.main)

    def request(self, settings: RunSettings) -> PrepareRequest:
        """How the observations are read."""
        from climrecon.preprocess import PrepareRequest

        return PrepareRequest(
            variable=settings.variable,
            values=settings.values,
            period=settings.period or (None, None),
            reference_period=settings.reference_period.years,
            facets=self.facets,
        )


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
        require_file(settings.obs_file, "Check obs_file; a relative path starts at the folder the command runs in.")
        return Inputs(main=(settings.obs_file,))
    if not settings.catalogue:
        raise NoDataError(
            "No catalogue is known to search in.",
            "Give catalogue=PATH or obs_file=FILE, set it in the site file, or write one with "
            "'climrecon catalogue build DIR' ('climrecon demo DIR' makes data to try).",
        )
    from climrecon.catalogue import open_catalogue, search

    reporter.stage(f"Searching {settings.catalogue}")
    found = search(
        open_catalogue(settings.catalogue), settings.facets, explicit=settings.given, preferred=site.file.dataset
    )
    for note in found.notes:
        reporter.note(note)
    return Inputs(
        main=tuple(found.main),
        members=tuple(found.members),
        uncorrelated=found.uncorrelated,
        facets=dict(found.facets),
        left_out=found.left_out,
        notes=tuple(found.notes),
        error_covariance=tuple(found.error_covariance),
    )
