"""Every month of a reconstruction, as a film."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.animation import FFMpegWriter, PillowWriter

from climrecon.files import atomic_path
from climrecon.output.product import Product
from climrecon.plots.maps import draw_bar, draw_map, drawn_cells
from climrecon.plots.picture import new_figure, scales_of

FRAMES_PER_SECOND = 12


def animate(product: Product, stem: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write ``stem.mp4`` where ffmpeg is installed, else ``stem.gif``; returns the file written.

    The observed field stands to the left of the completed one; only the colours change from frame to frame.
    """
    figure = new_figure(10.0, 3.3)
    grid, observed = product.observations.grid, product.observed_field()
    scale = scales_of(product.observations.variable).anomaly
    panels = ((121, observed, "Observations"), (122, product.infilled, f"Reconstruction: {product.network.name}"))
    maps = [draw_map(figure, place, grid, field[0], scale, title, size=10) for place, field, title in panels]
    meshes = [cells for _, cells in maps]
    draw_bar(figure, meshes[1], [axes for axes, _ in maps], scale, label=product.units)
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
                mesh.set_array(np.ma.masked_invalid(drawn_cells(grid, field)[1]))
            figure.suptitle(label, fontsize=12)
            writer.grab_frame()
            if progress:
                progress(month + 1, len(labels))
    return path
