"""Runs what the page `support.md` says, and writes the page.

    python -m docs.supported              # all backends, one process each
    python -m docs.supported --cases luong

Each layer of `tests/layer_checks.py`, with the options of each of its rows, is
tried in every way of `checks.py`.
"""
