"""Models of the week ahead: features read, candidates, evaluation, registry, ledgers, forecasts."""
