"""Validated settings of a run, and the site file they take their defaults from."""

from climrecon.settings.periods import Period
from climrecon.settings.run import RunSettings, validate
from climrecon.settings.site import Site, load_site

__all__ = ["Period", "RunSettings", "Site", "load_site", "validate"]
