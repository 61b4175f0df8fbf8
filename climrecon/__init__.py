"""climrecon: neural-network reconstruction of gappy historical climate observations.

This module is imported by the host's Python as well (see ``plugin.py``), so it holds nothing but
the version, in syntax that Python 3.8 reads.
"""

__version__ = "0.1.0"
