"""Observation errors to train with: cell by cell, regional, and one slow bias field.

Independent errors average to nothing in a global mean; those of real observations do not (Kennedy
2014, Rev. Geophys. 52:1, doi 10.1002/2013RG000434): neighbouring cells share ships, instruments and
adjustments. A network that has seen independent errors alone trusts regions blindly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class NoiseSource:
    """Draws errors of (P,) cells in K, and the error a data set would state for them.

    Parameters
    ----------
    regional, slow:
        (P, P) smoothers (see :func:`climrecon.data.masks.smoother`) of about 1,500 and 5,000 km.
    """

    regional: FloatArray
    slow: FloatArray

    def draw(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Errors (P,) and their stated one-sigma sizes (P,), K.

        The stated size holds the independent and the regional part, over- or understated by up to a
        third, since real statements are not exact either.
        """
        size = self.regional.shape[0]
        level = np.exp(rng.uniform(np.log(0.05), np.log(0.7)))
        own_sd = level * np.exp(rng.normal(0.0, 0.35, size))
        regional_sd = rng.uniform(0.0, 0.6) * level
        slow_sd = rng.uniform(0.0, 0.08)
        error = own_sd * rng.normal(size=size)
        error += regional_sd * (self.regional @ rng.normal(size=size))
        error += slow_sd * (self.slow @ rng.normal(size=size))
        stated = np.sqrt(own_sd**2 + regional_sd**2) * np.exp(rng.uniform(-0.28, 0.28))
        return error, np.maximum(stated, 0.05)
