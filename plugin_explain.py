"""The Freva plugin ClimReconExplain: where a value comes from. What it does is in :mod:`climrecon.freva`."""

from evaluation_system.api import plugin

from climrecon import freva
from climrecon import parameters as p


class ClimReconExplain(plugin.PluginAbstract):
    """Explain which observations a reconstructed value comes from."""

    __short_description__ = "Explain which observations a reconstructed value of one month comes from."
    __long_description__ = (
        "Maps, for one month and a place, region or index, what each observation contributes to the value that networks "
        "and baselines reconstruct, what changes without it, and where one more observation would help most."
    )
    __version__ = freva.VERSION
    __category__ = "statistical"
    __tags__ = ["reconstruction", "explanation", "attribution", "observations"]
    tool_developer = freva.DEVELOPER
    __parameters__ = freva.Parameters(p.EXPLAIN)
    __init__ = freva.init
    run_tool = freva.run_tool
    submit_job_script = freva.submit_job_script
