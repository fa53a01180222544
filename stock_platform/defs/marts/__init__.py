"""Warehouse marts built by dbt, and the tables they read that Python writes."""
