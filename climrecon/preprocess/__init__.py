"""From files of any producer to the same grid order, units and time axis."""

from climrecon.preprocess.cdo import cdo_version
from climrecon.preprocess.climatology import rebase_complete
from climrecon.preprocess.models import prepare_member
from climrecon.preprocess.read import read_observations
from climrecon.preprocess.regrid import FileGrid, file_order, to_network_grid
from climrecon.preprocess.request import PrepareRequest
from climrecon.preprocess.uncertainty import read_member

__all__ = [
    "FileGrid",
    "PrepareRequest",
    "cdo_version",
    "file_order",
    "prepare_member",
    "read_member",
    "read_observations",
    "rebase_complete",
    "to_network_grid",
]
