"""``dryrun``: which files, what would be done, how large it would be."""

from __future__ import annotations

from pathlib import Path

from climrecon.output.product import NetworkInfo
from climrecon.preprocess import PrepareRequest, read_observations
from climrecon.settings import RunSettings
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.reconstruct.ensemble import all_members, chosen_covariances, chosen_members
from climrecon.tasks.reconstruct.size import Size
from climrecon.workflow.disk_space import file_system_lines, megabytes
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.run_folder import output_folder


def files_of(settings: RunSettings) -> int:
    """About how many files a reconstruction writes: data, catalogue, provenance and manifest; figures; report."""
    figures = 3 if settings.plots else 0
    return 4 + figures + int(settings.animation) + int(settings.report) + 6 * int(settings.add_to_databrowser)


def dry_run(
    settings: RunSettings,
    inputs: Inputs,
    network: NetworkInfo,
    reporter: Reporter,
    expected: Size,
    parts: int,
    cache: Path,
) -> Outcome:
    """Read the observations and describe the run; write nothing.

    Parameters
    ----------
    expected, parts, cache:
        Size by the files' headers, parts it is done in, and where those are left until all are done.
    """
    request = PrepareRequest(
        variable=settings.variable,
        values=settings.values,
        period=settings.period or (None, None),
        reference_period=settings.reference_period.years,
        facets=inputs.facets,
    )
    members = chosen_members(inputs, settings.variable, settings.obs_members)
    covariances = chosen_covariances(inputs, settings.obs_members, request.period)
    reporter.stage("Dry run: reading, writing nothing")
    observations = read_observations(inputs.main, request, uncorrelated=inputs.uncorrelated)
    cells = observations.values.size
    fields = (4 if network.sha256 else 3) + int(bool(expected.members))
    size = cells * 4 * (fields + settings.realisations)
    folder = output_folder(settings)
    needs: list[tuple[Path, float, int]] = [(folder, size, files_of(settings))]
    split = []
    if parts > 1:
        needs.append((cache, expected.bytes, expected.files(parts)))
        split = [
            f"  parts: {parts} blocks of months, {megabytes(expected.bytes)} in about {expected.files(parts)} files in "
            f"{cache} until all are done"
        ]
    lines = ["Would reconstruct, and write nothing now (dryrun):", "  inputs:"]
    lines += [
        f"    {path} ({megabytes(path.stat().st_size)})"
        for path in (*inputs.main, *([inputs.uncorrelated] if inputs.uncorrelated else []))
    ]
    if members:
        held = megabytes(sum(path.stat().st_size for path in {one.path for one in members}))
        total = len(all_members(inputs, settings.variable))
        lines.append(f"    {len(members)} of {total} members, each reconstructed too (obs_members; {held})")
    if covariances:
        lines.append(f"    {len(covariances)} error covariances, which errors of the members are drawn from")
    lines += [f"  left out: {path}: {reason}" for path, reason in inputs.left_out]
    lines += [f"  note: {note}" for note in (*inputs.notes, *observations.source.notes)]
    lines += [
        f"  data: {observations.source.label}, {len(observations.time)} months {observations.time.span()}, "
        f"{observations.grid.describe()}, {100 * float(observations.mask.mean()):.0f} % of cells observed",
        f"  network: {network.name} ({network.title})",
        f"  compared with: {', '.join(settings.other_networks) or 'nothing'}",
        f"  output: at most {megabytes(size)} before compression in {folder}",
        *split,
        *file_system_lines(needs),
    ]
    return Outcome(None, {"status": "dryrun", "outputs": []}, lines)
