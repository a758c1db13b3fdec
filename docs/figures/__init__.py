"""Figures of the pages: each script's `draw()` returns one."""
