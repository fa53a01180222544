"""Colours of the charts: Okabe and Ito's (2008), darkened where one would not show on white.

Told apart by people with any colour vision, and each with a contrast of at least 3 on the white and
the dark background (tests/unit/pages/test_palette.py). Meaning is never in the colour alone: what
matters also differs in shape, dash or label.
"""

from __future__ import annotations

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#A8518A"
OCHRE = "#8C6D1F"
GREY = "#6E7781"

SERIES = (BLUE, VERMILLION, GREEN, PURPLE, OCHRE, GREY)
DIVERGING = (VERMILLION, "#C9CDD2", BLUE)
"""Low, middle, high: of correlations and changes."""
BANDS = {"95 %": 0.16, "80 %": 0.32, "50 %": 0.55}
"""Interval -> opacity of its area, the widest drawn first."""
