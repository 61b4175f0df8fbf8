"""The Freva plugin ClimRecon: reconstruct observations. What it does is in :mod:`climrecon.freva`.

The host executes this file in its own Python as a bare module (there is no ``__file__``).
"""

from evaluation_system.api import plugin

from climrecon import freva
from climrecon import parameters as p


class ClimRecon(plugin.PluginAbstract):
    """Reconstruct gappy climate observations with neural networks."""

    __short_description__ = "Fill the gaps of historical climate observations with neural networks."
    __long_description__ = (
        "Finds observations (by default HadCRUT) in the catalogue, reconstructs what is missing with a neural "
        "network trained on complete fields, and estimates the uncertainty: a CF netCDF file with standard deviation and "
        "realisations, maps, global-mean and Nino 3.4 series, a report, and W3C provenance."
    )
    __version__ = freva.VERSION
    __category__ = "statistical"
    __tags__ = ["reconstruction", "infilling", "HadCRUT", "machine learning", "observations"]
    tool_developer = freva.DEVELOPER
    __parameters__ = freva.Parameters(p.RECONSTRUCT)
    __init__ = freva.init
    run_tool = freva.run_tool
    submit_job_script = freva.submit_job_script
