from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from climrecon.errors import NetworkError
from climrecon.fields import Context, Months
from climrecon.grid import FIVE_DEGREES, NINO34, weighted_mean
from climrecon.methods.by_chunks import no_skill, reconstruct
from climrecon.methods.card import check_variable
from climrecon.methods.kriging import Covariance, Kriging
from climrecon.methods.store import list_networks, load_network, shipped
from climrecon.preprocess import PrepareRequest, read_observations

NAME = "punet6"
TIME = Months(np.arange(1900 * 12, 1900 * 12 + 3))
CONTEXT = Context(FIVE_DEGREES, TIME)


@pytest.fixture(scope="module")
def month() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mask = rng.random((3, 36, 72)) < 0.3
    return np.where(mask, rng.normal(size=mask.shape), np.nan).astype(np.float32), mask


def months_of(period: str) -> range:
    """Months since 0000-01 of a period like 193001-196210."""
    first, last = (int(end[:4]) * 12 + int(end[4:]) for end in period.split("-"))
    return range(first, last + 1)


def test_the_shipped_network_has_an_honest_card() -> None:
    cards = {card.name: card for card, _ in list_networks()}
    card = cards[NAME]
    months = {use: {month for one in members for period in one["periods"] for month in months_of(period)}
              for use, members in card.training["members"].items()}  # fmt: skip
    assert not months["train"] & months["test"]
    assert not months["train"] & months["validation"]
    assert len(months["test"]) == 240
    assert len(months["train"]) == card.training["months"]
    assert card.scores["n_months"] == 120
    for case, methods in card.scores["cases"].items():
        assert methods[NAME]["rmse"] < methods["kriging"]["rmse"], case
        assert "raw_mean" in methods
    assert card.training["command"].startswith("climrecon train ")
    assert any("gistemp" in text for text in card.caveats)


def test_estimates_are_complete_and_sure_where_observed(month) -> None:
    values, mask = month
    estimate = load_network(NAME).method.reconstruct(values, mask, None, TIME.month, CONTEXT)
    assert np.isfinite(estimate.mean).all()
    assert (estimate.stddev > 0).all()
    assert estimate.stddev[mask].mean() < 0.8 * estimate.stddev[~mask].mean()
    again = load_network(NAME).method.reconstruct(values, mask, None, TIME.month, CONTEXT)
    np.testing.assert_array_equal(estimate.mean, again.mean)


def test_one_kelvin_more_gives_one_kelvin_more(month) -> None:
    values, mask = month
    network = load_network(NAME).method
    means = [network.reconstruct(values + shift, mask, None, TIME.month, CONTEXT).mean for shift in (0.0, 1.0, -1.0)]
    for sign, shifted in ((1, means[1]), (-1, means[2])):
        answer = sign * ((shifted - means[0]) * FIVE_DEGREES.area).sum((1, 2))
        assert (np.abs(answer - 1.0) < 0.03).all()


def test_realisations_agree_with_the_stated_spread(month) -> None:
    values, mask = month
    estimate = load_network(NAME).method.reconstruct(values, mask, None, TIME.month, CONTEXT)
    draws = estimate.sample(400, 7)
    np.testing.assert_array_equal(draws[:5], estimate.sample(400, 7)[:5])
    assert not np.array_equal(draws[0], estimate.sample(400, 8)[0])
    ratio = draws.std(0) / estimate.stddev
    assert 0.93 < np.median(ratio) < 1.07
    weights = FIVE_DEGREES.area
    np.testing.assert_allclose((draws * weights).sum((2, 3)).std(0), estimate.area_mean_sd(weights), rtol=0.12)


def test_a_month_without_observations_has_no_skill() -> None:
    values, mask = np.full((3, 36, 72), np.nan, np.float32), np.zeros((3, 36, 72), bool)
    estimate = load_network(NAME).method.reconstruct(values, mask, None, TIME.month, CONTEXT)
    assert np.isfinite(estimate.mean).all()
    assert no_skill(estimate.stddev, estimate.prior_stddev).all()


def test_stated_errors_are_used(month) -> None:
    values, mask = month
    network = load_network(NAME).method

    def estimate(values: np.ndarray, sd: float):
        return network.reconstruct(
            values.astype(np.float32), mask, np.full(values.shape, sd, np.float32), TIME.month, CONTEXT
        )

    sure, unsure = (estimate(values, sd) for sd in (0.1, 1.5))
    near = [np.abs(e.mean - values)[mask].mean() for e in (sure, unsure)]
    assert near[0] < near[1]
    # Fields as the network has learned them, observed with errors as they are stated.
    prior = network.network.prior  # type: ignore[attr-defined]
    rng = np.random.default_rng(4)
    smooth = (rng.normal(size=(3, 128)) @ prior.vectors.numpy().T).reshape(values.shape) * 0.5
    white = rng.normal(size=values.shape)
    good, bad = (estimate(np.where(mask, smooth + sd * white, np.nan), sd) for sd in (0.1, 1.5))
    assert good.stddev.mean() < 0.8 * bad.stddev.mean()
    # The same fields with errors far beyond what is stated: the spread says that observations do not agree with it.
    wrong = estimate(np.where(mask, smooth + 1.0 * white, np.nan), 0.1)
    assert wrong.stddev.mean() > 1.3 * good.stddev.mean()


@pytest.mark.usefixtures("solved")
def test_chunks_do_not_matter(month) -> None:
    values, mask = month
    observations = _observations(values, mask)
    whole = [e.mean for _, e in reconstruct(load_network(NAME).method, observations, chunk=3)]
    parts = [e.mean for _, e in reconstruct(load_network(NAME).method, observations, chunk=1)]
    # Products of other shapes are rounded otherwise, so that iteration may end a step earlier, which shows where little is
    # known. With the tolerance that ships it is 0.09 K at most, where the standard deviation is above a kelvin.
    np.testing.assert_allclose(np.concatenate(parts), np.concatenate(whole), atol=0.06)
    assert np.abs(np.concatenate(parts) - np.concatenate(whole)).mean() < 0.003


def _observations(values, mask):
    from climrecon.fields import Observations, Source

    source = Source("X", "", ("x.nc",), ("0",), "tas", lat=FIVE_DEGREES.lat, lon=FIVE_DEGREES.lon)
    return Observations("tas", values, mask, None, TIME, FIVE_DEGREES, (1961, 1990), source)


def test_unknown_and_wrong_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="Did you mean punet6"):
        load_network("punet")
    with pytest.raises(NetworkError, match="made for tas; the observations hold tos"):
        check_variable(NAME, load_network(NAME).card.variable, "tos")
    with pytest.raises(NetworkError, match="network=kriging or pca or idw or climatology, which take any variable"):
        check_variable(NAME, load_network(NAME).card.variable, "tos")
    with pytest.raises(
        NetworkError,
        match="Networks: punet-pr, punet-tos, punet6, kadow2020, punet5; baselines and other methods: kriging, oi, pca",
    ):
        load_network("nosuch")
    with pytest.raises(NetworkError, match="Did you mean kriging"):
        load_network("kriginh")
    copy = tmp_path / "mine"
    shutil.copytree(shipped() / NAME, copy)
    assert load_network(str(copy)).sha256 == load_network(NAME).sha256
    assert load_network("mine", store=[tmp_path]).name == NAME
    weights = copy / "network.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    with pytest.raises(NetworkError, match="not those of its card"):
        load_network(str(copy))
    card = json.loads((copy / "card.json").read_text())
    card["surprise"] = 1
    (copy / "card.json").write_text(json.dumps(card))
    with pytest.raises(NetworkError, match="cannot be read"):
        load_network(str(copy))
    # Results have files of the name: it must not climb out of their folder.
    del card["surprise"]
    for name in ("../../x", "/tmp/x", "..", ""):
        (copy / "card.json").write_text(json.dumps({**card, "name": name}))
        with pytest.raises(NetworkError, match="cannot be read: name: String should match pattern"):
            load_network(str(copy))


def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(NetworkError, match="cannot be read"):
        load_network(str(damaged))
    foreign = tmp_path / "foreign.pth"
    torch.save({"layer": torch.zeros(3)}, foreign)
    with pytest.raises(NetworkError, match="published layouts"):
        load_network(str(foreign))


class Evil:
    def __reduce__(self):
        return print, ("code from a checkpoint ran",)


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"model": Evil()}, path)
    with pytest.raises(NetworkError):
        load_network(str(path))
    assert "ran" not in capsys.readouterr().out


@pytest.mark.shared
@pytest.mark.parametrize("name", ["20cr-1000000", "20crtasgn72"])
def test_published_networks_give_the_published_output(shared_data: Path, name: str) -> None:
    import netCDF4

    with netCDF4.Dataset(shared_data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc") as file:
        values = np.ma.filled(file["tas"][:], np.nan)
    mask = np.abs(np.nan_to_num(values, nan=1e9)) < 1e3
    network: Any = load_network(str(shared_data / f"published_models/{name}.pth")).method
    output = network.raw(values, mask)
    want = np.load(shared_data / f"published_models/output_{name}.npz")["output"]
    assert np.abs(output - want).max() < 1e-4


@pytest.mark.shared
def test_the_el_nino_of_1877_is_found_blind(shared_data: Path) -> None:
    file = shared_data / "observations/hadcrut4/tas_hadcrut_187709_189308.nc"
    observations = read_observations([file], PrepareRequest())
    weights = observations.grid.region_weights(NINO34)
    mask = observations.mask & ~(weights > 0)
    assert (observations.mask[0] & ~mask[0]).sum() == 5
    context = Context(observations.grid, observations.time)
    month = observations.time.month
    estimate = load_network(NAME).method.reconstruct(observations.values, mask, None, month, context)
    kriging = Kriging(Covariance(2000.0, 1.0, 0.1)).reconstruct(observations.values, mask, None, month, context)
    ours, theirs = (float(weighted_mean(e.mean, weights)[0]) for e in (estimate, kriging))
    assert ours > 0.9
    assert ours > theirs
