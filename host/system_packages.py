"""Install the Debian packages that are missing, or say in one line which they are.

    python3 host/system_packages.py PACKAGE...

Standard library alone: it runs before anything is installed.
"""

import os
import shutil
import subprocess
import sys


def missing(packages):
    """Those of ``packages`` that dpkg does not list as installed."""
    found = []
    for package in packages:
        answer = subprocess.run(
            ["dpkg-query", "-W", "-f=${Status}", package], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if b"install ok installed" not in answer.stdout:
            found.append(package)
    return found


def main():
    """Command line."""
    wanted = sys.argv[1:]
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        raise SystemExit("This is no Debian or Ubuntu machine; please install the equivalents of: " + " ".join(wanted))
    packages = missing(wanted)
    if not packages:
        return
    command = ["apt-get"]
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            raise SystemExit("Missing, and neither root nor sudo to install them: " + " ".join(packages))
        command = ["sudo", "DEBIAN_FRONTEND=noninteractive", *command]
    print("Installing " + " ".join(packages), flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*command, "update", "-qq"], env=environment, check=True)
    answer = subprocess.run(
        [*command, "install", "-y", "-qq", "--no-install-recommends", *packages],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    if answer.returncode:
        raise SystemExit("apt-get could not install: " + " ".join(packages))


if __name__ == "__main__":
    main()
