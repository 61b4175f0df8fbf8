"""climrecon: neural-network reconstruction of gappy historical climate observations.

This module is imported by the host's Python as well (see ``plugin.py``), so it holds nothing but
the version and two notes of the plugin, in syntax that Python 3.8 reads.
"""

from typing import FrozenSet

__version__ = "0.1.0"

# The host loads plugin.py anew for the run; what it has to remember stays here.
#: Names of the parameters that were typed on the command line.
typed: FrozenSet[str] = frozenset()
#: Whether forked processes of the host end at a signal, see ``plugin.py``.
forks_die = False
