"""The support page says what was run, and what failed."""

import keras
import numpy as np

from docs.supported import checks as supported
from docs.supported import page
from docs.supported.subjects import Layer, Subject, subjects
from keras_attention import models
from tests import model_checks


def outcome(**changes):
    """What was found of a row where all was done but the changes."""
    row = {x: ["done"] for x in supported.CHECKS} | changes
    return {"class": "layers.FeedForward", "group": "Parts", **row}


def results(*rows):
    """What all backends found of these rows."""
    named = {f"row {i}": row for i, row in enumerate(rows)}
    found = {"layers": named, "models": named}
    return dict.fromkeys(page.BACKENDS, found)


def test_a_cell_names_the_backends_and_numbers_the_reasons():
    reasons = {}
    done, empty = [supported.DONE], ["", "takes no mask"]
    failed = [supported.FAILED, "ValueError: no"]
    assert page.cell([done] * 3, reasons) == "✓"
    assert page.cell([empty] * 3, reasons) == "– {sup}`1`"
    assert page.cell([done, failed, empty], reasons) == "TF {sup}`2, 1`"
    assert reasons == {"takes no mask": 1, "fails on JAX: ValueError: no": 2}


def test_a_check_that_fails_is_told_from_one_that_does_not_apply(
    monkeypatch, capsys
):
    def fails(subject):
        raise ValueError(f"no {subject.name}\nmore")

    def fails_elsewhere(subject):
        try:
            raise ValueError("No Op registered for Erfc with domain_version")
        except ValueError as error:
            raise TypeError("something") from error

    checks = {
        "a": lambda subject: None,
        "b": lambda subject: "why",
        "c": fails,
        "d": fails_elsewhere,
    }
    monkeypatch.setattr(supported, "CHECKS", checks)
    assert [supported.attempt(x, Subject("it")) for x in "abcd"] == [
        ["done"],
        ["", "why"],
        ["failed", "ValueError: no it"],
        ["", supported.KNOWN["No Op registered for Erfc"]],
    ]
    assert capsys.readouterr().err.count("Traceback") == 1


def test_the_page_has_a_row_per_case_and_its_reasons():
    found = results(outcome(mask=["", "takes no mask"]))
    text = page.page_of(found, ["keras 3"])
    assert "Run with keras 3." in text
    link = "{py:obj}`row 0 <keras_attention.layers.FeedForward>`"
    cells = " | ".join(["✓"] * 3 + ["– {sup}`1`"])
    assert text.count(f"\n| {link} | {cells} | ✓ |") == 2  # in each table
    assert "\n1. takes no mask\n" in text
    assert text.count("\n### Parts\n") == 2


def test_the_page_sums_up_where_all_models_run():
    found = results(
        outcome(XLA=["", "no"]),
        outcome(save=["", "no"], XLA=["", "no"]),
        outcome(save=["", "no"], XLA=["", "no"]),
    )
    found["jax"] = {
        **found["jax"],
        "models": {**found["jax"]["models"], "row 0": outcome(int8=["", "no"])},
    }
    everywhere, others, partly = page.summary(found)
    assert everywhere.startswith("- on TF, JAX, torch: float32, mixed")
    assert "int8" not in everywhere and "save" in everywhere
    assert others == "- on TF, torch: int8"
    assert partly == "- on JAX: XLA"


def test_every_model_has_a_row():
    public = {getattr(models, name) for name in models.__all__}
    public = {x for x in public if isinstance(x, type)}
    public = {x for x in public if issubclass(x, keras.Model)}
    assert {x.kind for x in model_checks.CASES.values()} == public
    variants = {
        case.sizes["variant"]
        for case in model_checks.CASES.values()
        if case.kind is models.ViViT
    }
    assert variants == {*models.vivit.VARIANTS}


def test_a_layer_without_projections_has_nothing_to_quantize_or_adapt():
    without, general = Layer("stochastic depth"), Layer("luong general")
    for check, why in (
        ("int8", supported.NO_PROJECTION),
        ("LoRA", supported.NO_LORA),
    ):
        assert supported.attempt(check, without) == ["", why]
        assert supported.attempt(check, general) == ["done"]


def test_models_are_run():
    made = subjects()["models"]
    for name, check in (
        ("ConvEncoder", "float32"),
        ("ViT, average", "scores"),
        ("TransformerCaptioner", "mask"),
    ):
        assert supported.attempt(check, made[name](name)) == ["done"]
    convolutions = made["ConvEncoder"]("ConvEncoder")
    for check in ("mask", "scores", "maps", "int8", "search"):
        assert supported.attempt(check, convolutions)[0] == ""


def test_what_leaks_or_is_forgotten_fails(capsys):
    class Leaking(Layer):
        def hidden(self):
            return [
                (before, after + 1e-3) for before, after in super().hidden()
            ]

        def scores(self):
            return [2 * x for x in super().scores()]

        def answer(self, model):
            return super().answer(model) + np.random.normal()

    leaking = Leaking("luong general")
    for check in ("mask", "scores", "save", "int8"):
        assert supported.attempt(check, leaking)[0] == "failed", check
    assert "Traceback" in capsys.readouterr().err
