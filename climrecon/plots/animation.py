"""Every month of a reconstruction, as a film."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.animation import FFMpegWriter, PillowWriter

from climrecon.files import atomic_path
from climrecon.output.product import Product
from climrecon.plots.maps import draw_bar, draw_cells, draw_coast, from_greenwich, map_axes
from climrecon.plots.picture import new_figure
from climrecon.plots.scales import scales_of

FRAMES_PER_SECOND = 12


def animate(product: Product, stem: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write ``stem.mp4`` where ffmpeg is installed, else ``stem.gif``; returns the file written.

    The observed field stands beside the completed one; only the colours change from frame to frame.
    """
    figure = new_figure(10.0, 3.3)
    grid, observed = product.observations.grid, product.observed_field
    left, right = (map_axes(figure, place) for place in (121, 122))
    left.set_title("Observations", fontsize=10)
    right.set_title(f"Reconstruction: {product.network.name}", fontsize=10)
    scale = scales_of(product.observations.variable).anomaly
    pairs = ((left, observed), (right, product.infilled))
    meshes = [draw_cells(axes, grid, field[0], scale) for axes, field in pairs]
    draw_bar(figure, meshes[1], [left, right], scale, label=product.units)
    for axes in (left, right):
        draw_coast(axes)
    film = FFMpegWriter.isAvailable()
    path = stem.with_suffix(".mp4" if film else ".gif")
    writer = FFMpegWriter(fps=FRAMES_PER_SECOND) if film else PillowWriter(fps=FRAMES_PER_SECOND)
    labels = product.observations.time.labels()
    figure.suptitle(labels[0], fontsize=12)
    # The layout is worked out once: it would cost more than the rest of a frame, and could shake.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    with atomic_path(path) as temporary, writer.saving(figure, str(temporary), dpi=90):
        for month, label in enumerate(labels):
            for mesh, field in zip(meshes, (observed[month], product.infilled[month]), strict=True):
                mesh.set_array(np.ma.masked_invalid(from_greenwich(grid, field)[1]))
            figure.suptitle(label, fontsize=12)
            writer.grab_frame()
            if progress:
                progress(month + 1, len(labels))
    return path
