from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climrecon.errors import ProblemList, UsageError
from climrecon.parameters import BOOL, BY_NAME, CHOICE, PARAMETERS
from climrecon.settings import Site, load_site, validate
from climrecon.settings.site import SiteFile


@pytest.fixture
def site() -> Site:
    return Site(SiteFile())


def problems(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(ProblemList) as caught:
        validate(raw, Site(SiteFile()))
    return caught.value.problems


def test_nothing_given_is_valid(site: Site) -> None:
    settings = validate({}, site)
    assert settings.variable == "tas"
    assert settings.given == frozenset()
    assert settings.reference_period.years == (1961, 1990)
    assert settings.facets == {"variable": "tas", "project": "observations", "time_frequency": "mon"}


def test_all_problems_at_once_with_the_nearest_name() -> None:
    found = problems({"varable": "tas", "realisations": "many", "values": "anomal", "period": "1990-1980"})
    assert len(found) == 4
    assert "varable: there is no such parameter; did you mean variable?" in found
    assert any(text.startswith("realisations: 'many' is not allowed; expected integer, 0 to 1000") for text in found)
    assert any("did you mean anomaly?" in text for text in found)
    assert any("ends before it starts" in text for text in found)


def test_a_synonym_of_the_variable_means_the_variable(site: Site) -> None:
    assert [validate({"variable": name}, site).variable for name in ("tasa", "ssta", "slp")] == ["tas", "tos", "psl"]


def test_the_model_of_a_file_is_its_data_set(site: Site) -> None:
    settings = validate({"obs_file": "a.nc", "model": "GISTEMP", "obs_variable": "t"}, site)
    assert settings.data_set == "GISTEMP"
    assert {"model": "GISTEMP", "obs_variable": "t"}.items() <= settings.fingerprinted("reconstruct").items()
    again = validate({name: value for name, value in settings.plain().items() if value is not None}, site)
    assert again.data_set == "GISTEMP"
    searched = validate({"model": "GISTEMP"}, site)
    assert searched.data_set == ""
    assert searched.fingerprinted("reconstruct") == validate({}, site).fingerprinted("reconstruct")


def test_what_freva_sends_for_empty_fields_is_a_default(site: Site) -> None:
    settings = validate({"model": "None", "plot_month": "", "period": None}, site)
    assert (settings.model, settings.plot_month, settings.period) == (None, None, None)
    assert settings.given == frozenset()


def test_a_default_beside_a_file_is_no_search(site: Site) -> None:
    """The history of Freva holds such calls of version 0.1, which sent all defaults."""
    assert validate({"obs_file": "a.nc", "project": "observations"}, site).obs_file == Path("a.nc")
    assert any("also a search (project)" in text for text in problems({"obs_file": "a.nc", "project": "CMIP6"}))


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("False", False), ("1", True), ("no", False), (True, True)]
)
def test_truth_values(site: Site, text: Any, value: bool) -> None:
    assert validate({"keep_observed": text}, site).keep_observed is value


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ({"obs_file": "a.nc", "project": "CMIP5"}, "obs_file"),
        ({"detach": "true", "dispatch": "local"}, "detach"),
        ({"reference_period": "1961-"}, "both ends"),
        ({"reference_period": "196102-199012"}, "whole years"),
        ({"time_frequency": "3hr"}, "is none of mon, sem, yr, day"),
        (
            {"time_frequency": "yr", "task": "evaluate", "training_target": "blended", "truth_file": "x.nc"},
            "monthly means are blended",
        ),
        ({"extra_scheduler_options": "--partition=shared;rm -rf ."}, "is no option"),
        ({"model": "HadCRUT5; rm"}, "no facet value"),
        ({"network": "a\nb"}, "control character"),
        ({"network_name": "../up"}, "is no name"),
        ({"seed": "-1"}, "0 to"),
    ],
)
def test_impossible_values(raw: dict[str, Any], word: str) -> None:
    assert any(word in text for text in problems(raw))


def test_plain_values_validate_to_the_same_settings(site: Site) -> None:
    first = validate({"period": "1877:1893", "realisations": "5", "obs_file": "x.nc", "plots": "no"}, site)
    second = validate(first.plain(), site)
    assert first.plain() == second.plain()


@given(st.dictionaries(st.sampled_from(sorted(BY_NAME)), st.text(max_size=30), max_size=6))
def test_hostile_texts_are_refused_or_harmless(raw: dict[str, str]) -> None:
    try:
        settings = validate(raw, Site(SiteFile()))
    except ProblemList:
        return
    for name in raw:
        assert not any(ord(sign) < 32 for sign in str(getattr(settings, name)))


def test_names_and_helps_fit_the_host() -> None:
    for parameter in PARAMETERS:
        assert len(parameter.name) <= 50
        assert len(str(parameter.default)) <= 255
        assert "/home" not in parameter.help
        if parameter.kind == CHOICE:
            assert parameter.default in parameter.choices
        if parameter.kind == BOOL:
            assert isinstance(parameter.default, bool)


def test_site_files_are_merged_first_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text('[defaults]\nmodel = "HadCRUT4"\n')
    second.write_text('[defaults]\nmodel = "CRUTEM4"\nseed_is_no_site_default = 1\n')
    monkeypatch.setattr("climrecon.settings.site.candidates", lambda: [first, second])
    with pytest.raises(ProblemList, match="seed_is_no_site_default"):
        load_site()
    second.write_text('[defaults]\nmodel = "CRUTEM4"\nrealisations = 7\n[dataset]\nmodel = "CRUTEM4"\n')
    site = load_site()
    assert site.default("model") == "HadCRUT4"
    assert site.default("realisations") == 7
    assert site.origin["defaults.model"] == str(first)
    assert site.origin["defaults.realisations"] == str(second)
    assert site.file.dataset == {"model": "CRUTEM4"}
    assert validate({}, site).realisations == 7


def test_relative_paths_of_a_site_file_are_taken_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIMRECON_CONFIG", "site/climrecon.toml")
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "climrecon.toml").write_text(
        '[defaults]\ncatalogue = "archive/catalogue.json"\ncachedir = "~/cache"\nnetwork = "kriging"\n'
        'compare_with = "pca,nets/mine"\nplots = false\n'
    )
    monkeypatch.chdir(tmp_path)
    defaults = load_site().file.defaults
    assert defaults["catalogue"] == str(folder / "archive/catalogue.json")
    assert defaults["cachedir"] == str(Path.home() / "cache")
    assert (defaults["network"], defaults["plots"]) == ("kriging", False)
    assert defaults["compare_with"] == f"pca,{folder / 'nets/mine'}"


def test_site_file_errors_name_the_file_and_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "climrecon.toml"
    monkeypatch.setattr("climrecon.settings.site.candidates", lambda: [file])
    file.write_text('[defalts]\nmodel = "x"\n')
    with pytest.raises(ProblemList, match=r"did you mean \[defaults\]"):
        load_site()
    file.write_text("[defaults\n")
    with pytest.raises(UsageError, match="no valid TOML"):
        load_site()


def test_batch_options_ask_for_no_gpu() -> None:
    assert "gpu" not in Site(SiteFile()).batch_options
    site = Site(SiteFile.model_validate({"slurm": {"partition": "shared", "account": "ab0123"}}))
    assert site.batch_options == "--partition=shared,--cpus-per-task=4,--mem=8G,--time=01:00:00,--account=ab0123"


def test_batch_options_are_the_hosts_unless_the_site_gives_them() -> None:
    def options(task: str, **content: Any) -> str:
        return Site(SiteFile.model_validate(content)).host_batch_options(task)

    assert options("reconstruct") == options("train") == ""
    slurm = {"partition": "shared", "account": "ab0123", "gpu_walltime": "02:00:00", "max_links": 3}
    assert options("reconstruct", slurm=slurm) == "--partition=shared,--account=ab0123"
    assert options("train", slurm=slurm) == "--partition=shared,--time=08:00:00,--account=ab0123"
    assert options("train", slurm={"memory": "8G"}) == "--mem=8G", "the built-in value, but given"
    defaults = {"extra_scheduler_options": "--qos=low"}
    assert options("reconstruct", defaults=defaults, slurm=slurm) == "--qos=low"
