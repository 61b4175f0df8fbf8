"""Catalogues of files: opened with intake-esm, searched by Freva's facets, built over folders."""

from climrecon.catalogue.build import BuiltCatalogue, build_catalogue
from climrecon.catalogue.opening import Catalogue, open_catalogue
from climrecon.catalogue.search import LeftOut, SearchResult, search

__all__ = [
    "BuiltCatalogue",
    "Catalogue",
    "LeftOut",
    "SearchResult",
    "build_catalogue",
    "open_catalogue",
    "search",
]
