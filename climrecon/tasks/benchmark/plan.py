"""One benchmark: its set, where the truth and the gaps of a new one come from, its methods and submissions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from climrecon.benchmark_set.card import BENCHMARK_VERSION, CARD, VALUES, SetCard, read_card
from climrecon.benchmark_set.cases import check_one_member
from climrecon.benchmark_set.files import CaseInput, read_input
from climrecon.benchmark_set.leaderboard import files_of
from climrecon.benchmark_set.truth import ScoredSet
from climrecon.errors import InputDataError, UsageError
from climrecon.files import input_sha256, parse_json, read_text, sha256_of, stamp_of
from climrecon.netcdf.forms import readable
from climrecon.settings import RunSettings, Site
from climrecon.settings.benchmark import check_folders
from climrecon.tasks.benchmark.runs import MethodRun, method_runs
from climrecon.tasks.network_store import cache_folder
from climrecon.tasks.training_data.coverage import mask_inputs
from climrecon.tasks.training_data.members import training_members
from climrecon.version import __version__
from climrecon.workflow.fingerprint import digest_of
from climrecon.workflow.progress import Quiet

#: Of what the cache keeps: raised whenever equal settings give other files.
VERSION = 1
#: Folder of an exported set in the results.
SET = "set"
#: File of a method's submission in the cache with the hashes of the others.
HASHES = "sha256.json"


@dataclass(frozen=True)
class BenchmarkRun:
    """One benchmark.

    Attributes
    ----------
    given:
        Folder of the set that is scored on; None: a set is exported.
    truth, masks:
        Files that a new set is made of, or that an earlier one is scored with; () where they are generated.
    methods:
        Those of climrecon, ready to run.
    """

    settings: RunSettings
    given: Path | None
    truth: tuple[Path, ...]
    masks: tuple[Path, ...]
    methods: tuple[MethodRun, ...]

    @classmethod
    def of(cls, settings: RunSettings, site: Site) -> BenchmarkRun:
        """The benchmark that ``settings`` ask for.

        Raises
        ------
        UsageError, NoDataError, InputDataError, NetworkError, OutputError
            For whatever can be known before anything long begins.
        """
        # A site's default may be another variable; a set is of this one.
        settings = settings.model_copy(update={"variable": VALUES})
        check_folders(settings)
        given = None if settings.benchmark is None else set_in(settings.benchmark)
        truth = _truth(settings, site)
        if given is None:
            check_one_member(truth)
        else:
            ScoredSet.of(given, truth or None, settings.key)
        if settings.leaderboard:
            files_of(settings.leaderboard)
        masks = () if given else _masks(settings, site, bool(truth))
        return cls(settings, given, truth, masks, tuple(method_runs(settings.benchmark_methods, site, settings.device)))

    @property
    def is_embedded(self) -> bool:
        """Whether the set that is exported is that of the package."""
        one = self.settings
        return not (self.given or self.truth or self.masks or one.period or one.gaps or one.seed)

    @property
    def name(self) -> str:
        """Name of a new set; "" for that of the package."""
        if self.is_embedded:
            return ""
        what = f"generated, seed {self.settings.seed}" if not self.truth else self.truth[0].stem
        return f"{what}, gaps of {self.masks[0].stem}" if self.masks else what

    @cached_property
    def cache(self) -> Path:
        """Folder of this set and of methods' submissions to it."""
        one = self.settings
        if self.given is not None:
            key = read_card(self.given).identity
        else:
            stamps = [[str(path.resolve()), stamp_of(path)] for path in (*self.truth, *self.masks)]
            made = [str(one.period or ""), one.gaps or "", one.seed]
            key = digest_of([VERSION, BENCHMARK_VERSION, __version__, stamps, len(self.truth), made])[:32]
        return cache_folder(one.cachedir) / "benchmark" / key

    @property
    def folder(self) -> Path:
        """Folder of the set."""
        return self.given or self.cache / SET

    @property
    def is_exported(self) -> bool:
        """Whether the set is there with all its inputs."""
        if not (self.folder / CARD).is_file():
            return False
        return _are({self.folder / case.file: case.sha256 for case in read_card(self.folder).cases})

    @cached_property
    def card(self) -> SetCard:
        """The card of the set, which must be there."""
        return read_card(self.folder)

    def inputs(self) -> list[CaseInput]:
        """The inputs of all cases."""
        return [read_input(self.folder, self.card, case) for case in self.card.cases]

    def of_method(self, part: int) -> Path:
        """Folder of a method's submission."""
        run = self.methods[part]
        key = digest_of([VERSION, __version__, run.method.identity, self.settings.realisations])
        return self.cache / key[:16] / run.label

    def has_method(self, part: int) -> bool:
        """Whether a method's submission is there with all its files."""
        folder = self.of_method(part)
        try:
            hashes = parse_json(read_text(folder / HASHES))
            return _are({folder / f"{case.name}.nc": hashes[case.name] for case in self.card.cases})
        except (InputDataError, OSError, ValueError, KeyError, TypeError):
            return False

    @property
    def submissions(self) -> list[Path]:
        """Submissions of others: the folders that were named, or those in them."""
        found: list[Path] = []
        for path in self.settings.submission_paths:
            inner = sorted(one for one in path.iterdir() if one.is_dir() and self._has_cases(one))
            found += [path] if self._has_cases(path) or not inner else inner
        return list(dict.fromkeys(found))

    def _has_cases(self, folder: Path) -> bool:
        return any((folder / f"{case.name}.nc").exists() for case in self.card.cases)

    def hashes(self) -> list[tuple[str, str]]:
        """Path and hash of each file that was read: truth, masks, a set that was named, submissions of others."""
        files = [*self.truth, *self.masks]
        if self.given is not None:
            files += [self.given / CARD, *(self.given / case.file for case in self.card.cases)]
        files += [folder / f"{case.name}.nc" for folder in self.submissions for case in self.card.cases]
        return [(str(path), input_sha256(path)) for path in files]


def _are(hashes: Mapping[Path, str]) -> bool:
    """Whether files are there and have these hashes."""
    return all(path.is_file() and sha256_of(path) == expected for path, expected in hashes.items())


def set_in(folder: Path) -> Path:
    """The folder of a set: itself, or the set in the result of an earlier benchmark."""
    return folder / SET if not (folder / CARD).exists() and (folder / SET / CARD).exists() else folder


def _truth(settings: RunSettings, site: Site) -> tuple[Path, ...]:
    """The files of the truth: of ``truth_file``, or of the first member of the training sets that were named."""
    if settings.truth_file:
        return (readable(settings.truth_file, "truth_file")[0],)
    if "training_data" not in settings.given:
        return ()
    member = training_members(settings, site).members[0]
    if member.join:
        raise InputDataError(
            f"The training set {member.set} joins files that hold some months twice; a truth has each month once.",
            "Write one file of them, and name it with truth_file.",
        )
    wanted = settings.period
    if member.period and not settings.benchmark and not (wanted and member.period.holds(np.array(wanted)).all()):
        raise UsageError(
            f"The training set {member.set} is used in {member.period} alone, by the site file; "
            + (f"period is {wanted}." if wanted else "no period is given."),
            "Name whole years of these with period.",
        )
    return member.files[VALUES]


def _masks(settings: RunSettings, site: Site, is_needed: bool) -> tuple[Path, ...]:
    """The files whose gaps a new set takes; () for generated ones."""
    if not settings.masks and not is_needed:
        return ()
    inputs = mask_inputs(settings, site, Quiet())
    if inputs.made_up:
        raise UsageError(
            f"masks={inputs.made_up} is made-up coverage; a benchmark set takes the gaps of observations.",
            "Name a file or a data set, e.g. masks=HadCRUT5.",
        )
    return inputs.main
