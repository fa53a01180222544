"""Helpers shared by tests: a platform in a home of its own, and its whole state for comparison."""
