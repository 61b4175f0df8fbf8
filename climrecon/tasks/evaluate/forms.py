"""The two forms of ``task=evaluate``: on known fields, and on observations that are withheld."""

from __future__ import annotations

from climrecon.settings import RunSettings, Site
from climrecon.tasks.evaluate.task import Evaluation
from climrecon.tasks.evaluate.withheld import CrossValidation
from climrecon.workflow.run_info import RunInfo


def evaluation(settings: RunSettings, site: Site, run: RunInfo) -> Evaluation | CrossValidation:
    """The evaluation that ``settings`` ask for."""
    return CrossValidation(settings, site, run) if settings.withholds else Evaluation(settings, site, run)
