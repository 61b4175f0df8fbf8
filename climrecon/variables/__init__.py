"""Variables: ``NAME.toml`` in this folder describes one completely. Standard library and pydantic; units by pint."""

from climrecon.variables.description import AcceptedUnits, Box, Index, Maps, Variable
from climrecon.variables.table import AUXILIARY, VARIABLES
from climrecon.variables.transform import Transform

__all__ = ["AUXILIARY", "VARIABLES", "AcceptedUnits", "Box", "Index", "Maps", "Transform", "Variable"]
