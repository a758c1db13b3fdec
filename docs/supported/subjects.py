"""What is tried: the rows of the tables of layers and of models.

Each row is a `Subject`, which makes its model and says what it is asked.
"""

from typing import Any

import keras
import numpy as np

from keras_attention import models, visualization
from keras_attention.layers.attention import Attention
from keras_attention.models.captioner import Captioner
from keras_attention.models.translator import Translator, pad
from tests import layer_checks, model_checks

SENTENCES = ["a b c d", "e", "j i h"]
TRANSLATIONS = ["k l m", "q", "n o"]
CAPTIONS = ["a red ring", "a blue cross is left of it"]


class Subject:
    """A row of a table.

    Args:
        name: Of the row.

    Attributes:
        inputs: What its model takes: an array, or a dict of them.
        loss: What its model is trained with.
        documented: Its class, within the package.
        group: What it stands with on the page.
    """

    inputs: Any
    loss: Any
    documented: str
    group: str

    def __init__(self, name):
        self.name = name

    def model(self, dtype=None):
        """A new model with one output, whose weights are always the same."""
        raise NotImplementedError

    def answer(self, model):
        """The model's output, as float32 NumPy."""
        return layer_checks.numpy(model(self.inputs))

    def targets(self, expected):
        """What a model that answers this is to learn."""
        raise NotImplementedError

    def uses(self, model) -> dict:
        """What else the model is for, by name: arrays, or lists of strings."""
        return {}

    def hidden(self) -> list:
        """Answers before and after what is masked is something else."""
        return []

    def scores(self) -> list:
        """Attention scores, their last axis that of what is read."""
        return []

    def figure(self) -> Any:
        """A picture of what its model reads, or None."""
        return None

    def search(self, model) -> Any:
        """Ids, and how good what is found for them is; None without search."""
        return None


class Layer(Subject):
    """A row of `tests/layer_checks.py`."""

    loss = "mse"

    def __init__(self, name):
        super().__init__(name)
        self.case = layer_checks.CASES[name]
        self.inputs = self.case.inputs()
        if self.case.of_pairs:  # the same for each example: it comes but once
            self.inputs = {k: x[:1] for k, x in self.inputs.items()}
        layer, _ = layer_checks.fresh(name)
        self.documented = f"layers.{type(layer).__name__}"
        self.group = "What stands beside attention"
        if self.case.has_scores:
            attends = isinstance(layer, Attention)
            self.group = "Attention" if attends else "What holds attention"

    def model(self, dtype=None):
        layer, case = layer_checks.fresh(self.name, dtype=dtype)
        model = layer_checks.functional(layer, case)
        return keras.Model(model.input, layer_checks.main(model.output))

    def targets(self, expected):
        return 0 * expected

    def hidden(self):
        layer, case = layer_checks.fresh(self.name)
        pairs = []
        for argument, tensor in case.masks.items():
            if argument == "query_mask":  # of who reads, not of what is read
                continue
            mask = layer_checks.mask_of(case, argument, [3, 4])
            inputs, masks = case.inputs(), {argument: mask}
            before = layer_checks.run(layer, case, inputs, **masks)
            inputs[tensor][~mask] = 1e3
            after = layer_checks.run(layer, case, inputs, **masks)
            if before.shape[:2] == mask.shape and argument == "padding_mask":
                before, after = before[mask], after[mask]
            pairs.append((before, after))
        return pairs

    def scores(self):
        layer, case = layer_checks.fresh(self.name)
        if not case.has_scores:
            return []
        asked = layer(**case.inputs(), return_attention_scores=True)
        np.testing.assert_allclose(
            layer_checks.numpy(layer_checks.main(asked)),
            layer_checks.run(layer, case),
            atol=1e-5,
        )
        scores = asked["scores"] if isinstance(asked, dict) else asked[-1]
        return keras.tree.flatten(layer_checks.numpy(scores))


class Model(Subject):
    """A row of `tests/model_checks.py`."""

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def __init__(self, name):
        super().__init__(name)
        self.kind = model_checks.CASES[name].kind
        self.documented = f"models.{self.kind.__name__}"

    def model(self, dtype=None):
        return model_checks.make(self.name, dtype)

    def targets(self, expected):
        rng = np.random.default_rng(5)
        return rng.integers(0, expected.shape[-1], expected.shape[:-1])


class Translating(Model):
    """A translator, by strings."""

    group = "Translation"
    inputs = {
        "encoder_token_ids": np.array([[4, 5, 6, 7], [8, 0, 0, 0]], "int32"),
        "decoder_token_ids": np.array([[2, 4, 5], [2, 6, 7]], "int32"),
    }

    def uses(self, model):
        found = model.translate(SENTENCES, num_beams=2, max_length=6)
        return {
            "texts": [x.text for x in found],
            "scores": np.array([x.hypothesis_score for x in found]),
        }

    def hidden(self):
        """More padding behind the source, and other words behind words."""
        model = self.model()
        ids, words = self.inputs.values()
        before = self.answer(model)
        longer = dict(
            self.inputs, encoder_token_ids=np.pad(ids, [(0, 0), (0, 3)])
        )
        later = dict(self.inputs, decoder_token_ids=words + [0, 0, 1])
        padded, changed = (
            layer_checks.numpy(model(x)) for x in (longer, later)
        )
        return [(before, padded), (before[:, :2], changed[:, :2])]

    def scores(self):
        model = self.model()
        if not model.attends:
            return []
        return [x.scores for x in model.align(SENTENCES, TRANSLATIONS)]

    def figure(self):
        model = self.model()
        if not model.attends:
            return None
        found = model.align(SENTENCES, TRANSLATIONS)
        return visualization.plot_alignments(
            [(x.scores, x.source_tokens, x.target_tokens) for x in found]
        )

    def search(self, model):
        rows = model.source_tokenizer.tokenize(SENTENCES)
        found = model.translate(SENTENCES, num_beams=2)
        scores = np.array([x.hypothesis_score for x in found])
        return pad(rows, len(rows), model.pad_token_id), scores


class Captioning(Model):
    """A captioner, by features or pictures."""

    group = "Captioning"

    @property
    def inputs(self):
        case, rng = model_checks.CASES[self.name], np.random.default_rng(2)
        shape = case.sizes.get("feature_shape")
        name = "images" if shape is None else "features"
        shape = shape or case.parts["backbone"]().image_shape
        return {
            name: rng.normal(size=(2, *shape)).astype("float32"),
            "decoder_token_ids": np.array([[2, 4, 5], [2, 6, 7]], "int32"),
        }

    @property
    def pictures(self):
        return next(iter(self.inputs.values()))

    def uses(self, model):
        found = model.caption(self.pictures, num_beams=2, max_length=6)
        return {
            "texts": [x.text for x in found],
            "scores": np.array([x.hypothesis_score for x in found]),
        }

    def hidden(self):
        """Other words behind words."""
        model, inputs = self.model(), self.inputs
        before = self.answer(model)
        inputs["decoder_token_ids"] = inputs["decoder_token_ids"] + [0, 0, 1]
        after = layer_checks.numpy(model(inputs))
        return [(before[:, :2], after[:, :2])]

    def scores(self):
        found = self.model().align(self.pictures, CAPTIONS)
        return [x.scores.reshape(len(x.scores), -1) for x in found]

    def figure(self):
        found = self.model().align(self.pictures, CAPTIONS)[0]
        picture = np.zeros((24, 36, 3), "uint8")
        return visualization.plot_caption(
            picture, found.tokens, found.scores, found.samples, found.gates
        )


class Looking(Model):
    """A model of pictures or clips."""

    group = "Images and video"

    @property
    def inputs(self):
        shape = self.model().input.shape[1:]
        rng = np.random.default_rng(2)
        return rng.uniform(-1, 1, (2, *shape)).astype("float32")

    def uses(self, model):
        if not isinstance(model, models.ViTSegmenter):
            return {}
        rng = np.random.default_rng(2)
        pictures = rng.integers(0, 256, (2, 9, 17, 3)).astype("uint8")
        return {"classes": np.stack(model.segment(pictures))}

    def scores(self):
        model = attentive(self.model())
        if model is None:
            return []
        found = layer_checks.numpy(model.attention()(self.inputs))
        return list(found.values())

    def figure(self):
        model = attentive(self.model())
        if model is None:
            return None
        if isinstance(model, models.ViViT):
            visualization.plot_token_attention(model, self.inputs, (1, 0, 2))
            return visualization.plot_video_rollout(model, self.inputs)
        visualization.plot_heads(model, self.inputs)
        return visualization.plot_rollout(model, self.inputs)


def attentive(model):
    """The model with the attention: a segmenter's is its encoder's."""
    model = getattr(model, "encoder", model)
    return model if hasattr(model, "attention") else None


KINDS = {Translator: Translating, Captioner: Captioning, object: Looking}


def subjects() -> dict:
    """What makes the subject of each row, by kind of table and name."""

    def made(kind):
        return next(KINDS[x] for x in KINDS if issubclass(kind, x))

    cases = model_checks.CASES.items()
    return {
        "layers": dict.fromkeys(layer_checks.CASES, Layer),
        "models": {name: made(case.kind) for name, case in cases},
    }
