"""The command line: argument parsing, logging, progress and exit codes are here and nowhere else."""

from __future__ import annotations


def main() -> None:
    """Entry point of the ``climrecon`` console script."""
    from climrecon.cli.app import run_app

    run_app()
