"""The wide model: every instrument of a panel at once, week by week, from its bars alone.

A panel of bars goes in (bars.py), features at the weekly origins come out (features.py and the
files it names), a linear model of the coming week's volatility is fitted on them (scale.py),
calibrated on its own past errors (calibration.py), and the instruments are ranked (ranking.py,
quintiles.py). backtest.py walks through it all. Nothing here knows a warehouse.
"""
