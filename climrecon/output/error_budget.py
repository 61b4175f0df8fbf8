"""Which errors of the observations are in a result's spread, in words."""

from __future__ import annotations

from dataclasses import dataclass

from climrecon.preprocess.uncertainty import share_in_words


@dataclass(frozen=True)
class ErrorBudget:
    """The parts of the observations' error that a result's standard deviations hold, each once.

    Attributes
    ----------
    uncorrelated:
        Name of the file that states them, or "".
    observed_cells_only:
        Whether the uncorrelated errors are in at kept cells alone, the method taking none that are stated.
    left_out:
        Why the uncorrelated errors are not in at all, although a file states them; "" where they are.
    members, of:
        Members that were reconstructed, and how many there are.
    drawn:
        Members that were made by drawing partly correlated errors, where the data set has no ensemble.
    share:
        Share of the observed cells for which the file states an uncorrelated error.
    covariances, months:
        Months with an error covariance that errors were drawn from, and months there are.
    """

    uncorrelated: str = ""
    observed_cells_only: bool = False
    left_out: str = ""
    members: int = 0
    of: int = 0
    drawn: int = 0
    covariances: int = 0
    months: int = 0
    share: float = 1.0

    @property
    def included(self) -> list[str]:
        """The parts that are in."""
        parts = []
        if self.members:
            parts.append(
                f"systematic errors (spread over {self.members} of {self.of} members of the observations' ensemble, "
                "each reconstructed)"
            )
        if self.covariances:
            where = "each of them" if self.members else f"{self.drawn} fields, each reconstructed,"
            parts.append(
                f"partly correlated errors (drawn for {where} from the error covariances of {self.covariances} of "
                f"{self.months} months)"
            )
        if self.uncorrelated and not self.left_out:
            where = ", at kept cells alone: the method estimates its own" if self.observed_cells_only else ""
            share = share_in_words(self.share)
            parts.append(f"uncorrelated errors of the cells ({self.uncorrelated}{share}{where})")
        return parts

    @property
    def lacking(self) -> list[str]:
        """The parts for which no file was given or used."""
        parts = {
            "systematic errors": self.members,
            "partly correlated errors": self.covariances,
            "uncorrelated errors as the data set states them": self.uncorrelated,
        }
        return [name for name, there in parts.items() if not there]

    def describe(self) -> str:
        """One or two sentences."""
        included, lacking = self.included, self.lacking
        text = f"Errors of the observations that are in: {'; '.join(included) or 'none that the data set states'}."
        if self.left_out:
            text += f" The uncorrelated errors of the cells ({self.uncorrelated}) are not in: {self.left_out}."
        if lacking:
            text += f" No file of this run states {', '.join(lacking)}."
        return text
