"""A small archive of generated files, written exactly as producers write theirs."""

from climrecon.demo.archive import write_demo

__all__ = ["write_demo"]
