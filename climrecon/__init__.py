"""climrecon: neural-network reconstruction of gappy historical climate observations.

From Python: :func:`climrecon.reconstruct`, :func:`climrecon.evaluate`, :func:`climrecon.cross_validate`,
:func:`climrecon.explain`, :func:`climrecon.compare`, :func:`climrecon.benchmark` and :func:`climrecon.methods`; see
:mod:`climrecon.api`. This module is imported by the host's Python as well (see :mod:`climrecon.freva`), so it holds
nothing but the version and what finds these functions, in syntax that Python 3.8 reads.
"""

from climrecon.version import __version__ as __version__

#: As in typing, whose import would be half the time of this one's.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from climrecon.api import benchmark as benchmark
    from climrecon.api import compare as compare
    from climrecon.api import cross_validate as cross_validate
    from climrecon.api import evaluate as evaluate
    from climrecon.api import explain as explain
    from climrecon.api import methods as methods
    from climrecon.api import reconstruct as reconstruct

_FUNCTIONS = ("benchmark", "compare", "cross_validate", "evaluate", "explain", "methods", "reconstruct")


def __getattr__(name: str) -> "Any":
    """Import the functions when they are first asked for: ``import climrecon`` stays quick."""
    if name in _FUNCTIONS:
        from climrecon import api

        return getattr(api, name)
    raise AttributeError(f"module 'climrecon' has no attribute {name!r}")


def __dir__() -> "list[str]":
    return sorted([*globals(), *_FUNCTIONS])
