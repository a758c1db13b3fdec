"""How good a run's captions are, in numbers and text."""

import dataclasses
import math

import keras

from keras_attention.data.synthetic import score_scene_captions
from keras_attention.metrics import caption_scores, pointing

METRICS = ("bleu_1", "bleu_4", "rouge_l", "cider_d")
TOLERANCES = (0, 1)


def readings(model):
    """The model by what its attention reads while it writes.

    Args:
        model: A captioner.

    Returns:
        Models by name; of hard attention two, its own way of reading first.
    """
    attention = getattr(model, "attention", None)
    own = getattr(attention, "inference", None)
    if own is None:
        return {"expectation": model}
    others = [x for x in ("argmax", "expectation") if x != own]
    return {own: model, **{x: reading(model, x) for x in others}}


def reading(model, inference):
    """The same model, its hard attention reading another way.

    Args:
        model: A captioner with hard attention.
        inference: As of `HardAttention`.
    """
    config = model.get_config()
    attention = config["attention"]
    layer = {**attention["config"], "inference": inference}
    config["attention"] = {**attention, "config": layer}
    other = type(model).from_config(config)
    other.set_weights(model.get_weights())
    return other


def score(recipe, model, tests):
    """Scores of a model: by part, by what is read, by name.

    Args:
        recipe: With `num_beams`, `max_length` and `captions`.
        model: A captioner.
        tests: A `Part` by name.

    Returns:
        The scores, and the captions of each part, read its own way.
    """
    results, written = {name: {} for name in tests}, {}
    for read, same in readings(model).items():
        for name, part in tests.items():
            captions = same.caption(
                part.images,
                num_beams=recipe.num_beams,
                max_length=recipe.max_length,
            )
            written.setdefault(name, captions)
            results[name][read] = score_part(recipe, same, part, captions)
    return results, written


def score_part(recipe, model, part, captions):
    """The scores of captions of one part: a flat dict of numbers."""
    texts = [caption.text for caption in captions]
    found = caption_scores(texts, part.references, METRICS)
    results = {
        "pictures": len(texts),
        **{name: x.score for name, x in found.items()},
    }
    if part.scenes is None:
        return results
    scenes = dataclasses.asdict(score_scene_captions(texts, part.scenes))
    if recipe.captions != "listing":
        # What no reference says is not expected.
        del scenes["exact"], scenes["coverage"], scenes["swap_pairs"]
    # None where there is nothing to tell.
    results |= {
        name: None if x is None or math.isnan(x) else x
        for name, x in scenes.items()
    }
    if recipe.captions == "listing" and recipe.tokenizer == "word":
        results |= pointing_scores(model, part)
    return results


def pointing_scores(model, part):
    """Where a model looks at each word of the right captions."""
    scenes = part.scenes
    aligned = model.align(part.images, scenes.captions)
    scores = [keras.ops.convert_to_numpy(x.scores) for x in aligned]
    # Those of a window sum to less than 1.
    scores = [x / x.sum(axis=(1, 2), keepdims=True) for x in scores]
    boxes = [scenes.word_boxes(i) for i in range(len(scenes))]
    # Boxes of grid scenes count in cells.
    size = scenes.inputs.shape[1:3] if scenes.inputs.ndim == 4 else (4, 4)
    results = {}
    for tolerance in TOLERANCES:
        found = pointing(
            scores, boxes, model.grid_shape, size, tolerance=tolerance
        )
        name = "pointing" if not tolerance else f"pointing_within_{tolerance}"
        results[name] = found.accuracy
        results.setdefault("attention_mass", found.mass)
        results.setdefault("attention_chance", found.chance)
    return results


def report(results):
    """The scores as lines of text: a table for each part."""
    lines = []
    for part, by_reading in results.items():
        names = [x for x in next(iter(by_reading.values())) if x != "pictures"]
        first = next(iter(by_reading.values()))
        lines.append(f"{part}, {first['pictures']} pictures")
        width = max(map(len, names))
        heads = "".join(f"{read:>13}" for read in by_reading)
        lines.append(f"  {'':{width}}{heads}")
        for name in names:
            if all(x[name] is None for x in by_reading.values()):
                continue
            cells = "".join(
                f"{'':>13}" if x[name] is None else f"{x[name]:13.3f}"
                for x in by_reading.values()
            )
            lines.append(f"  {name.replace('_', ' '):{width}}{cells}")
    return "\n".join(lines)


def samples(part, captions, number=10):
    """Some captions beside what was expected.

    Args:
        part: A `Part`.
        captions: Of its pictures.
        number: How many at most.
    """
    lines, stride = [], max(1, len(captions) // number)
    for i in range(0, len(captions), stride)[:number]:
        lines += [
            f"picture    {part.examples[i].name}",
            f"written    {captions[i].text}",
            *(f"reference  {text}" for text in part.references[i]),
            "",
        ]
    return "\n".join(lines)
