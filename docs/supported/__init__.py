"""Runs what the page `support.md` says, and writes the page.

    python -m docs.supported                    # all backends, a process each
    python -m docs.supported --backend jax      # this one anew
    python -m docs.supported --cases LuongNMT   # these rows anew

Each layer of `tests/layer_checks.py` and each model of `tests/model_checks.py`,
with the options of each of its rows, is tried in every way of `checks.py`.
What the runs said lies in `build/support/`, which the page is written from.
"""
