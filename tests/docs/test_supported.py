"""The support page says what was run, and what failed."""

from docs.supported import checks as supported
from docs.supported import page


def test_a_cell_names_the_backends_and_numbers_the_reasons():
    reasons = {}
    done, empty = [supported.DONE], ["", "takes no mask"]
    failed = [supported.FAILED, "ValueError: no"]
    assert page.cell([done] * 3, reasons) == "✓"
    assert page.cell([empty] * 3, reasons) == "– (1)"
    assert page.cell([done, failed, empty], reasons) == "TF (2, 1)"
    assert reasons == {"takes no mask": 1, "fails on JAX: ValueError: no": 2}


def test_a_check_that_fails_is_told_from_one_that_does_not_apply(
    monkeypatch, capsys
):
    def fails(name):
        raise ValueError(f"no {name}\nmore")

    checks = {"a": lambda name: None, "b": lambda name: "why", "c": fails}
    monkeypatch.setattr(supported, "CHECKS", checks)
    assert [supported.attempt(x, "luong dot") for x in "abc"] == [
        ["done"],
        ["", "why"],
        ["failed", "ValueError: no luong dot"],
    ]
    assert "Traceback" in capsys.readouterr().err


def test_the_page_has_a_row_per_case_and_its_reasons():
    outcome = {x: ["done"] for x in supported.CHECKS}
    outcome |= {"mask": ["", "takes no mask"], "layer": "FeedForward"}
    results = {backend: {"plain": outcome} for backend in page.BACKENDS}
    text = page.page_of(results)
    assert "\n| plain | {py:obj}`~keras_attention.layers.FeedForward` |" in text
    assert "\n1. takes no mask\n" in text


def test_a_layer_without_projections_has_nothing_to_quantize_or_adapt():
    for check in ("int8", "LoRA"):
        (_, reason) = supported.attempt(check, "stochastic depth")
        assert reason == supported.NO_PROJECTION
        assert supported.attempt(check, "luong general") == ["done"]
