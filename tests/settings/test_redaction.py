"""Secrets in addresses and variables are taken out; what names data stays."""

from __future__ import annotations

import pytest

from climrecon.errors import NoDataError, ProblemList
from climrecon.redaction import redacted
from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile

SECRET = "S3cretPw"


@pytest.mark.parametrize(
    "text",
    [
        f"https://host/cat.json?token={SECRET}",
        f"https://host/cat.json?variable=tas&sig={SECRET}&x=1",
        f"https://host/cat.json?{SECRET}",
        f"https://host/cat.json#access_token={SECRET}",
        f"http://alice:{SECRET}@proxy.example:3128",
        f"http://{SECRET}@host/cat.json",
        f"http://alice:p@{SECRET}@host/",
        f"alice:{SECRET}@proxy.example:3128",
        f"HTTPS_PROXY=alice:{SECRET}@proxy:3128",
        f"the variable CLIMRECON_TOKEN={SECRET} is set",
        f"api_key: {SECRET}",
        f'{{"catalogue": "https://host/c?key={SECRET}", "x": 1}}',
        f"The catalogue s3://key:{SECRET}@bucket/c.json cannot be reached: HTTP Error 401",
    ],
)
def test_secrets_are_taken_out(text: str) -> None:
    assert SECRET not in redacted(text)
    assert "***" in redacted(text)
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://www.freva.dev/api/databrowser/intake-catalogue?project=observations&variable=tas",
        "https://climrecon.readthedocs.io/ns#run",
        "/data/HadCRUT.5.0.2.0.analysis@v1.nc",
        "2026-11-29 11:56:32 Searching catalogue.json",
        "write to help@example.org",
        "Kadow et al. 2020: https://doi.org/10.1038/s41561-020-0582-5",
        "--period=1850:2025 --compare-with=kriging,pca",
        "psl=/data/psl.nc,tos=/data/tos.nc",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert redacted(text) == text


def test_a_text_of_json_stays_json() -> None:
    import json

    content = {"catalogue": f'https://host/c?key={SECRET}"quoted', "next": [1]}
    assert set(json.loads(redacted(json.dumps(content)))) == {"catalogue", "next"}


def test_errors_hold_no_secret() -> None:
    address = f"http://alice:{SECRET}@host/c.json"
    error = NoDataError(f"{address} cannot be reached", f"Check {address}.")
    problems = ProblemList([f"{address} is wrong"], f"For {address}:")
    for text in (str(error), repr(error), error.message, str(problems), *problems.problems):
        assert SECRET not in text


def test_settings_are_recorded_without_secrets_and_handed_on_with_them() -> None:
    given = {"catalogue": f"https://host/cat.json?token={SECRET}"}
    settings = validate(given, Site(SiteFile()))
    assert SECRET not in str(settings.recorded())
    assert settings.plain()["catalogue"] == given["catalogue"]
    assert set(settings.recorded()) == set(settings.plain())
