"""Everything that turns observations into an estimate, behind one contract.

``climrecon.methods()`` lists the methods: the function of :mod:`climrecon.api` has the name of this package, so the
package can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType


class _Package(ModuleType):
    def __call__(self) -> dict[str, str]:
        """Every method there is; see :func:`climrecon.api.methods`."""
        from importlib import import_module

        methods: dict[str, str] = import_module("climrecon.api").methods()
        return methods


sys.modules[__name__].__class__ = _Package
