"""Files made from the table of parameters: typed settings, ``tool.toml`` and the table in the README.

``python -m climrecon.generated`` writes them; a test fails when they are stale.
"""

import json
from pathlib import Path

from climrecon import parameters as p
from climrecon.version import __version__

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- parameters: begin -->", "<!-- parameters: end -->"

FIELDS = ROOT / "climrecon" / "settings" / "_fields.py"

_TYPES = {p.BOOL: "boolean", p.INT: "integer", p.FLOAT: "number", p.FILE: "file", p.OUTPUT: "directory"}
#: Kind -> type in :mod:`climrecon.settings.kinds`; other kinds are texts.
_KINDS = {
    p.FACET: "Facet",
    p.BOOL: "Bool",
    p.INT: "Int",
    p.FLOAT: "Float",
    p.PERIOD: "Period",
    p.PERIODS: "Periods",
    p.MONTH: "Month",
    p.MONTHS: "MonthList",
    p.FILE: "File",
    p.FOLDER: "File",
    p.OUTPUT: "File",
}


def typed_fields() -> str:
    """The parameters as a pydantic class, for mypy and for validation."""
    lines = [
        '"""Made from climrecon/parameters.py by \'python -m climrecon.generated\'; do not edit."""',
        "",
        "from typing import Annotated, Literal",
        "",
        "from pydantic import BaseModel, Field",
        "",
        "from climrecon.settings import kinds as k",
        "",
        "",
        "class Fields(BaseModel):",
        '    """One field for each parameter."""',
        "",
    ]
    for parameter in p.PARAMETERS:
        kind = f"k.{_KINDS.get(parameter.kind, 'Text')}"
        if parameter.choices:
            kind = f"Annotated[Literal[{', '.join(map(json.dumps, parameter.choices))}], k.LOWER_CASE]"
        if parameter.minimum is not None:
            kind = f"Annotated[{kind}, Field(ge={parameter.minimum}, le={parameter.maximum})]"
        lines.append(f"    {parameter.name}: {kind}{' | None' if parameter.default is None else ''}")
    return "\n".join(lines) + "\n"


def tool_toml() -> str:
    """Freva's newer description of a tool: its command gets one JSON file with the parameters."""
    lines = [
        "# Made from climrecon/parameters.py by 'python -m climrecon.generated'; do not edit.",
        "[tool]",
        'name = "climrecon"',
        f'version = "{__version__}"',
        'summary = "Fill the gaps of historical climate observations with neural networks."',
        "",
        "[tool.run]",
        'command = ["python", "-m", "climrecon", "run"]',
    ]
    for parameter in p.PARAMETERS:
        kind = "choice" if parameter.choices else _TYPES.get(parameter.kind, "string")
        lines += [
            "",
            f"[tool.input_parameters.{parameter.name}]",
            f"title = {json.dumps(parameter.name.replace('_', ' ').capitalize())}",
            f'type = "{kind}"',
            "mandatory = false",
            f"help = {json.dumps(p.help_with_task(parameter))}",
        ]
        if parameter.default is not None:
            lines.append(f"default = {json.dumps(parameter.default)}")
        if parameter.choices:
            lines.append(f"options = {json.dumps(list(parameter.choices))}")
    return "\n".join(lines) + "\n"


def readme_table() -> str:
    """The parameters as a Markdown table, in the order of the web form."""
    lines = ["| parameter | default | values | tasks | purpose |", "|---|---|---|---|---|"]
    for parameter in p.PARAMETERS:
        default = "" if parameter.default is None else f"`{p.shown(parameter.default)}`"
        values = p.allowed(parameter).replace("|", "\\|")
        tasks = "all" if parameter.tasks in (p.TASKS, ()) else ", ".join(parameter.tasks)
        star = "*" if parameter.site else ""
        lines.append(f"| `{parameter.name}`{star} | {default} | {values} | {tasks} | {parameter.help} |")
    return "\n".join(lines)


def readme_with_table(text: str) -> str:
    """The README with its table renewed."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{readme_table()}\n{END}{after}"


def main() -> None:
    """Write the generated files."""
    readme = ROOT / "README.md"
    readme.write_text(readme_with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")
    FIELDS.write_text(typed_fields(), encoding="utf-8")
    (ROOT / "tool.toml").write_text(tool_toml(), encoding="utf-8")


if __name__ == "__main__":
    main()
