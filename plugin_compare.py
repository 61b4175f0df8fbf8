"""The Freva plugin ClimReconCompare: compare infilled products. What it does is in :mod:`climrecon.freva`."""

from evaluation_system.api import plugin

from climrecon import freva
from climrecon import parameters as p


class ClimReconCompare(plugin.PluginAbstract):
    """Compare infilled products."""

    __short_description__ = (
        "Compare infilled products: annual means, trends, ranks of years, events, maps of differences."
    )
    __long_description__ = (
        "Brings reconstructions and other infilled data sets to a common grid, base period and coverage, and compares "
        "their annual means with spread, trends with intervals, the warmest years, El Nino events, and maps."
    )
    __version__ = freva.VERSION
    __category__ = "statistical"
    __tags__ = ["reconstruction", "comparison", "trends", "observations"]
    tool_developer = freva.DEVELOPER
    __parameters__ = freva.Parameters(p.COMPARE)
    __init__ = freva.init
    run_tool = freva.run_tool
    submit_job_script = freva.submit_job_script
