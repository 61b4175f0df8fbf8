"""Validation of a run's parameters: every problem found in one look, each with what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from climrecon import parameters as p
from climrecon.errors import ProblemList, UsageError
from climrecon.settings.periods import Period, parse_month, parse_period
from climrecon.settings.site import Site
from climrecon.variables import AUXILIARY

_TRUE, _FALSE = {"true", "t", "yes", "y", "on", "1"}, {"false", "f", "no", "n", "off", "0"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FACET = re.compile(r"^[\w .:,/*+()\-]{1,200}$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_DATASET_FACETS = tuple(name for name in p.FACETS if name not in ("variable", "time_frequency"))
_OPTION = re.compile(r"^--?[A-Za-z][A-Za-z-]*(=[\w.:@%+/\-]*)?$")


class RunSettings(BaseModel):
    """The validated parameters of one run; one attribute for each parameter.

    ``given`` holds the names the user set (the rest are defaults).
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, extra="forbid")

    given: frozenset[str] = frozenset()

    if TYPE_CHECKING:  # the fields are made from the table of parameters, see _MODEL

        def __getattr__(self, name: str) -> Any: ...

    @property
    def facets(self) -> dict[str, str]:
        """The search facets that have a value."""
        return {name: value for name in p.FACETS if (value := getattr(self, name))}

    @property
    def networks_beside(self) -> list[str]:
        """The further networks or baselines named by ``against``."""
        names = [name.strip() for name in (self.against or "").split(",")]
        return [name for name in dict.fromkeys(names) if name and name.lower() != "none"]

    @property
    def auxiliary_variables(self) -> tuple[str, ...]:
        """The further variables named by ``channels``."""
        return tuple(name for part in (self.channels or "").split(",") if (name := part.strip()))

    @property
    def auxiliary_files(self) -> dict[str, Path]:
        """Further variable -> its file, as ``channel_files`` names them."""
        pairs = [part.partition("=") for part in (self.channel_files or "").split(",") if part.strip()]
        return {name.strip(): Path(path.strip()).expanduser() for name, _, path in pairs}

    def plain(self) -> dict[str, Any]:
        """The parameters as JSON values, as a configuration file holds them; valid input again."""
        # With a file, the facets of a search are defaults that mean nothing and may not be given.
        idle = _DATASET_FACETS if self.obs_file else ()
        # A training starts from a network only if one was given: a default must not be given on.
        if self.task == "train" and "network" not in self.given:
            idle = (*idle, "network")
        return {q.name: _plain(getattr(self, q.name)) for q in p.PARAMETERS if q.name not in idle}


def _plain(value: Any) -> Any:
    if isinstance(value, Period):
        return str(value)
    return str(value) if isinstance(value, Path) else value


def _text(value: Any) -> str:
    text = str(value).strip()
    if _CONTROL.search(text):
        raise ValueError("holds a line break or another control character")
    if len(text) > 4096:
        raise ValueError("is longer than 4096 characters")
    return text


def _facet(value: Any) -> str:
    text = _text(value)
    if not _FACET.match(text):
        raise ValueError(f"{text!r} is no facet value; letters, digits and . : , / * + ( ) - _ are allowed")
    return text


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError(f"{value!r} is neither true nor false")


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no number")  # noqa: TRY004 - pydantic collects ValueErrors only
    return value


def _period(value: Any) -> Period:
    if isinstance(value, list | tuple):
        value = "-".join(str(part) for part in (value[0], value[-1]))
    return parse_period(str(value))


def _month(value: Any) -> str:
    index = parse_month(str(value))
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def _path(value: Any) -> Path:
    return Path(_text(value)).expanduser()


def _choice(parameter: p.Parameter) -> Any:
    def check(value: Any) -> str:
        text = str(value).strip().lower()
        if text in parameter.choices:
            return text
        near = difflib.get_close_matches(text, parameter.choices, 1)
        nearest = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{value!r} is none of {', '.join(parameter.choices)}{nearest}")

    return Annotated[str, BeforeValidator(check)]


_TYPES: dict[str, Any] = {
    p.FACET: Annotated[str, BeforeValidator(_facet)],
    p.TEXT: Annotated[str, BeforeValidator(_text)],
    p.BOOL: Annotated[bool, BeforeValidator(_bool)],
    p.INT: Annotated[int, BeforeValidator(_number)],
    p.FLOAT: Annotated[float, BeforeValidator(_number)],
    p.FILE: Annotated[Path, BeforeValidator(_path)],
    p.FOLDER: Annotated[Path, BeforeValidator(_path)],
    p.PERIOD: Annotated[Period, BeforeValidator(_period)],
    p.MONTH: Annotated[str, BeforeValidator(_month)],
}


def _build() -> type[RunSettings]:
    fields: dict[str, Any] = {}
    for parameter in p.PARAMETERS:
        kind = _choice(parameter) if parameter.choices else _TYPES[parameter.kind]
        if parameter.minimum is not None:
            kind = Annotated[kind, Field(ge=parameter.minimum, le=parameter.maximum)]
        fields[parameter.name] = (kind | None if parameter.default is None else kind, ...)
    return create_model("RunSettings", __base__=RunSettings, **fields)


_MODEL = _build()


def _is_empty(value: Any) -> bool:
    # Freva sends the text "None" for x=None, and blank web fields as empty texts or not at all.
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def validate(raw: Mapping[str, Any], site: Site) -> RunSettings:
    """Check ``raw`` parameters against the table and fill in the defaults of ``site``.

    Raises
    ------
    ProblemList
        With every unknown name, bad value and impossible combination, each with what is near or allowed.
    """
    problems = [_unknown(name) for name in raw if name not in p.BY_NAME]
    given = {name: value for name, value in raw.items() if name in p.BY_NAME and not _is_empty(value)}
    values = {q.name: given.get(q.name, site.default(q.name)) for q in p.PARAMETERS}
    settings: RunSettings | None = None
    try:
        settings = _MODEL.model_validate({**values, "given": frozenset(given)})
    except ValidationError as error:
        problems += [_problem(item, values) for item in error.errors()]
    problems += _combinations(values, frozenset(given))
    problems += _training_sets(values, site)
    if problems or settings is None:
        raise ProblemList(
            problems,
            "These parameters cannot be used:",
            "See 'climrecon reconstruct --help' for all of them.",
        )
    return settings


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(str(name), list(p.BY_NAME), 1, cutoff=0.5)
    return f"{name}: there is no such parameter" + (f"; did you mean {near[0]}?" if near else "")


def _problem(item: Any, values: Mapping[str, Any]) -> str:
    name = str(item["loc"][0])
    parameter = p.BY_NAME[name]
    if item["type"] == "value_error":
        return f"{name}: {item['ctx']['error']}"
    return f"{name}: {values[name]!r} is not allowed; expected {p.allowed(parameter)}"


def _combinations(values: Mapping[str, Any], given: frozenset[str]) -> list[str]:
    """What single values cannot show. Looks at raw values, so that it reports beside their problems."""
    problems = []
    dataset = [
        name
        for name in ("project", "product", "institute", "model", "experiment", "ensemble")
        if name in given
    ]
    if "obs_file" in given and dataset:
        problems.append(
            f"obs_file: a file was named and also a search ({', '.join(dataset)}); give one or the other"
        )
    if (
        "detach" in given
        and str(values["detach"]).lower() in _TRUE
        and str(values["dispatch"]).lower() == "local"
    ):
        problems.append("detach: a local run cannot be detached; leave out detach or use dispatch=slurm")
    if "network_name" in given and not _NAME.match(str(values["network_name"])):
        problems.append(f"network_name: {_no_name(values['network_name'])}")
    if str(values["time_frequency"]).lower() not in ("mon", "month", "monthly"):
        problems.append(f"time_frequency: {values['time_frequency']!r} is not reconstructed; only mon is")
    options = values["extra_scheduler_options"]
    if not _is_empty(options):
        bad = [part for part in str(options).split(",") if not _OPTION.match(part.strip())]
        problems += [
            f"extra_scheduler_options: {part!r} is no option like --partition=shared" for part in bad
        ]
    problems += _reference_period(values["reference_period"])
    problems += _further(values)
    return problems


def _further(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with further variables and their files."""
    problems, task = [], str(values["task"]).strip().lower()
    names = [] if _is_empty(values["channels"]) else [n.strip() for n in str(values["channels"]).split(",")]
    for name in names:
        if name not in AUXILIARY or names.count(name) > 1:
            near = difflib.get_close_matches(name, list(AUXILIARY), 1)
            problems.append(
                f"channels: {name!r} is no further variable, or stands there twice; {', '.join(AUXILIARY)} can be"
                + (f"; did you mean {near[0]}?" if near and near[0] != name else "")
            )
    if not _is_empty(values["channel_files"]):
        if task != "reconstruct":
            problems.append(f"channel_files: are for task=reconstruct; task={task} takes none")
        for part in str(values["channel_files"]).split(","):
            name, sign, path = (word.strip() for word in part.partition("="))
            if not sign or name not in AUXILIARY or not path:
                problems.append(
                    f"channel_files: {part.strip()!r} is not VARIABLE=FILE with one of {', '.join(AUXILIARY)}"
                )
    return problems


def _no_name(name: Any) -> str:
    return f"{name!r} is no name; use letters, digits, dot, dash and underscore"


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a network.

    Raises
    ------
    UsageError
        If it is none.
    """
    if not _NAME.match(name):
        raise UsageError(_no_name(name))


def _training_sets(values: Mapping[str, Any], site: Site) -> list[str]:
    """Training sets that the site does not know, where they matter."""
    task = str(values["task"]).strip().lower()
    if task != "train" and (task != "evaluate" or not _is_empty(values["truth_file"])):
        return []
    known = site.file.training_data
    names = [part.strip() for part in str(values["training_data"]).split("+") if part.strip()]
    problems = [] if names else [f"training_data: names no set; the site knows {', '.join(known)}"]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), 1)
            problems.append(
                f"training_data: there is no set {name}; the site knows {', '.join(known)} (several are joined by +)"
                + (f"; did you mean {near[0]}?" if near else "")
            )
    return problems


def _reference_period(value: Any) -> list[str]:
    try:
        period = None if _is_empty(value) else _period(value)
    except ValueError:
        return []  # reported with the single values
    if period is None or period.start is None or period.end is None:
        return ["reference_period: both ends are needed, e.g. 1961-1990"]
    if period.start % 12 or period.end % 12 != 11:
        return ["reference_period: whole years are needed, e.g. 1961-1990"]
    return []
