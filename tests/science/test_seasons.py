"""Covariances of calendar months, the coarser U-Net, the fit by the ranked probability score."""

import numpy as np
import pytest
import torch

from climrecon.errors import NetworkError
from climrecon.fields import Context, Months
from climrecon.grid import Grid
from climrecon.methods.priors.covariance import great_circle, learn_patterns
from climrecon.methods.priors.data_set_errors import LOCAL_KM, REGIONAL_KM, DataSetErrors, SurfaceErrors, _kernel
from climrecon.methods.priors.full_rank import FullPrior
from climrecon.methods.priors.low_rank import MEAN_PRIOR_SD
from climrecon.methods.unet.build import build_unet, unet_arguments
from climrecon.methods.unet.network import UNet
from climrecon.methods.unet.reconstructor import UNetReconstructor
from climrecon.training.banks import Choices
from climrecon.training.distributed import Workers
from climrecon.training.samples import SamplePool
from climrecon.training.unet_task import UNetModule

GRID = Grid.regular(12, 24)
CELLS = GRID.area.size
DISTANCE = great_circle(GRID)
YEARS, LENGTHS = 60, (1500.0, 5000.0)


def fields(years: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) months, (N,) calendar months: correlations are short from October to March, long else."""
    rng = np.random.default_rng(seed)
    month = np.arange(12 * years) % 12 + 1
    roots = [np.linalg.cholesky(np.exp(-0.5 * (DISTANCE / length) ** 2) + 1e-3 * np.eye(CELLS)) for length in LENGTHS]
    long = (month >= 4) & (month <= 9)
    white = rng.normal(size=(len(month), CELLS))
    drawn = np.where(long[:, None], white @ roots[1].T, white @ roots[0].T)
    return drawn.reshape(-1, *GRID.shape), month


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.as_tensor(np.ascontiguousarray(a), dtype=torch.float32) for a in arrays]


@pytest.fixture(scope="module")
def prior() -> FullPrior:
    learned = learn_patterns(*fields(YEARS, 0), GRID, 120, seasons=True)
    assert learned.seasons is not None
    parts = (learned.vectors[:, :24], learned.vectors[:, 24:], learned.residual, learned.scale, learned.seasons)
    return FullPrior(*tensors(*parts))


def observed(prior: FullPrior, years: int = 3):
    truth, month = fields(years, 7)
    rng = np.random.default_rng(1)
    mask = rng.random(truth.shape) < 0.3
    values = np.where(mask, truth + 0.2 * rng.normal(size=truth.shape), 0.0)
    flat = (len(month), -1)
    arguments = (
        *tensors(values.reshape(flat)), torch.as_tensor(mask.reshape(flat)), torch.full((len(month), CELLS), 0.2),
        torch.as_tensor(month),
    )  # fmt: skip
    return truth.reshape(flat), arguments


@pytest.mark.usefixtures("solved")
def test_a_calendar_month_is_solved_with_its_own_covariance(prior: FullPrior) -> None:
    _, (values, mask, error, month) = observed(prior, 1)
    found = prior.posterior(values, mask, error, month)
    patterns = torch.cat([prior.vectors, prior.trailing.float()], dim=1).double().numpy()
    by_month = prior.coefficients_prior()
    assert by_month is not None
    left = (prior.residual - (prior.trailing.float() ** 2).sum(1)).clamp_min(1e-4).double().numpy()
    for row in range(12):
        cells, scale = np.flatnonzero(mask[row]), prior.scale[row].double().numpy()
        whole = patterns @ by_month[row].double().numpy() @ patterns.T + np.diag(left)
        whole = whole * np.outer(scale, scale) + MEAN_PRIOR_SD**2
        weights = np.linalg.solve(
            whole[np.ix_(cells, cells)] + 0.04 * np.eye(len(cells)), values[row, cells].double().numpy()
        )
        np.testing.assert_allclose(found.mean[row].numpy(), whole[:, cells] @ weights, atol=0.03)


def test_the_seasons_bring_the_mean_nearer_to_the_truth(prior: FullPrior) -> None:
    truth, arguments = observed(prior)
    hidden = ~arguments[1].numpy() & np.isin(arguments[3].numpy(), (5, 6, 7, 8))[:, None]
    whole_year = FullPrior(prior.vectors, prior.trailing.float(), prior.residual, prior.scale)
    whole_year.residual = prior.residual
    rmse = [
        float(np.sqrt(((one.posterior(*arguments).mean.numpy() - truth)[hidden] ** 2).mean()))
        for one in (prior, whole_year)
    ]
    print(rmse)
    assert rmse[0] < 0.95 * rmse[1]


def test_a_calibrated_prior_has_the_leading_patterns_of_the_sum(prior: FullPrior) -> None:
    level = DataSetErrors(SurfaceErrors(0.3, regional=0.5, local=0.3), SurfaceErrors(0.3, regional=0.0, local=0.8))
    land = np.linspace(0.0, 1.0, CELLS)
    local = level.covariance(DISTANCE, prior.scale.numpy(), land, GRID.shape)
    assert local is not None
    spread = np.sqrt((prior.scale.numpy() ** 2).mean(0))
    regional, local_sd = (np.sqrt(0.5) * (1.0 - land), (np.sqrt(0.3) * (1.0 - land) + np.sqrt(0.8) * land) / spread)
    added = np.outer(regional, regional) * _kernel(DISTANCE, REGIONAL_KM)
    added += np.outer(local_sd, local_sd) * _kernel(DISTANCE, LOCAL_KM)
    assert np.linalg.eigvalsh(added)[0] > -1e-8
    np.testing.assert_allclose(local.matrix().numpy(), added, atol=1e-5)
    np.testing.assert_allclose(local.variance.numpy(), np.diag(added), rtol=1e-5)
    assert level.variability("K").endswith(
        "lack: over sea 50 % of their variance over 2,000 km and 0.3 K2 over 1,000 km; over land 0.8 K2 over 1,000 km"
    )
    assert (
        DataSetErrors(SurfaceErrors(0.3), SurfaceErrors(0.2)).variability("K")
        == "no variability that the training fields lack"
    )
    alike = DataSetErrors(SurfaceErrors(0.3, 0.25), SurfaceErrors(0.2, 0.25)).variability("K")
    assert alike.endswith("lack: 25 % of their variance over 2,000 km")
    calibrated = prior.calibrated(local, *tensors(GRID.area.reshape(-1)))
    total = prior.covariance().double().numpy() + added
    np.testing.assert_allclose(calibrated.covariance().numpy(), total, atol=1e-4)
    np.testing.assert_allclose(
        ((calibrated.vectors**2).sum(1) + calibrated.residual).numpy(), np.diag(total), rtol=1e-3
    )
    metric = np.sqrt(GRID.area.reshape(-1) * CELLS)
    best = np.linalg.eigvalsh(total * np.outer(metric, metric))[-24:].sum()
    ours = ((calibrated.vectors.double().numpy() * metric[:, None]) ** 2).sum()
    assert 0.99 * best < ours <= 1.0001 * best
    none = DataSetErrors(SurfaceErrors(0.3), SurfaceErrors(0.3)).covariance(
        DISTANCE, prior.scale.numpy(), land, GRID.shape
    )
    assert none is None


@pytest.fixture
def network(prior: FullPrior) -> UNet:
    torch.manual_seed(0)
    land = torch.rand(GRID.shape)
    net = UNet(prior, land, torch.linspace(-1, 1, 12), *tensors(GRID.area), width=4, stride=2)
    torch.nn.init.normal_(net.head.weight, std=0.1)
    return net.eval()


def test_a_coarser_network_with_seasons_comes_back_from_its_weights(network: UNet, prior: FullPrior) -> None:
    again = build_unet("mine", network.state_dict(), unet_arguments(network))
    _, (values, mask, error, _) = observed(prior, 1)
    index = Months.of(np.full(12, 1900), np.arange(1, 13))
    shape = (12, *GRID.shape)
    fields_ = (values.numpy().reshape(shape), mask.numpy().reshape(shape), error.numpy().reshape(shape))
    first, second = (
        UNetReconstructor("test", one, 0.3, 0.5, DISTANCE).reconstruct(*fields_, index.month, Context(GRID, index))
        for one in (network, again)
    )
    np.testing.assert_array_equal(first.mean, second.mean)
    assert first.mean.shape == shape
    with torch.no_grad():
        correction = network.correct(
            torch.zeros(2, 3, *GRID.shape), torch.zeros(2, 1, *GRID.shape), torch.randn(2, 11, *GRID.shape)
        )
    assert correction.shape == (2, 2, *GRID.shape)
    with pytest.raises(NetworkError, match="do not belong together"):
        build_unet("mine", network.state_dict(), {**unet_arguments(network), "seasons": False})
    with pytest.raises(NetworkError, match="stride"):
        build_unet("mine", network.state_dict(), {**unet_arguments(network), "stride": 3})


def test_the_ranked_probability_score_is_that_of_a_gaussian(network: UNet) -> None:
    """Against the mean of |x - y| - |x - x'| / 2 over draws (Gneiting & Raftery 2007, equation 20)."""
    torch.manual_seed(3)
    torch.nn.init.zeros_(network.head.weight)
    count = 3
    pool = SamplePool(
        network.complete_channels,
        torch.zeros(count, 3, *GRID.shape), torch.zeros(count, 1, *GRID.shape), torch.zeros(count, 11, *GRID.shape),
        torch.zeros(count, CELLS), torch.full((count, CELLS), 0.25), 0.8 * torch.randn(count, CELLS),
        torch.ones(count, CELLS, dtype=torch.bool),
    )  # fmt: skip
    choices = Choices(0, count, (count,), Workers(0, 1, torch.device("cpu")))
    module = UNetModule(network, pool, choices, None, "crps")
    found = module.loss(pool, torch.arange(count)).item()
    draws = 0.5 * np.random.default_rng(0).normal(size=(2, 4000, 1))
    truth = pool.truth.numpy().reshape(-1)[None]
    score = np.abs(draws[0] - truth).mean(0) - 0.5 * np.abs(draws[0] - draws[1]).mean()
    expected = (score.reshape(count, CELLS) * GRID.area.reshape(-1)).sum(1).mean()
    assert found == pytest.approx(expected, rel=0.02)
