"""The Freva plugin ClimReconTrain: train a network. What it does is in :mod:`climrecon.freva`."""

from evaluation_system.api import plugin

from climrecon import freva
from climrecon import parameters as p


class ClimReconTrain(plugin.PluginAbstract):
    """Train a network on fields of models or reanalyses."""

    __short_description__ = "Train a network that fills the gaps of historical climate observations."
    __long_description__ = (
        "Masks complete fields of climate models or reanalyses with the gaps of observations, trains a network to fill "
        "these gaps, scores the network on held-out members, and stores it with its card. ClimRecon uses it by its name."
    )
    __version__ = freva.VERSION
    __category__ = "statistical"
    __tags__ = ["reconstruction", "infilling", "training", "machine learning"]
    tool_developer = freva.DEVELOPER
    __parameters__ = freva.Parameters(p.TRAIN)
    __init__ = freva.init
    run_tool = freva.run_tool
    submit_job_script = freva.submit_job_script
