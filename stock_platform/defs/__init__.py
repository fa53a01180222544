"""Thin Dagster wiring, one folder per stage; the work itself is in the packages beside this one."""

import warnings

import dagster as dg

# Single-run backfills are "beta" in Dagster 1.13; the version is pinned, so the warning tells a
# user of the platform nothing, once for every asset.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
