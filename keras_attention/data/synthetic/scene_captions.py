"""Reads captions of generated scenes, and tells whether they are true."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keras_attention.data.synthetic.scenes import (
    COLOURS,
    RELATIONS,
    SHAPES,
    SIZES,
    Scenes,
    relate,
)

_PHRASE = "a ({}) ({}) ({})".format(*map("|".join, (SIZES, COLOURS, SHAPES)))
_LISTING = re.compile(f"{_PHRASE}( and {_PHRASE})*")
_RELATION = re.compile(
    f"{_PHRASE} is (?P<relation>{'|'.join(RELATIONS)}) {_PHRASE}"
)


class SceneStatement(NamedTuple):
    """What a caption says.

    Args:
        objects: Colour, shape and size of each object that is named, in the
            order of the caption; as often as it is named.
        relation: `"left of"`, `"right of"`, `"above"` or `"below"`: where the
            first object is, seen from the second. None if the caption lists
            objects without relating them.

    Examples:
        >>> from keras_attention.data import synthetic
        >>> synthetic.read_scene_caption("a small red ring").relation is None
        True
    """

    objects: tuple[tuple[str, str, str], ...]
    relation: str | None


@dataclass(frozen=True)
class SceneScore:
    """How many captions of scenes are right, in several senses.

    A wrong caption may still name some objects rightly, and a true one may
    leave some out.

    Args:
        exact: Share of captions equal to the scene's own, which lists all
            objects in reading order.
        parsed: Share that keeps to the grammar. The others state nothing:
            they are not true and cover no object.
        truth: Share of captions of which all holds: the objects are there,
            with this size, colour and shape, none is named twice, and the
            relation holds.
        precision: Share of stated objects that are there. An object that is
            named again is not there again. NaN if none is stated.
        coverage: Share of objects of the scenes that are stated.
        swap_pairs: Share of pairs with two exact captions. None unless the
            scenes are of the split `"swap"`.

    Examples:
        >>> from keras_attention.data import synthetic
        >>> pairs = synthetic.grid_scenes(10, split="swap")
        >>> captions = [pairs.captions[i // 2 * 2] for i in range(10)]
        >>> score = synthetic.score_scene_captions(captions, pairs)
        >>> score.exact, score.swap_pairs
        (0.5, 0.0)
    """

    exact: float
    parsed: float
    truth: float
    precision: float
    coverage: float
    swap_pairs: float | None


def read_scene_caption(text: str) -> SceneStatement | None:
    """Reads what a caption of a generated scene says.

    Captions are such as "a small red circle and a large blue ring", with one
    object or more, or "a small red circle is left of a large blue ring".

    Args:
        text: The caption. How much space is between words does not matter.

    Returns:
        The objects and the relation, or None if it is no such caption.

    Examples:
        >>> from keras_attention.data import synthetic
        >>> synthetic.read_scene_caption(
        ...     "a small red circle is above a large blue ring"
        ... )
        SceneStatement(objects=(('red', 'circle', 'small'),
                                ('blue', 'ring', 'large')), relation='above')
        >>> print(synthetic.read_scene_caption("a red circle"))
        None
    """
    text = " ".join(text.split())
    relation = _RELATION.fullmatch(text)
    if not relation and not _LISTING.fullmatch(text):
        return None
    objects = [
        (colour, shape, size)
        for size, colour, shape in re.findall(_PHRASE, text)
    ]
    return SceneStatement(
        tuple(objects), relation["relation"] if relation else None
    )


def score_scene_captions(captions: Sequence[str], scenes: Scenes) -> SceneScore:
    """Tells how many captions are exact, how many are true, and how complete.

    Args:
        captions: One for each scene, of either kind that `read_scene_caption`
            reads. Those that it cannot read count as wrong. Of two cells of
            `grid_scenes` that are as far apart along both axes, one is left
            and one right of the other.
        scenes: The scenes.

    Returns:
        The shares.

    Raises:
        ValueError: If there is not one caption per scene, or none at all.

    Examples:
        >>> from keras_attention.data import synthetic
        >>> scenes = synthetic.grid_scenes(4, seed=1)
        >>> told = [caption.split(" and ")[0] for caption in scenes.captions]
        >>> score = synthetic.score_scene_captions(told, scenes)
        >>> score.exact, score.truth, score.precision, score.coverage
        (0.0, 1.0, 1.0, 0.3333333333333333)
    """
    _check_captions(captions, scenes)
    exact = [
        caption.split() == listing.split()
        for caption, listing in zip(captions, scenes.captions, strict=True)
    ]
    statements = [read_scene_caption(caption) for caption in captions]
    num_true = num_stated = num_found = 0
    for statement, objects in zip(statements, scenes.objects, strict=True):
        if statement is None:
            continue
        found = _num_found(statement, objects)
        num_true += found == len(statement.objects) and _relation_holds(
            statement, objects
        )
        num_stated += len(statement.objects)
        num_found += found
    count = len(captions)
    pairs = zip(exact[::2], exact[1::2], strict=False)
    return SceneScore(
        exact=sum(exact) / count,
        parsed=1 - statements.count(None) / count,
        truth=num_true / count,
        precision=num_found / num_stated if num_stated else float("nan"),
        coverage=num_found / sum(map(len, scenes.objects)),
        swap_pairs=sum(a and b for a, b in pairs) / (count / 2)
        if scenes.split == "swap"
        else None,
    )


def _check_captions(captions, scenes):
    if isinstance(captions, str):
        raise ValueError(
            "`captions` must be a list of strings. Received: a string. Put it "
            "in a list: `[text]`."
        )
    if not len(captions) or len(captions) != len(scenes):
        raise ValueError(
            "There must be one caption per scene, and at least one. Received: "
            f"{len(captions)} captions, {len(scenes)} scenes. Take as many "
            "scenes as were captioned: `scenes[:n]`."
        )


def _num_found(statement, objects):
    """How many objects of a statement are there, each counted once."""
    present = Counter(thing[:3] for thing in objects)
    return (Counter(statement.objects) & present).total()


def _relation_holds(statement, objects):
    """Whether a relation of two different objects that are there holds."""
    if statement.relation is None:
        return True
    by_look = {thing[:3]: thing for thing in objects}
    first, second = (by_look[look] for look in statement.objects)
    return relate(first, second) == statement.relation
