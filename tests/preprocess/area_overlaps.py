"""Overlaps of cells on the sphere, worked out apart from the package: what remapping is compared with."""

import numpy as np
import observation_files as files

from climrecon.grid import Grid


def overlaps(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the target's rows (H', H) and columns (W', W) that lie in the source's, on the sphere."""

    def shared(a, b):
        low = np.maximum(a[:-1, None], b[None, :-1])
        high = np.minimum(a[1:, None], b[None, 1:])
        return np.clip(high - low, 0, None)

    rows = shared(np.sin(np.radians(target.lat_edges)), np.sin(np.radians(source.lat_edges)))
    columns = sum(shared(target.lon_edges, source.lon_edges + turn) for turn in (-360, 0, 360))
    return rows / rows.sum(1, keepdims=True), columns / columns.sum(1, keepdims=True)


def gaussian_grid(rows, columns):
    lat = files.gaussian_rows(rows)
    edges = np.concatenate([[-90.0], 0.5 * (lat[1:] + lat[:-1]), [90.0]])
    step = 360.0 / columns
    return Grid(edges, -180.0 - step / 2 + step * np.arange(columns + 1))
