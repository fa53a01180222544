"""Checks of the accuracy marts."""
