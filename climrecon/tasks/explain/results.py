"""Writing the results of an explanation: maps, numbers, figures, provenance, report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from climrecon.fields import Observations
from climrecon.output.explanation import Explained
from climrecon.report import write_run_page
from climrecon.tasks.explained.results import add_explanation, summary
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.methods import LoadedMethod
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.run_folder import RunFolder


def write_explanation(
    results: RunFolder,
    observations: Observations,
    found: Sequence[Explained],
    methods: Sequence[LoadedMethod],
    inputs: Inputs,
    version: int,
) -> Outcome:
    """Write everything; ``found`` has one entry for each of the methods, that of ``network`` first."""
    source, settings = observations.source, results.settings
    results.reporter.stage("Writing the explanation")
    stems = [f"explanation_{one.info.name}" for one in found]
    content = add_explanation(results, observations, found, "explanation.json", stems)
    main, *others = methods
    return results.finish(
        content["title"],
        {"product": "explanation", "model": source.dataset.lower(), "experiment": main.info.name.lower()},
        summary(content),
        partial(write_run_page, template="explanation.html.j2", content=content, units=content["units"]),
        network=main.info.name,
        network_sha256=main.info.sha256,
        inputs=[
            *zip(source.files, source.sha256, strict=True),
            *(file for method in methods for file in method.info.inputs),
        ],
        fingerprint=fingerprint(
            "explain",
            version,
            [*source.sha256, *(digest for method in methods for _, digest in method.info.inputs)],
            settings.fingerprinted("explain"),
            " ".join(method.identity for method in methods),
        ),
        other_networks=[(one.info.name, one.info.sha256) for one in others if one.info.sha256],
        notes=[*source.notes, *inputs.notes, *(f"{one.info.name}: {note}" for one in found for note in one.notes)],
    )
