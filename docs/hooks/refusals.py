"""All errors that climrecon raises for users: read from the source, so that the table in the pages is never stale."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from climrecon import errors

PACKAGE = Path(errors.__file__).parent


@dataclass(frozen=True)
class Refusal:
    """One place that raises an error: its kind, message and hint, with what varies as ``…``."""

    kind: str
    message: str
    hint: str
    where: str

    @property
    def exit_code(self) -> int:
        """Of a command that ends with this error."""
        return KINDS[self.kind]


def _kinds() -> dict[str, int]:
    """Name -> exit code of all classes of errors, also of those outside the module of errors."""
    found: dict[str, int] = {}
    waiting: list[type[errors.Explained]] = [errors.ClimReconError, errors.Stopped]
    import climrecon.jobs.messages  # noqa: F401 - brings errors of its own

    while waiting:
        one = waiting.pop()
        found[one.__name__] = one.exit_code
        waiting += one.__subclasses__()
    return found


KINDS = _kinds()


def _text(node: ast.expr | None, names: Mapping[str, ast.expr]) -> str:
    """What an expression gives, with ``…`` for what varies; "" for None."""
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return ""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, names) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, names) + _text(node.right, names)
    if isinstance(node, ast.IfExp):
        both = [text for text in (_text(node.body, names), _text(node.orelse, names)) if text]
        return " / ".join(both)
    if isinstance(node, ast.Name) and node.id in names:
        return _text(names[node.id], names)
    return "…"


def _assigned(tree: ast.AST) -> dict[str, ast.expr]:
    """Name -> expression of plain assignments below ``tree``; of several the first."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, node.value)
    return found


def refusals() -> Iterator[Refusal]:
    """All places, by exit code and message; those that pass an error on with its own hint are left out."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = {name: value for node in tree.body for name, value in _assigned(node).items()}
        for scope in [*tree.body, *(one for node in tree.body for one in getattr(node, "body", []))]:
            if not isinstance(scope, ast.FunctionDef):
                continue
            names = {**module, **_assigned(scope)}
            for call in ast.walk(scope):
                if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in KINDS):
                    continue
                given = any(isinstance(part, ast.Attribute) and part.attr == "hint" for part in ast.walk(call))
                if given or any(isinstance(part, ast.Starred) for part in call.args):
                    continue
                keywords = {keyword.arg: keyword.value for keyword in call.keywords}
                # A list of problems comes before the message.
                texts = call.args[1:] if call.func.id == "ProblemList" else call.args
                heading = texts[0] if texts else keywords.get("heading")
                advice = texts[1] if len(texts) > 1 else keywords.get("hint")
                where = f"{path.relative_to(PACKAGE.parent)}:{call.lineno}"
                found.append(Refusal(call.func.id, _text(heading, names), _text(advice, names), where))
    yield from sorted(found, key=lambda one: (one.exit_code, one.message))


def table_of_refusals() -> str:
    """One row for each message; ``…`` stands for what varies."""
    rows = dict.fromkeys((one.exit_code, _cell(one.message), _cell(one.hint)) for one in refusals())
    lines = ["| code | message | next step |", "|---|---|---|"]
    return "\n".join(lines + [f"| {code} | {message} | {hint} |" for code, message, hint in rows])


def _cell(text: str) -> str:
    return re.sub(r"([|<>*_`\[\]])", r"\\\1", " ".join(text.split()))
