"""Superset as code: the YAML of `docker/superset/assets` read, checked, compiled and applied.

Superset runs in an environment of its own (`.venv-superset`) and is never imported here.
"""
