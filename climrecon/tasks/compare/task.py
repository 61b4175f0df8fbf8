"""``task=compare``: infilled products on a common grid, base period and coverage.

Stages: read each product onto the common grid, take the area means of its members, collect. What the first two make is
kept in ``cachedir``, so that a stopped comparison goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.arrays import is_whole, open_arrays, write_arrays
from climrecon.errors import OutputError
from climrecon.fields import Steps
from climrecon.files import input_sha256, stamp_of
from climrecon.frequency import frequency_named
from climrecon.settings import RunSettings, Site
from climrecon.tasks.compare.numbers import Series
from climrecon.tasks.compare.products import find_products, origin_of
from climrecon.tasks.compare.reading import common_grid, member_fields, prepared, read_mean, stated_sd
from climrecon.tasks.compare.results import write_comparison
from climrecon.tasks.compare.together import OnGrid, Together
from climrecon.tasks.network_store import cache_folder
from climrecon.workflow.disk_space import megabytes
from climrecon.workflow.fingerprint import digest_of
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_info import RunInfo
from climrecon.workflow.stage import Stage
from climrecon.working_folders import working_folder

#: Of what the stages keep: raised whenever equal inputs and settings give other fields or means.
VERSION = 1


class Comparison:
    """One comparison: its products, the common grid, and its stages.

    Raises
    ------
    InputDataError
        If there are fewer than two products, or a file is none.
    """

    def __init__(self, settings: RunSettings, site: Site, run: RunInfo) -> None:
        self.settings, self.run = settings, run
        self.products = find_products(settings)
        self.grid = common_grid(self.products, settings)
        self.cache = cache_folder(settings.cachedir) / "comparison"

    def stages(self) -> tuple[Stage, ...]:
        """The stages of this run, in order."""
        if self.settings.dryrun:
            return (Stage("dryrun", self.dry_run),)
        parts = len(self.products)
        return (
            Stage("read", self.read, parts, self.is_read),
            Stage("members", self.members, parts, self.has_members),
            Stage("collect", self.collect),
        )

    def read(self, part: int, reporter: Reporter) -> None:
        """A product on the common grid, base period and frequency."""
        product = self.products[part]
        reporter.stage(f"Reading {product.name}")
        with self._scratch() as scratch, product.named():
            found = prepared(read_mean(product, self.settings, scratch), self.settings, self.grid, scratch)
            source, origin = found.source, origin_of(product, self.settings.variable)
            for note in source.notes:
                reporter.note(f"{product.name}: {note}")
            about = {
                "data_set": f"{origin.data_set} by climrecon, {origin.network}" if origin.network else source.dataset,
                "version": origin.version or source.version,
                "title": source.title,
                "variable_in_file": source.variable_in_file,
                "files": [[str(path), input_sha256(path)] for path in product.files],
                "frequency": found.time.frequency.name,
                "members": len(product.members),
                "kind_of_members": product.kind_of_members,
                "cell_sd": origin.cell_sd,
                "persistent": origin.persistent,
                "notes": list(source.notes),
            }
            values = np.where(found.mask, found.values, np.nan).astype(np.float32)
            arrays = {"values": values, "index": found.time.index}
            if (sd := stated_sd(product, found.time)) is not None:
                arrays["sd"] = sd
            write_arrays(self._made(self._field(part)), arrays, about)

    def is_read(self, part: int) -> bool:
        """Whether a product is there."""
        return is_whole(self._field(part))

    def members(self, part: int, reporter: Reporter) -> None:
        """Area means and indices of a product's members, on its own and on the common coverage."""
        product, together = self.products[part], self.together()
        reporter.stage(f"Means of {len(product.members)} {product.kind_of_members} of {product.name}")
        own, common = list[FloatArray](), list[FloatArray]()
        with self._scratch() as scratch, product.named():
            raw = read_mean(product, self.settings, scratch)
            for member in member_fields(product, raw, self.settings, self.grid, scratch):
                own.append(together.own_series(member.values))
                common.append(together.common_series(member.values, part))
                reporter.step(len(own), len(product.members))
        write_arrays(self._made(self._series(part)), {"own": np.stack(own), "common": np.stack(common)}, {})

    def has_members(self, part: int) -> bool:
        """Whether a product has no members, or their means are there."""
        return not self.products[part].members or is_whole(self._series(part))

    def together(self) -> Together:
        """The products that have been read.

        Raises
        ------
        InputDataError
            If one is missing or damaged, or the products have too little in common.
        """
        found = []
        for part, product in enumerate(self.products):
            arrays, about = open_arrays(self._field(part), check=True)
            frequency = frequency_named(about["frequency"])
            assert frequency is not None
            time = Steps(np.array(arrays["index"]), frequency)
            found.append(OnGrid(product.name, arrays["values"], time, about, arrays.get("sd")))
        return Together(found, self.grid, self.settings.variable, self.settings.domain)

    def collect(self, part: int, reporter: Reporter) -> Outcome:
        """Numbers, figures and report."""
        together = self.together()
        reporter.stage(f"Comparing {', '.join(one.name for one in self.products)}")
        series = []
        for number, product in enumerate(together.products):
            members = open_arrays(self._series(number), check=True)[0] if self.products[number].members else {}
            series.append(
                Series(
                    together.own_series(product.values),
                    together.common_series(product.values, number),
                    together.coverage(np.isfinite(product.values))[0],
                    members.get("own"),
                    members.get("common"),
                    product.sd,
                )
            )
        return write_comparison(together, series, self.settings, self.run, reporter)

    def dry_run(self, part: int, reporter: Reporter) -> Outcome:
        """A summary of the comparison; writes nothing."""
        lines = ["Would compare, and write nothing now (dryrun):"]
        for product in self.products:
            size = megabytes(sum(path.stat().st_size for path in product.files))
            members = f", {len(product.members)} {product.kind_of_members}" if product.members else ""
            lines.append(f"  {product.name}: {product.files[0].name}, {len(product.files)} files, {size}{members}")
        periods = ", ".join("{}-{}".format(*one.years) for one in self.settings.trend_periods)
        first, last = self.settings.reference_period.years
        return Outcome.of_dry_run([
            *lines, f"  common grid: {self.grid.describe()}", f"  base period: {first}-{last}; trends: {periods}",
            f"  cache: {self.cache}",
        ])  # fmt: skip

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A folder for intermediate files.

        Raises
        ------
        OutputError
            If it cannot be made.
        """
        with ExitStack() as held:
            try:
                self.cache.mkdir(parents=True, exist_ok=True)
                folder = held.enter_context(working_folder(self.cache))
            except OSError as error:
                raise OutputError(f"{self.cache} cannot be written: {error}", "Choose another cachedir.") from error
            yield folder

    def _key(self, part: int) -> str:
        """Of a product, its settings and the grid: a product that changed, or another grid, is read anew."""
        product = self.products[part]
        plain = self.settings.plain()
        names = ("variable", "time_frequency", "period", "reference_period", "values", "grid", "domain", "obs_variable")
        edges = [np.round(one, 4).tolist() for one in (self.grid.lat_edges, self.grid.lon_edges)]
        stamps = [[str(path.resolve()), stamp_of(path)] for path in product.files]
        return digest_of([VERSION, product.name, stamps, {name: plain[name] for name in names}, edges])

    def _field(self, part: int) -> Path:
        return self.cache / self._key(part)[:32] / "field.safetensors"

    def _series(self, part: int) -> Path:
        """Means over the common coverage depend on all products."""
        every = digest_of([self._key(number) for number in range(len(self.products))])
        return self.cache / self._key(part)[:32] / f"members-{every[:16]}.safetensors"

    @staticmethod
    def _made(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
