"""Altair charts from frames that are ready to draw; nothing here asks or computes."""
