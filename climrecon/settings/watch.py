"""What a site says of scheduled reruns: the table ``[watch]`` of the site file."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_ADDRESS = re.compile(r"^[A-Za-z0-9][\w.+%-]*(@[A-Za-z0-9][A-Za-z0-9.-]*)?$")


def _address(text: str) -> str:
    # It becomes an argument of a mail program, which must never take it for an option.
    if text and not _ADDRESS.match(text):
        raise ValueError(f"{text!r} is no mail address")
    return text


def _program(command: list[str]) -> list[str]:
    if command and not command[0].startswith(("/", "~")):
        raise ValueError(f"{command[0]!r} is no absolute path; a scheduled command knows no other")
    return command


class Checks(BaseModel):
    """What a result must pass before it becomes the current one: the table ``[watch.checks]``.

    Attributes
    ----------
    unchanged_rms:
        Largest area-weighted RMS difference to the previous reconstruction, K, in a month whose input did
        not change.
    global_mean_jump:
        Largest change of a month's global mean since the previous release, K.
    new_month_jump:
        Largest step of the global mean from one month to the next among the new months, K.
    largest_stddev:
        Largest standard deviation a cell may have, K.
    stddev_ratio:
        Largest factor, up or down, between the mean standard deviations of two releases' common months.
    skip:
        Names of checks that are told, but do not hold a release back.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unchanged_rms: float = Field(default=0.05, ge=0)
    global_mean_jump: float = Field(default=0.15, ge=0)
    new_month_jump: float = Field(default=1.0, ge=0)
    largest_stddev: float = Field(default=10.0, gt=0)
    stddev_ratio: float = Field(default=1.5, ge=1)
    skip: list[str] = Field(default_factory=list)


class Watch(BaseModel):
    """How releases are watched for, checked, kept and told of.

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
    notify:
        A program with its arguments that is told of every event, as JSON on its standard input.
    mail_to:
        Address that is told of every event by ``mail`` or ``sendmail``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    settle_seconds: float = Field(default=900.0, ge=0)
    interval_seconds: float = Field(default=3600.0, ge=1)
    keep: int = Field(default=0, ge=0)
    attempts: int = Field(default=3, ge=1)
    notify: Annotated[list[str], AfterValidator(_program)] = Field(default_factory=list)
    mail_to: Annotated[str, AfterValidator(_address)] = ""
    checks: Checks = Field(default_factory=Checks)
