"""Superset's datasets and dashboards as assets."""
