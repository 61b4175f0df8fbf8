"""How large a reconstruction is, by the headers of its files, and in how many parts it is done."""

from __future__ import annotations

from dataclasses import dataclass

from climrecon.preprocess.field import dimensions
from climrecon.settings import RunSettings
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.reconstruct.ensemble import count_of

#: Realisations of a part are written in files of about so many bytes.
GROUP_BYTES = 400e6
#: Fields of each month without realisations: mean, standard deviation, that of the prior.
FIELDS = 3
#: Elements of a job array, at most: what Slurm takes where nobody has raised its limit.
MOST_PARTS = 1000


@dataclass(frozen=True)
class Size:
    """Months, cells a month, realisations, members reconstructed too; 0 months where the files do not state them."""

    months: int
    cells: int
    realisations: int
    members: int = 0

    @property
    def values(self) -> int:
        """Numbers that are worked out."""
        return self.months * self.cells * (FIELDS + self.realisations + self.members)

    def parts(self, values_per_part: int, chunk: int) -> int:
        """Parts of at most so many values, if there are so many chunks of months."""
        chunks = max(1, -(-self.months // chunk))
        return max(1, min(-(-self.values // values_per_part), chunks, MOST_PARTS))

    @property
    def bytes(self) -> int:
        """Of all parts' files together."""
        return 4 * self.values

    def files(self, parts: int) -> int:
        """Number of all parts' files together."""
        drawn = 4 * self.months * self.cells * self.realisations
        return 2 + self.members + parts * (1 + -(-int(drawn / parts) // int(GROUP_BYTES)))


def size_of(inputs: Inputs, settings: RunSettings) -> Size:
    """From the headers alone; an unreadable file counts as small, and raises its error when it is read."""
    months = cells = 0
    for path in inputs.main:
        steps, own = dimensions(path)
        months, cells = months + steps, max(cells, own)
    first, last = settings.period or (None, None)
    if first is not None and last is not None:
        months = min(months, last - first + 1)
    return Size(months, cells, settings.realisations, count_of(inputs, settings))
