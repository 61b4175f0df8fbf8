"""Fitting the network of Kadow et al. (2020): pairs of any month and any mask, the losses, the frozen second half."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from climrecon.data.masks import MaskSource
from climrecon.data.noise import NoiseSource
from climrecon.errors import UsageError
from climrecon.grid import Grid
from climrecon.methods.kadow2020.network import VARIANTS, PublishedUNet
from climrecon.methods.kadow2020.norm import GlobalBatchNorm
from climrecon.methods.kadow2020.reconstructor import PublishedReconstructor
from climrecon.training.banks import VALIDATION, Choices, FieldBank, draw_errors, draw_masks
from climrecon.training.distributed import Workers
from climrecon.training.fields import TrainingFields
from climrecon.training.losses import PublishedLoss, Vgg
from climrecon.training.precision import autocast_type, convolutions_in
from climrecon.training.recipe_settings import PublishedRecipe
from climrecon.training.validation_set import draw_validation_set

#: Validation months that are estimated at once.
CHUNK = 64


def repeats(grid: Grid, recipe: PublishedRecipe) -> int:
    """How often each row is written.

    Raises
    ------
    UsageError
        If the network cannot take the grid.
    """
    rows, columns = grid.shape
    halvings = 2 ** len(recipe.widths)
    if recipe.rows % rows or columns % halvings:
        raise UsageError(
            f"The recipe {recipe.name} works on {recipe.rows} rows, a multiple of the grid's, and on columns that can "
            f"be halved {len(recipe.widths)} times; the fields are on {grid.describe()}.",
            "Prepare the training set on 36 x 72 cells, or give rows and widths that fit.",
        )
    return recipe.rows // rows


def new_network(recipe: PublishedRecipe, start: nn.Module | None) -> PublishedUNet:
    """A fresh network, or one with the weights of ``start``.

    Raises
    ------
    UsageError
        If ``start`` is another kind of network.
    """
    if start is None:
        return PublishedUNet(VARIANTS[recipe.channels], recipe.widths)
    if not isinstance(start, PublishedUNet):
        raise UsageError(
            f"The recipe {recipe.name} starts from a published network or one trained by such a recipe; "
            f"{type(start).__name__} was given.",
            "Choose the recipe of the network to start from, or another network.",
        )
    network = PublishedUNet(start.variant, start.widths)
    network.load_state_dict(start.state_dict())
    return network


class PublishedModule(nn.Module):
    """The loss of a step: draws its samples and applies the network."""

    def __init__(
        self,
        network: PublishedUNet,
        loss: PublishedLoss,
        fields: FieldBank,
        masks: Tensor,
        errors: Tensor | None,
        choices: Choices,
        repeat: int,
        precision: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.fields, self.choices, self.repeat, self.precision = fields, choices, repeat, precision
        self.masks, self.errors = masks, errors
        rows = [masks[i : i + 500] for i in range(0, len(masks), 500)]
        self.codes = torch.cat([network.plan.codes(self._tall(part)) for part in rows])
        self.run = network.run

    def _tall(self, x: Tensor) -> Tensor:
        """(B, H, W) to (B, 1, rows, W) float."""
        return x.float().repeat_interleave(self.repeat, dim=1)[:, None]

    def sample(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Observed values, codes of the pyramid, mask, truth and scored of this process's share of a step."""
        numbers = self.choices.at(step)
        truth, scored = self.fields.take(numbers[0])
        seen = self.masks.index_select(0, numbers[1])
        if scored is not None:
            seen = seen & scored
        observed = truth if self.errors is None else truth + self.errors.index_select(0, numbers[2])
        mask = self._tall(seen)
        x, tall_truth = self._tall(observed) * mask, self._tall(truth)
        if scored is None:
            return x, self.codes.index_select(0, numbers[1]), mask, tall_truth, None
        # Cells that may not be learned from are not shown either, so that these masks are new.
        return x, self.network.plan.codes(mask), mask, tall_truth, self._tall(scored)

    def forward(self, step: int) -> Tensor:
        """The mean loss of this process's share of the samples of ``step``, so weighted that the mean over all processes
        is that of the whole batch.
        """
        x, codes, mask, truth, scored = self.sample(step)
        pyramid = self.network.plan.decode(codes, *mask.shape[-2:])
        with convolutions_in(self.precision, x.device):
            out = self.run(x, pyramid)
        loss: Tensor = self.loss(out.float(), truth, mask, scored) * self.choices.weight
        return loss


class PublishedTask:
    """See :class:`climrecon.training.engine.Task`."""

    def __init__(
        self,
        recipe: PublishedRecipe,
        network: PublishedUNet,
        fields: TrainingFields,
        validation: TrainingFields,
        masks: MaskSource,
        noise: NoiseSource | None,
        seed: int,
        workers: Workers,
    ) -> None:
        repeat = repeats(fields.grid, recipe)
        self.recipe, self.half = recipe, fields.grid.shape[1] // 2
        self.network = network.to(workers.device)
        for parameter in network.parameters():
            # Convolutions of so few channels are faster with channels last.
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        cells = fields.grid.area.size
        drawn = draw_masks(masks, recipe.masks, seed, cells)
        errors = None
        sizes: tuple[int, ...] = (len(fields), recipe.masks)
        if recipe.noise and noise is not None:
            sizes = (*sizes, recipe.masks)
            errors = self._tensor(draw_errors(noise, recipe.masks, seed, cells), fields.grid, workers)
        vgg = None if recipe.vgg is None else Vgg.read(recipe.vgg)
        self.module = PublishedModule(
            self.network,
            PublishedLoss(recipe.losses, vgg).to(workers.device),
            FieldBank(fields, workers, self._turned),
            self._tensor(drawn, fields.grid, workers),
            errors,
            Choices(seed, recipe.batch, sizes, workers),
            repeat,
            autocast_type(recipe, workers.device),
        )
        if recipe.compile:
            # On a GPU with CUDA graphs: the network's kernels are so small that starting them takes longer than they do.
            mode = "reduce-overhead" if workers.device.type == "cuda" else None
            self.module.run = torch.compile(self.network.run, mode=mode)
        self.cases = draw_validation_set(
            validation, masks, noise if recipe.noise else None, recipe.validation_years, seed + VALIDATION
        )
        self.frozen_from = recipe.iterations - int(recipe.frozen_share * recipe.iterations)
        self._frozen: bool | None = None

    def _turned(self, array: NDArray[Any]) -> NDArray[Any]:
        """Longitude from 0, as the published networks have it."""
        return np.roll(array, self.half, axis=-1)

    def _tensor(self, array: NDArray[Any], grid: Grid, workers: Workers) -> Tensor:
        return torch.as_tensor(self._turned(array.reshape(-1, *grid.shape))).to(workers.device)

    def begin(self, step: int) -> None:
        """Freeze the encoder's batch norm statistics when the second part begins."""
        frozen = step >= self.frozen_from
        if frozen != self._frozen or not self.network.training:
            self._frozen = frozen
            self.network.train()
            for layer in self.network.encoder:
                for norm in layer.modules():
                    if isinstance(norm, GlobalBatchNorm):
                        norm.train(not frozen)

    def rate(self, step: int) -> float:
        """The learning rate of the part a step is in."""
        return self.recipe.frozen_rate if step >= self.frozen_from else self.recipe.rate

    def validate(self, network: nn.Module) -> dict[str, float]:
        """RMSE on missing cells, and the annual global mean, of the validation's months."""
        assert isinstance(network, PublishedUNet)
        method = PublishedReconstructor("", network, str(next(network.parameters()).device), self.recipe.rows)
        scores = self.cases.score(self.cases.estimate(method, CHUNK))
        return {"score": scores["rmse"], **scores}

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups, with factors on the learning rate that make equal channels' steps those of one."""
        factors = self.network.rate_factors()
        return [
            {
                "params": [p for n, p in self.network.named_parameters() if factors.get(n, 1.0) == factor],
                "factor": factor,
            }
            for factor in sorted({1.0, *factors.values()})
        ]
