"""The commands for the batch jobs of runs."""

from __future__ import annotations

import click

from climrecon.cli.progress import make_reporter
from climrecon.cli.run_command import EPILOG, Printed, json_option


@click.group()
def jobs() -> None:
    """List, show, follow and cancel the batch jobs of your runs."""


@jobs.command("list")
@json_option()
@click.option("--all", "everything", is_flag=True, help="Also those that ended more than a week ago.")
def jobs_list(everything: bool) -> Printed:
    """List your runs that were submitted as batch jobs, the newest first."""
    from climrecon.jobs.follow import content, is_recent, list_lines, look
    from climrecon.jobs.record import all_chains

    looks = [look(chain) for chain in all_chains()]
    rows = [(chain, states) for chain, states in looks if everything or is_recent(chain, states)]
    return [content(*row) for row in rows], list_lines(rows, everything)


@jobs.command("show")
@click.argument("run")
@json_option()
def jobs_show(run: str) -> Printed:
    """Show the jobs of a RUN: its id, the number of one of its jobs, or its output folder."""
    from climrecon.jobs.follow import content, look, part_lines
    from climrecon.jobs.record import find_chain

    chain, states = look(find_chain(run))
    return content(chain, states), part_lines(chain, states)


@jobs.command("follow", epilog=EPILOG)
@click.argument("run")
def jobs_follow(run: str) -> Printed:
    """Wait for the jobs of a RUN and report their progress; Ctrl-C ends the waiting, not the jobs."""
    from climrecon.jobs.record import find_chain
    from climrecon.workflow.dispatch import wait_for

    reporter = make_reporter()
    outcome = wait_for(find_chain(run), reporter)
    reporter.close()
    return outcome.manifest, outcome.summary


@jobs.command("startable", hidden=True)
@click.argument("job", type=int)
def jobs_startable(job: int) -> None:
    """Cancel JOB, which the host submitted, if it can never start."""
    from climrecon.jobs.follow import cancel_if_it_never_starts

    cancel_if_it_never_starts(job)


@jobs.command("cancel")
@click.argument("run")
def jobs_cancel(run: str) -> None:
    """Cancel the jobs of a RUN that have not ended."""
    from climrecon.jobs.chain import cancel
    from climrecon.jobs.follow import look
    from climrecon.jobs.record import find_chain
    from climrecon.jobs.states import is_live, overall

    chain, states = look(find_chain(run))
    if not is_live(states):
        click.echo(f"{chain.id} has ended already: {overall(states)}.")
        return
    cancel(chain)
    click.echo(f"Cancelled the jobs of {chain.id}: {', '.join(map(str, chain.numbers))}.")
