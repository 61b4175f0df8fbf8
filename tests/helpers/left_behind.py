"""Working folders that other processes left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from climrecon.processes import identity
from climrecon.working_folders import PREFIX


def left_by_a_dead_process(parent: Path) -> Path:
    """A folder of a process of this machine that was killed, with a file."""
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom climrecon.working_folders import working_folder\n"
        "with working_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent.mkdir(parents=True, exist_ok=True)
    before = set(parent.iterdir())
    subprocess.run([sys.executable, "-c", code, str(parent)], check=False)
    (left,) = set(parent.iterdir()) - before
    return left


def left_by_another_host(parent: Path) -> Path:
    """A folder of a process of another host, with a file."""
    here = identity(os.getpid())
    folder = parent / f"{PREFIX}not-{here['host']}.{here['boot']}.1.1.abcdefgh"
    folder.mkdir(parents=True)
    (folder / "half").write_text("half")
    return folder
