"""The Freva plugin ClimReconBenchmark: score methods on a benchmark set. What it does is in :mod:`climrecon.freva`."""

from evaluation_system.api import plugin

from climrecon import freva
from climrecon import parameters as p


class ClimReconBenchmark(plugin.PluginAbstract):
    """Score methods and submissions of other tools on a benchmark set."""

    __short_description__ = (
        "Score reconstructions of any tool on a benchmark set: inputs with gaps, scores, leaderboard."
    )
    __long_description__ = (
        "Exports a set of known fields with gaps and errors, or takes an earlier one, fills the gaps with networks and "
        "baselines, checks and scores these and the submissions of other tools, and returns a leaderboard."
    )
    __version__ = freva.VERSION
    __category__ = "statistical"
    __tags__ = ["reconstruction", "benchmark", "scores", "leaderboard"]
    tool_developer = freva.DEVELOPER
    __parameters__ = freva.Parameters(p.BENCHMARK)
    __init__ = freva.init
    run_tool = freva.run_tool
    submit_job_script = freva.submit_job_script
