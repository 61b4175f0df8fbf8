"""Catalogues of files: opened with intake-esm, searched by Freva's facets, built over folders."""

from climrecon.catalogue.build import BuiltCatalogue, build_catalogue
from climrecon.catalogue.members import FoundMembers, MemberFiles, find_members
from climrecon.catalogue.opening import Catalogue, LeftOut, open_catalogue
from climrecon.catalogue.search import SearchResult, search

__all__ = [
    "BuiltCatalogue",
    "Catalogue",
    "FoundMembers",
    "LeftOut",
    "MemberFiles",
    "SearchResult",
    "build_catalogue",
    "find_members",
    "open_catalogue",
    "search",
]
