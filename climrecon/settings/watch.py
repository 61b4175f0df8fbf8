"""The site's settings for scheduled reruns: the table ``[watch]`` of the site file."""

from __future__ import annotations

import re
import shlex
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

#: Longest time between two looks, s, as on the command line.
A_YEAR = 366 * 86400.0
_ADDRESS = re.compile(r"^[A-Za-z0-9][\w.+%-]*(@[A-Za-z0-9][A-Za-z0-9.-]*)?$")


def _address(text: str) -> str:
    # It becomes an argument of a mail program, which must never take it for an option.
    if text and not _ADDRESS.match(text):
        raise ValueError(f"{text!r} is no mail address")
    return text


def _command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} cannot be split into words: {error}") from None
    if not words:
        raise ValueError("the command is empty")
    if "/" in words[0] and not words[0].startswith(("/", "~/")):
        raise ValueError(f"{words[0]!r} is no absolute path; a scheduled look starts in another folder")
    return text


_Command = Annotated[str, AfterValidator(_command)]


class Checks(BaseModel):
    """What a result must pass before it becomes the current one: the table ``[watch.checks]``.

    Limits that a site states are in the variable's units; the defaults are K, and of another variable times its scale.

    Attributes
    ----------
    unchanged_rms:
        Largest area-weighted RMS difference to the previous reconstruction in a month whose input did not change.
    global_mean_jump:
        Largest change of a month's global mean since the previous release.
    new_month_jump:
        Largest step of the global mean from one month to the next among the new months.
    largest_stddev:
        Largest standard deviation a cell may have.
    stddev_ratio:
        Largest factor, up or down, between the mean standard deviations of two releases' common months.
    skip:
        Names of checks that are reported, but do not hold a release back.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    unchanged_rms: float = Field(default=0.05, ge=0)
    global_mean_jump: float = Field(default=0.15, ge=0)
    new_month_jump: float = Field(default=1.0, ge=0)
    largest_stddev: float = Field(default=10.0, gt=0)
    stddev_ratio: float = Field(default=1.5, ge=1)
    skip: list[str] = Field(default_factory=list)

    def of(self, scale: float) -> Checks:
        """The limits for a variable of that scale."""
        names = {"unchanged_rms", "global_mean_jump", "new_month_jump", "largest_stddev"} - self.model_fields_set
        return self.model_copy(update={name: getattr(self, name) * scale for name in names})


class Watch(BaseModel):
    """How releases are looked for, checked, kept and announced.

    Attributes
    ----------
    settle_seconds:
        A file that nobody wrote to for so long is whole at the first look.
    interval_seconds:
        From one look to the next where ``climrecon watch`` runs on.
    keep:
        Published releases that stay; 0: all.
    attempts:
        How often a run that fails for another reason than its surroundings is tried on the same input.
    on_event:
        Commands that get every event as JSON on their standard input; one string or several. Quotes group words as in
        a shell, but no shell is started.
    notify, mail_to:
        The names before ``on_event``: a program with its arguments, and an address that ``mail`` writes to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    settle_seconds: float = Field(default=900.0, ge=0, le=A_YEAR)
    interval_seconds: float = Field(default=3600.0, ge=1, le=A_YEAR)
    keep: int = Field(default=0, ge=0)
    attempts: int = Field(default=3, ge=1)
    on_event: Annotated[list[_Command], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] = []
    notify: Annotated[list[str], AfterValidator(lambda v: v and [_command(shlex.join(v))] and v)] = []
    mail_to: Annotated[str, AfterValidator(_address)] = ""
    checks: Checks = Field(default_factory=Checks)

    @property
    def _replaced(self) -> dict[str, str]:
        """The commands that older settings stand for."""
        old = {"notify": self.notify, "mail_to": ["mail", "-s", "climrecon", self.mail_to]}
        return {name: shlex.join(words) for name, words in old.items() if getattr(self, name)}

    @property
    def event_commands(self) -> list[list[str]]:
        """Program and arguments of every command that gets events."""
        return [shlex.split(text) for text in (*self.on_event, *self._replaced.values())]

    @property
    def notes(self) -> list[str]:
        """Which settings have a new name, and what to write instead."""
        return [
            f"[watch] {name} is an older setting; write on_event = {text!r} instead"
            for name, text in self._replaced.items()
        ]
