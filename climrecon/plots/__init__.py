"""Figures. matplotlib is imported in this package alone; nothing here reads data."""

from climrecon.plots.animation import animate
from climrecon.plots.maps import draw_maps
from climrecon.plots.picture import Picture
from climrecon.plots.timeseries import draw_global_mean, draw_index

__all__ = ["Picture", "animate", "draw_global_mean", "draw_index", "draw_maps"]
