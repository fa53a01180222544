"""The weekly model: candidates, walk-forward, promotion."""
