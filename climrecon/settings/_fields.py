"""Made from climrecon/parameters.py by 'python -m climrecon.generated'; do not edit."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from climrecon.settings import kinds as k


class Fields(BaseModel):
    """One field for each parameter."""

    variable: k.Facet
    project: k.Facet
    product: k.Facet | None
    institute: k.Facet | None
    model: k.Facet | None
    experiment: k.Facet | None
    ensemble: k.Facet | None
    time_frequency: k.Facet
    obs_file: k.File | None
    obs_variable: k.Text | None
    allow_infilled: k.Bool
    grid: k.Text | None
    native_grid: k.Bool
    domain: Annotated[Literal["auto", "everywhere", "sea", "land"], k.LOWER_CASE]
    period: k.Period | None
    network: k.Text
    auxiliary_files: k.Text | None
    compare_with: k.Text
    compare_series: k.Bool
    realisations: Annotated[k.Int, Field(ge=0, le=1000)]
    obs_members: Annotated[k.Int, Field(ge=0, le=1000)]
    keep_observed: k.Bool
    reference_period: k.Period
    values: Annotated[Literal["auto", "anomaly", "absolute"], k.LOWER_CASE]
    catalogue: k.Text | None
    plots: k.Bool
    plot_month: k.Month | None
    explain_months: k.MonthList | None
    region: k.Text | None
    animation: k.Bool
    interactive_map: k.Bool
    vector_figures: k.Bool
    report: k.Bool
    add_to_databrowser: k.Bool
    dryrun: k.Bool
    outputdir: k.File | None
    cachedir: k.File | None
    device: Annotated[Literal["auto", "cpu", "cuda"], k.LOWER_CASE]
    seed: Annotated[k.Int, Field(ge=0, le=2147483647)]
    dispatch: Annotated[Literal["auto", "local", "slurm"], k.LOWER_CASE]
    detach: k.Bool
    task: Annotated[Literal["reconstruct", "train", "evaluate", "explain", "compare", "benchmark"], k.LOWER_CASE]
    month: k.Month | None
    truth_file: k.File | None
    withhold: Annotated[Literal["none", "cells", "blocks", "regions", "spans"], k.LOWER_CASE]
    folds: Annotated[k.Int, Field(ge=2, le=100)]
    noise: k.Bool
    training_data: k.Text
    training_target: Annotated[Literal["auto", "blended", "tas"], k.LOWER_CASE]
    recipe: k.Text
    auxiliary: k.Text | None
    forced_patterns: k.File | None
    network_name: k.Text | None
    masks: k.Text | None
    iterations: Annotated[k.Int, Field(ge=1, le=100000000)] | None
    max_hours: Annotated[k.Float, Field(ge=0.001, le=10000)] | None
    products: k.Text | None
    products_folder: k.File | None
    trend_periods: k.Periods
    methods: k.Text
    submissions: k.Text | None
    benchmark: k.File | None
    gaps: k.Text | None
    key: k.File | None
    leaderboard: k.File | None
    extra_scheduler_options: k.Text | None
