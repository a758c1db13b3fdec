"""The rules of generated scenes, stated apart from the generator."""

HELD_OUT = {
    ("red", "square"),
    ("green", "circle"),
    ("blue", "ring"),
    ("yellow", "cross"),
    ("purple", "diamond"),
    ("orange", "triangle"),
    ("cyan", "square"),
    ("white", "circle"),
}
VOCABULARY = {
    *("a", "and", "is", "of", "left", "right", "above", "below"),
    *("small", "large"),
    *("red", "green", "blue", "yellow", "purple", "orange", "cyan", "white"),
    *("circle", "square", "triangle", "diamond", "cross", "ring"),
}


def combinations(objects):
    return {(thing.colour, thing.shape) for thing in objects}


def has_held_out(objects):
    return bool(combinations(objects) & HELD_OUT)


def check_captions(scenes):
    """Captions and pointers say what the objects are, in reading order."""
    for i, (caption, objects, pointers) in enumerate(
        zip(scenes.captions, scenes.objects, scenes.word_objects, strict=True)
    ):
        cells = [thing.cell for thing in objects]
        assert cells == sorted(set(cells)) and set(cells) <= set(range(16))
        assert len(combinations(objects)) == len(objects)
        words = caption.split(" ")
        assert set(words) <= VOCABULARY and len(words) == len(pointers)
        boxes = scenes.word_boxes(i)
        told = [[] for _ in objects]
        for word, k, box in zip(words, pointers, boxes, strict=True):
            if k < 0:
                assert word in ("a", "and") and box is None
            else:
                told[k].append(word)
                assert box == objects[k].box
        for words, thing in zip(told, objects, strict=True):
            assert words == [thing.size, thing.colour, thing.shape]


def check_pairs(scenes):
    """Scenes of a pair differ in colours only, and have the same ones."""
    for a, b in zip(scenes.objects[::2], scenes.objects[1::2], strict=True):
        assert [x._replace(colour="") for x in a] == [
            x._replace(colour="") for x in b
        ]
        assert sorted(x.colour for x in a) == sorted(x.colour for x in b)
        assert all(x.colour != y.colour for x, y in zip(a, b, strict=True))
        assert not has_held_out(a) and not has_held_out(b)
