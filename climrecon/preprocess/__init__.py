"""From files of any producer to the same grid order, units and time axis."""

from climrecon.preprocess.read import PrepareRequest, read_observations
from climrecon.preprocess.rebase import rebase_complete
from climrecon.preprocess.regrid import FileGrid, to_network_grid

__all__ = ["FileGrid", "PrepareRequest", "read_observations", "rebase_complete", "to_network_grid"]
