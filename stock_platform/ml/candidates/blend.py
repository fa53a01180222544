"""The geometric mean of other candidates' scales: their errors differ, so the mean's are smaller
(Bates, Granger 1969). Equal weights, for learned ones have not paid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from types import MappingProxyType

import numpy as np
from typing_extensions import override

from stock_platform.ml.candidates.base import Params, ScaleModel
from stock_platform.ml.candidates.boosting import Boosting
from stock_platform.ml.candidates.har import Har
from stock_platform.ml.candidates.random_walk import from_daily
from stock_platform.ml.features import Arrays, Floats, Panel

MEMBERS: Sequence[ScaleModel] = (Har(), Boosting())


class Blend(ScaleModel):
    """Scale from the mean log scale of `har` and `boosting`."""

    name = "blend"
    params: Params = MappingProxyType(
        {f"{model.name}_{key}": value for model in MEMBERS for key, value in model.params.items()}
    )

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        arrays: Arrays = {}
        for member in MEMBERS:
            own = panel.once(member, as_of)
            arrays |= {f"{member.name}_{key}": value for key, value in own.items()}
        return arrays

    @override
    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        logs = []
        for member in MEMBERS:
            start = f"{member.name}_"
            own = {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}
            logs.append(np.log(member.location_scale(own, rows)[1][:, 0]))
        return from_daily(np.exp(np.mean(logs, axis=0)))
