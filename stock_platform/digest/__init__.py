"""The weekly digest: forecasts, what changed, accuracy and data incidents, in one file."""
