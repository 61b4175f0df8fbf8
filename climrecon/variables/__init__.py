"""Variables: ``NAME.toml`` beside this module holds all that the package knows of one. Standard library and pydantic."""

from climrecon.variables.description import AcceptedUnits, Maps, Variable
from climrecon.variables.table import AUXILIARY, VARIABLES

__all__ = ["AUXILIARY", "VARIABLES", "AcceptedUnits", "Maps", "Variable"]
