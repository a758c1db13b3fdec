"""Tiny files in the forms that sets of captioned images come in."""

import json

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 19, 23
# Captions by picture; white space as it is found in COCO.
TRAIN = {
    "COCO_train2014_000000000007.jpg": [
        "A dog runs .",
        " Two dogs on the grass. ",
        "a brown dog\n",
    ],
    "COCO_train2014_000000000003.jpg": ["A cat sleeps on a chair."],
}
VALIDATION = {
    "COCO_val2014_000000000011.jpg": ["A red bus.", "The bus is red."],
    "COCO_val2014_000000000013.jpg": ["A boat."],
    "COCO_val2014_000000000017.jpg": ["A kite in the sky."],
}
SPLITS = dict(zip(VALIDATION, ("val", "test", "restval"), strict=True))
# As many as in COCO, which tensorflow-datasets insists on.
CATEGORIES = {i: f"thing {i}" for i in range(100, 177)}
CATEGORIES |= {18: "dog", 17: "cat", 6: "bus"}
# Image, corner, size and category; the second reaches the lower right corner.
BOXES = [
    (7, [2.5, 3.0, 10.25, 12.0], 18),
    (7, [11.0, 0.0, 12.0, 19.0], 17),
    (3, [0.0, 0.0, 23.0, 19.0], 17),
    (11, [1.0, 2.0, 3.0, 4.0], 6),
]


def number_of(name):
    return int(name[-16:-4])


def save_picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), "uint8")
    Image.fromarray(pixels).save(path)
    return path


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def coco_image(name):
    return {
        "license": 5,
        "file_name": name,
        "coco_url": f"http://images.cocodataset.org/{name}",
        "height": HEIGHT,
        "width": WIDTH,
        "id": number_of(name),
    }


def write_coco(folder):
    """COCO 2014 as it is unpacked: pictures, captions and boxes."""
    for part, captions in (("train2014", TRAIN), ("val2014", VALIDATION)):
        for name in captions:
            save_picture(folder / part / name, number_of(name))
        images = [coco_image(name) for name in captions]
        # In COCO the captions of an image stand apart from each other.
        annotations = [
            {"image_id": number_of(name), "id": 10 * row + i, "caption": text}
            for i in range(3)
            for row, (name, texts) in enumerate(captions.items())
            for text in texts[i : i + 1]
        ]
        write_json(
            folder / "annotations" / f"captions_{part}.json",
            {"info": {}, "images": images, "annotations": annotations},
        )
        write_json(
            folder / "annotations" / f"instances_{part}.json",
            {
                "info": {},
                "images": images,
                "annotations": [
                    {
                        "segmentation": [],
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                        "image_id": image,
                        "bbox": box,
                        "category_id": category,
                        "id": i,
                    }
                    for i, (image, box, category) in enumerate(BOXES)
                    if image in map(number_of, captions)
                ],
                "categories": [
                    {"supercategory": "thing", "id": i, "name": name}
                    for i, name in CATEGORIES.items()
                ],
            },
        )


def karpathy_image(number, name, captions, split, filepath=None):
    sentences = [
        {
            "tokens": text.lower().strip(" .\n").split(),
            "raw": text,
            "imgid": number,
            "sentid": 10 * number + i,
        }
        for i, text in enumerate(captions)
    ]
    item = {} if filepath is None else {"filepath": filepath}
    return {
        **item,
        "sentids": [x["sentid"] for x in sentences],
        "filename": name,
        "imgid": number,
        "split": split,
        "sentences": sentences,
    }


def write_karpathy(folder):
    """`dataset_coco.json` beside the pictures of `write_coco`."""
    images = []
    for part, captions in (("val2014", VALIDATION), ("train2014", TRAIN)):
        for name, texts in captions.items():
            split = SPLITS.get(name, "train")
            images.append(karpathy_image(len(images), name, texts, split, part))
    return write_json(
        folder / "dataset_coco.json", {"images": images, "dataset": "coco"}
    )


def captions_of(examples):
    return {example.name: example.captions for example in examples}


def reasons(skipped):
    """What was left out, as file and reason."""
    return {(file.path.name, file.reason) for file in skipped}
