"""The card of a benchmark set: cases, hashes, seeds, licence and the form of a submission, as ``benchmark.json``."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from climrecon.errors import InputDataError
from climrecon.files import parse_json, read_text, require_file
from climrecon.variables import VARIABLES

#: Raised whenever the same seed or files give other inputs, or the same submission other scores.
BENCHMARK_VERSION = "1"
CARD, README, INPUTS = "benchmark.json", "README.md", "inputs"
GENERATED: Literal["generated"] = "generated"
OF_FILE: Literal["file"] = "file"
#: Names of the variables of inputs and submissions: those of climrecon's own results.
VALUES, STDDEV, MEMBERS = "tas", "tas_stddev", "tas_realisation"
UNITS = VARIABLES[VALUES].units
#: Attributes of a submission's files, and what they hold; the first three are required.
ATTRIBUTES = {
    "method": "name of the method, shown on the leaderboard",
    "authors": "names of the authors",
    "training_data": "what the method learned from, or none",
    "method_version": "version of the method; a later submission of the same method and version replaces its row",
    "training_months": "months that it learned from, e.g. 1930-1962, 197203-197710, so that they are not scored",
    "cpu_hours": "processor hours of this file, a number",
    "hardware": "processor and its cores, or accelerator",
}
REQUIRED = ("method", "authors", "training_data")
_CASE = "[A-Za-z0-9_-]{1,60}"
_STRICT = ConfigDict(extra="forbid", frozen=True)


class CaseCard(BaseModel):
    """One case: a file of inputs.

    ``months`` is their span, ``noise`` the standard deviation in K of the errors that were drawn, ``stated`` the
    one-sigma error that the file states. Hashes: of the file, and of values, see :func:`digest`.
    """

    model_config = _STRICT
    # Names of files that are read and written: a set of others must not name a place outside its folder.
    name: str = Field(pattern=f"^{_CASE}$")
    file: str = Field(pattern=rf"^{INPUTS}/{_CASE}\.nc$")
    sha256: str
    months: str
    n_months: int
    observed_share: float
    noise: float
    stated: float
    gaps: str
    truth_sha256: str
    content_sha256: str


class TruthCard(BaseModel):
    """Where the truth comes from: a seed, None where it is hidden, or files by their names; never its values."""

    model_config = _STRICT
    kind: Literal["generated", "file"]
    seed: int | None = None
    files: tuple[str, ...] = ()
    description: str


class SetCard(BaseModel):
    """Content of ``benchmark.json``; ``limits`` are what the set cannot show, in sentences."""

    model_config = _STRICT
    schema_version: Literal[1] = 1
    benchmark_version: str
    name: str
    made_with: str
    variable: str = VALUES
    units: str = UNITS
    grid: str
    truth: TruthCard
    cases: tuple[CaseCard, ...]
    licence: str
    attributes: dict[str, str] = ATTRIBUTES
    limits: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Version and 12 digits that are equal for sets of equal inputs and truth alone."""
        contents = "".join(case.name + case.content_sha256 + case.truth_sha256 for case in self.cases)
        return f"{self.benchmark_version}-{hashlib.sha256(contents.encode()).hexdigest()[:12]}"


def digest(*arrays: NDArray[Any]) -> str:
    """sha256 of arrays' values in single precision, NaN all alike."""
    found = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(array, dtype="<f4")
        found.update(np.where(np.isnan(values), np.float32(np.nan), values).tobytes())
    return found.hexdigest()


def read_card(folder: Path) -> SetCard:
    """The card of the benchmark set in ``folder``.

    Raises
    ------
    InputDataError
        If there is none, or it is of another version.
    """
    path = folder / CARD
    require_file(path, "Name the folder of a benchmark set; 'climrecon benchmark export DIR' writes one.")
    try:
        card = SetCard.model_validate(parse_json(read_text(path)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputDataError(
            f"{path} is no card of a benchmark set: {where}: {first['msg']}", "Export again."
        ) from error
    except (OSError, ValueError) as error:
        raise InputDataError(f"{path} cannot be read: {error}", "Export the set again.") from error
    if card.benchmark_version != BENCHMARK_VERSION:
        raise InputDataError(
            f"{folder} is a set of benchmark version {card.benchmark_version}; this climrecon scores version "
            f"{BENCHMARK_VERSION}.",
            f"Score it with climrecon {card.made_with}, or export it again.",
        )
    return card
