"""The Freva plugin ClimReconEvaluate: score networks. What it does is in :mod:`climrecon.freva`."""

from evaluation_system.api import plugin

from climrecon import freva
from climrecon import parameters as p


class ClimReconEvaluate(plugin.PluginAbstract):
    """Score networks and baselines on known fields."""

    __short_description__ = "Score networks and baselines that fill gaps, on complete fields masked like observations."
    __long_description__ = (
        "Masks complete fields with the gaps of observations, fills the gaps with networks and baselines, and compares "
        "the results with the truth: scores with intervals, maps of errors, series, and a report."
    )
    __version__ = freva.VERSION
    __category__ = "statistical"
    __tags__ = ["reconstruction", "evaluation", "scores", "observations"]
    tool_developer = freva.DEVELOPER
    __parameters__ = freva.Parameters(p.EVALUATE)
    __init__ = freva.init
    run_tool = freva.run_tool
    submit_job_script = freva.submit_job_script
