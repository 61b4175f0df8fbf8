"""Names of methods: the baselines of this package, and methods of other packages.

Other packages name theirs in the entry-point group :data:`GROUP`, see :mod:`climrecon.methods.contract`. Each method is
imported when it is asked for by name or listed.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import Any

from climrecon.errors import ClimReconError, NetworkError
from climrecon.methods.contract import Capabilities, Method

GROUP = "climrecon.methods"
#: Name -> where it is, and its title.
_BASELINES = {
    "kriging": (
        "kriging:Kriging",
        "ordinary kriging on the sphere, exponential covariance, range and nugget fitted to the observations",
    ),
    "oi": (
        "optimal_interpolation:optimal_interpolation",
        "optimal interpolation with the covariances that the shipped network learned, without its U-Net",
    ),
    "pca": ("pca:PCA", "principal components (EOFs) of the observations, their number by cross-validation"),
    "idw": ("simple:InverseDistance", "inverse-distance weighting of the observed cells"),
    "climatology": ("simple:Climatology", "the climatology everywhere"),
}


@dataclass(frozen=True)
class RegisteredMethod:
    """A method by its name; ``package`` with version for one of another package, else "", with the title of ours."""

    entry: EntryPoint
    package: str = ""
    baseline_title: str = ""

    @property
    def name(self) -> str:
        """The name that stands for the method."""
        return self.entry.name

    @property
    def title(self) -> str:
        """One line for lists and reports; imports a method of another package.

        Raises
        ------
        NetworkError
            If the package is broken.
        """
        if not self.package:
            return self.baseline_title
        line = (inspect.getdoc(self._load()) or self.name).splitlines()[0]
        return f"{line.rstrip('.')} (method of the package {self.package})"

    def describe(self) -> str:
        """The title, or why the package is broken: one broken package must not hide all other methods in a list."""
        try:
            return self.title
        except NetworkError as error:
            return error.message

    def build(self) -> Method:
        """A new instance.

        Raises
        ------
        NetworkError
            If the package is broken, or its method is none.
        """
        factory = self._load()
        if not self.package:
            method: Method = factory()
            return method
        try:
            made = factory()
        except ClimReconError:
            raise
        except Exception as error:  # a foreign package raises whatever it likes
            raise self._broken(f"{type(error).__name__}: {error}") from error
        if not (isinstance(made, Method) and isinstance(made.capabilities, Capabilities)):
            raise self._broken(f"{self.entry.value} gives {type(made).__name__}, no climrecon.methods.contract.Method")
        return made

    def _load(self) -> Any:
        try:
            return self.entry.load()
        except Exception as error:
            raise self._broken(f"{type(error).__name__}: {error}") from error

    def _broken(self, reason: str) -> NetworkError:
        return NetworkError(
            f"The method {self.name} of the package {self.package} cannot be used: {reason}.",
            "Repair or remove that package, or choose another network (see 'climrecon networks').",
        )


def registered() -> dict[str, RegisteredMethod]:
    """All methods by name, ours first; names of our baselines and networks stand for ours whatever is installed."""
    methods = {
        name: RegisteredMethod(EntryPoint(name, f"climrecon.methods.{place}", GROUP), "", title)
        for name, (place, title) in _BASELINES.items()
    }
    shipped = files("climrecon") / "weights"
    for entry in sorted(entry_points(group=GROUP), key=lambda one: (one.name, one.value)):
        if entry.name not in methods and not (shipped / entry.name).is_dir():
            package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
            methods[entry.name] = RegisteredMethod(entry, package)
    return methods


def taking_any() -> list[str]:
    """Names of the baselines that learned no variable's fields beforehand."""
    return [one.name for one in registered().values() if not one.package and one.build().capabilities.variable is None]


def build(name: str) -> Method:
    """A new instance of the baseline or method called ``name``.

    Raises
    ------
    KeyError
        If there is none.
    NetworkError
        If it belongs to a broken package.
    """
    return registered()[name].build()
