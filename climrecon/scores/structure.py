"""How much fields vary at each scale: spectra along latitude circles, and variograms.

An estimate is smoother than the truth, as the mean of equally likely fields is; realisations should vary as the truth.
"""

from __future__ import annotations

import numpy as np

from climrecon.array_types import BoolArray, FloatArray, IntArray
from climrecon.grid import EARTH_RADIUS_KM, Grid

#: Longest distance of a variogram, km; and how many of its distances double it.
LONGEST_KM, PER_OCTAVE = 10_000.0, 2
#: Months at a time: a transform takes twice the memory of its fields.
_AT_ONCE = 240


def zonal_power(fields: FloatArray, rows: FloatArray) -> FloatArray:
    """Power at 1, 2, ... K = W // 2 waves around latitude circles, mean over the circles of each field.

    Parameters
    ----------
    fields:
        (N, H, W) on a grid that closes the circle; rows of weight zero may hold anything.
    rows:
        (N, H) or (H,) weights of the rows, such as their areas.

    Returns
    -------
    (N, K) in squared units; NaN for fields without weight. A wave of amplitude a around every circle has the power
    a**2 / 2, and the sum over all wave numbers is the mean variance along circles.

    Source: Press et al. (2007), Numerical Recipes, section 13.4 (the one-sided periodogram).
    """
    count, width = fields.shape[0], fields.shape[-1]
    weights = np.broadcast_to(rows, fields.shape[:2])
    found = np.full((count, width // 2), np.nan)
    for start in range(0, count, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        weight = weights[part]
        waves = np.fft.rfft(np.where(weight[..., None] > 0, fields[part], 0.0), axis=-1)[..., 1 : width // 2 + 1]
        power = 2.0 * np.abs(waves) ** 2 / width**2
        if width % 2 == 0:
            power[..., -1] /= 2.0  # the highest wave number has no twin
        total = weight.sum(axis=1)
        mean = np.einsum("nh,nhk->nk", weight, power) / np.where(total > 0, total, 1.0)[:, None]
        found[part] = np.where(total[:, None] > 0, mean, np.nan)
    return found


def distances(grid: Grid) -> FloatArray:
    """(B,) distances of a variogram on ``grid``, km: from the spacing of its rows on, to half of its own length."""
    spacing = np.radians(np.diff(grid.lat_edges).mean()) * EARTH_RADIUS_KM
    longest = min(LONGEST_KM, np.radians(np.ptp(grid.lat_edges)) * EARTH_RADIUS_KM / (1.0 if grid.is_global else 2.0))
    steps = int(np.floor(PER_OCTAVE * np.log2(max(longest / spacing, 1.0)))) + 1
    return np.asarray(spacing * 2.0 ** (np.arange(steps) / PER_OCTAVE))


def variogram_sums(fields: FloatArray, where: BoolArray, grid: Grid) -> tuple[FloatArray, FloatArray]:
    """Halves of squared differences between pairs of cells, summed by distance, and the pairs' weights.

    Pairs lie on one circle of latitude or on one meridian; a pair has the mean area of its cells as its weight. Their
    quotient is the variogram.

    Parameters
    ----------
    fields:
        (N, H, W).
    where:
        (N, H, W) cells that count.

    Returns
    -------
    Two (N, B) arrays, by the nearest of :func:`distances`; squared units times weights, and weights.

    Source: Matheron (1963), Economic Geology 58:1246, as in Cressie (1993), Statistics for Spatial Data, section 2.4.
    """
    centres = distances(grid)
    edges = np.append(centres[0] * 2.0 ** (-0.5 / PER_OCTAVE), centres * 2.0 ** (0.5 / PER_OCTAVE))
    sums, weights = np.zeros((2, len(fields), len(centres)))
    height, width = grid.shape
    values, counted = np.where(where, fields, 0.0).astype(np.float32), where.astype(np.float32)
    areas = grid.area.max(axis=1)  # cells outside the domain have none, and do not count
    spread = np.radians(grid.lon[None, :] - grid.lon[:1]) / 2.0
    for step in _steps(width // 2 if grid.wraps else width - 1):
        along = 2.0 * EARTH_RADIUS_KM * np.arcsin(np.cos(np.radians(grid.lat)) * np.sin(spread[0, step]))
        first = slice(None) if grid.wraps else slice(None, -step)
        pairs = [np.roll(one, -step, axis=-1)[..., first] for one in (values, counted)]
        half = 0.5 * (values[..., first] - pairs[0]) ** 2
        both = counted[..., first] * pairs[1]
        _add(sums, weights, half, both, areas, np.digitize(along, edges) - 1)
    for step in _steps(height - 1):
        half = 0.5 * (values[:, step:] - values[:, :-step]) ** 2
        both = counted[:, step:] * counted[:, :-step]
        apart = np.radians(grid.lat[step:] - grid.lat[:-step]) * EARTH_RADIUS_KM
        rows = 0.5 * (areas[step:] + areas[:-step])
        _add(sums, weights, half, both, rows, np.digitize(apart, edges) - 1)
    return sums, weights


def structure_sums(fields: FloatArray, where: BoolArray, grid: Grid) -> dict[str, FloatArray]:
    """Spectra of (N, H, W) fields over the rows that count wholly, and their variograms over all cells that count.

    Returns
    -------
    ``power`` (N, K), on grids that close the circle alone, see :func:`zonal_power`; ``differences`` and ``pairs`` (N, B),
    see :func:`variogram_sums`.
    """
    differences, pairs = variogram_sums(fields, where, grid)
    found = {"differences": differences, "pairs": pairs}
    if grid.wraps:
        found["power"] = zonal_power(fields, np.where(where.all(axis=-1), grid.area.max(axis=1), 0.0))
    return found


def _steps(most: int) -> list[int]:
    """Steps of 1, 2, 3, 4, 6, 8, 11, ... cells: as dense as the distances."""
    wanted = np.rint(2.0 ** (np.arange(1 + PER_OCTAVE * int(np.ceil(np.log2(max(most, 1))))) / PER_OCTAVE))
    return [int(step) for step in np.unique(wanted) if step <= most]


def _add(
    sums: FloatArray, weights: FloatArray, half: FloatArray, both: FloatArray, rows: FloatArray, place: IntArray
) -> None:
    """Add (N, H', W') pairs to the (N, B) sums: those of a row have one weight and one (H',) place among distances."""
    inside = (place >= 0) & (place < sums.shape[1])
    to_place = np.zeros((len(rows), sums.shape[1]))
    to_place[inside, place[inside]] = rows[inside]
    sums += np.einsum("nhw,nhw->nh", half, both) @ to_place
    weights += both.sum(axis=-1) @ to_place
