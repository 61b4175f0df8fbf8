"""Bytes and files that a run needs, file system by file system."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from climrecon.files import ABSENT, CLOSED, why_unreadable


def megabytes(size: float) -> str:
    """Size in words."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def mount_of(folder: Path) -> Path:
    """Mount point of the file system that ``folder`` is (or will be) on."""
    here = folder.expanduser().absolute()
    while why_unreadable(here) in (ABSENT, CLOSED):
        here = here.parent
    here = here.resolve()
    while not here.is_mount():
        here = here.parent
    return here


def file_system_lines(needs: Iterable[tuple[Path, float, int]]) -> list[str]:
    """One line for each file system.

    Parameters
    ----------
    needs:
        (folder, bytes, files) of what will be written where.
    """
    totals: dict[Path, tuple[float, int]] = {}
    for folder, size, files in needs:
        mount = mount_of(folder)
        before = totals.get(mount, (0.0, 0))
        totals[mount] = (before[0] + size, before[1] + files)
    lines = []
    for mount, (size, files) in totals.items():
        there = os.statvfs(mount)
        free = there.f_bavail * there.f_frsize
        # Some file systems have no fixed number of files and state 0.
        inodes = f" and {there.f_favail} files" if there.f_files else ""
        short = "  TOO LITTLE" if size > free or (there.f_files and files > there.f_favail) else ""
        lines.append(
            f"  file system {mount}: at most {megabytes(size)} in about {files} files; "
            f"{megabytes(free)}{inodes} free{short}"
        )
    return lines
