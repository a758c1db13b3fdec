"""Captioned images from the JSON files of Karpathy and of COCO."""

import json
from pathlib import Path

from keras_attention.data.captioned_images import (
    CaptionedImage,
    usable_boxes,
    usable_images,
)
from keras_attention.data.image_readers import SkippedFile, existing_folder
from keras_attention.data.picture_files import open_file
from keras_attention.data.readers import check_on_error


def read_karpathy(
    json_path: str | Path,
    image_folder: str | Path,
    split: str = "train",
    restval: bool = False,
    on_error: str = "raise",
    verify: bool = True,
) -> tuple[list[CaptionedImage], list[SkippedFile]]:
    """Reads a split of Karpathy's files, on which most papers report.

    Those are `dataset_flickr8k.json`, `dataset_flickr30k.json` and
    `dataset_coco.json`, which splits the 123,287 images of COCO 2014 for
    training and validation into 82,783 `train`, 5,000 `val`, 5,000 `test` and
    30,504 `restval`. Captions are as people wrote them (`raw`); a tokenizer
    that puts them in lower case is up to the caller.

    Args:
        json_path: The file.
        image_folder: Folder of the pictures; those of COCO lie in folders
            such as `val2014` in it.
        split: "train", "val", "test" or "restval".
        restval: Whether images of `restval` follow those of `train`.
        on_error: `"raise"` stops if there is something that cannot be used,
            `"skip"` leaves it out and reports it.
        verify: Whether each picture is read once, so that one that is cut off
            is found now and not in the middle of training.

    Returns:
        The images in the order of the file, with all their captions, and what
        was left out (nothing with `on_error="raise"`). An image stays as long
        as it has one caption that can be used.

    Raises:
        ValueError: There is no such file, folder or split, or the file is not
            of this form; `restval` is asked for with another split than
            `train`; with `on_error="raise"` also if a picture is not there or
            cannot be read, or a caption is empty. The message names the first
            five and counts the others.

    Examples:
        >>> import json, pathlib, tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (40, 30)).save(folder / "1.jpg")
        >>> image = {"filename": "1.jpg", "split": "train", "imgid": 0}
        >>> image["sentences"] = [{"raw": "A dog runs .", "sentid": 0}]
        >>> _ = (folder / "dataset.json").write_text(
        ...     json.dumps({"images": [image], "dataset": "mine"})
        ... )
        >>> examples, _ = read_karpathy(folder / "dataset.json", folder)
        >>> examples[0].name, examples[0].captions
        ('1.jpg', ('A dog runs .',))

    Reference:
        [Karpathy and Fei-Fei, 2015](https://arxiv.org/abs/1412.2306)
    """
    check_on_error(on_error)
    if restval and split != "train":
        raise ValueError(
            "`restval` may follow `train` only. Received: restval=True, "
            f"split={split!r}."
        )
    folder = existing_folder(image_folder, "image_folder")
    wanted, skipped = ("train", "restval") if restval else (split,), []
    by_split = images_by_split(json_path, skipped)
    missing = [name for name in wanted if name not in by_split]
    if missing and (by_split or not skipped):
        raise ValueError(
            "`split` must be one of the file's. Received: split="
            f"{missing[0]!r} for {json_path}, which has "
            f"{', '.join(map(repr, by_split)) or 'no images'}."
        )
    examples = []
    for name in wanted:
        for index, item in by_split.get(name, ()):
            where = f"images[{index}].sentences"
            texts = []
            for number, sentence in enumerate(item["sentences"]):
                problem = lacking(sentence, raw=str)
                if problem is None:
                    texts.append(sentence["raw"])
                else:
                    reason = f"{where}[{number}] {problem}"
                    skipped.append(SkippedFile(Path(json_path), reason))
            path = folder / item["filepath"] / item["filename"]
            examples.append(
                CaptionedImage(str(path), tuple(texts), name=item["filename"])
            )
    return usable_images(examples, skipped, on_error, verify, json_path)


def images_by_split(path, skipped):
    """Numbers and records of the images of Karpathy's file, by split."""
    (images,) = lists_of(path, "json_path", "images")
    by_split = {}
    for index, item in enumerate(images):
        if isinstance(item, dict):
            item = {"filepath": "", **item}  # that of COCO alone has folders
        problem = lacking(
            item, filename=str, filepath=str, split=str, sentences=list
        )
        if problem is None:
            by_split.setdefault(item["split"], []).append((index, item))
        else:
            reason = f"images[{index}] {problem}"
            skipped.append(SkippedFile(Path(path), reason))
    return by_split


def read_coco_captions(
    json_path: str | Path,
    image_folder: str | Path,
    instances: str | Path | None = None,
    on_error: str = "raise",
    verify: bool = True,
) -> tuple[list[CaptionedImage], list[SkippedFile]]:
    """Reads the captions of COCO, with boxes where they are asked for.

    For `captions_train2014.json`, `captions_val2017.json` and files of their
    form: `images` with `id` and `file_name`, `annotations` with `image_id` and
    `caption`.

    Args:
        json_path: The file of captions.
        image_folder: Folder of its pictures, such as `train2014`.
        instances: A file of the boxes of the same images, such as
            `instances_train2014.json`. Boxes around crowds are among them.
        on_error: `"raise"` stops if there is something that cannot be used,
            `"skip"` leaves it out and reports it.
        verify: Whether each picture is read once, so that one that is cut off
            is found now and not in the middle of training.

    Returns:
        The images in the order of the file, with all their captions, and what
        was left out (nothing with `on_error="raise"`). An image stays as long
        as it has one caption that can be used.

    Raises:
        ValueError: There is no such file or folder, or a file is not of this
            form; with `on_error="raise"` also if a picture is not there or
            cannot be read, a caption is empty, an image has no captions, a
            caption or a box has no image, or a box is not within its image
            (up to rounding, 0.05 pixels, which is cut off). The message names
            the first five and counts the others.

    Examples:
        >>> import json, pathlib, tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (40, 30)).save(folder / "7.jpg")
        >>> images = [{"id": 7, "file_name": "7.jpg"}]
        >>> captions = [{"image_id": 7, "caption": "A dog runs."}]
        >>> _ = (folder / "captions.json").write_text(
        ...     json.dumps({"images": images, "annotations": captions})
        ... )
        >>> examples, _ = read_coco_captions(folder / "captions.json", folder)
        >>> examples[0].name, examples[0].captions
        ('7.jpg', ('A dog runs.',))

    Reference:
        [Chen et al., 2015](https://arxiv.org/abs/1504.00325)
    """
    check_on_error(on_error)
    folder = existing_folder(image_folder, "image_folder")
    images, annotations = lists_of(
        json_path, "json_path", "images", "annotations"
    )
    skipped = []
    by_id = indexed(images, "images", json_path, skipped, file_name=str)
    captions = by_image(annotations, by_id, json_path, skipped, caption=str)
    boxes = {}
    if instances is not None:
        boxes = boxes_by_image(instances, by_id, skipped)
    examples = []
    for key, item in by_id.items():
        path = folder / item["file_name"]
        found = boxes.get(key, ())
        if found and path.is_file():
            found, problems = boxes_within(found, item, path)
            skipped += [SkippedFile(path, problem) for problem in problems]
        texts = tuple(x["caption"] for x in captions.get(key, ()))
        examples.append(
            CaptionedImage(str(path), texts, tuple(found), item["file_name"])
        )
    return usable_images(examples, skipped, on_error, verify, json_path)


def boxes_by_image(path, images, skipped):
    """Boxes with the names of their categories, by the id of the image."""
    records, categories = lists_of(
        path, "instances", "annotations", "categories"
    )
    names = indexed(categories, "categories", path, skipped, name=str)
    records = by_image(
        records, images, path, skipped, bbox=list, category_id=(int, str)
    )
    boxes = {}
    for key, found in records.items():
        for record in found:
            numbers, category = record["bbox"], record["category_id"]
            problem = None
            if [type(x) in (int, float) for x in numbers] != [True] * 4:
                problem = f"must be 4 numbers, not {numbers!r}"
            elif category not in names:
                problem = f"is of category {category!r}, which has no name"
            if problem is None:
                left, top, width, height = numbers
                label = names[category]["name"]
                box = left, top, left + width, top + height, label
                boxes.setdefault(key, []).append(box)
            else:
                reason = f"a box of image {key!r} {problem}"
                skipped.append(SkippedFile(Path(path), reason))
    return boxes


def boxes_within(boxes, item, path):
    """The boxes that are within an image, and what is wrong with others."""
    if lacking(item, width=int, height=int) is None:
        return usable_boxes(boxes, item["width"], item["height"])
    try:
        return usable_boxes(boxes, *open_file(path, lambda image: image.size))
    except ValueError as error:
        reason = f"its boxes need its size, and it cannot be read: {error}"
        return (), [reason]


def lists_of(path, argument, *names):
    """Lists of a JSON object, by their names.

    Args:
        path: The file.
        argument: What the caller calls it.
        names: Names of the lists.
    """
    try:
        data = json.loads(Path(path).read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`{argument}` must be a JSON file. Received: {argument}="
            f"{str(path)!r} ({error})."
        ) from None
    problem = lacking(data, **dict.fromkeys(names, list))
    if problem is not None:
        received = type(data).__name__
        if isinstance(data, dict):
            received = f"one with {', '.join(map(repr, data)) or 'nothing'}"
        raise ValueError(
            f"`{argument}` must be a JSON object with the lists "
            f"{' and '.join(map(repr, names))}. Received: {received} in "
            f"{str(path)!r}."
        )
    return [data[name] for name in names]


def lacking(record, /, **kinds):
    """What a record of a JSON file lacks; None if it has all fields.

    Args:
        record: A dict, if it is one.
        kinds: The type of each field.
    """
    if not isinstance(record, dict):
        return "is no object"
    for name, kind in kinds.items():
        if name not in record:
            return f"has no {name!r}"
        if not isinstance(record[name], kind):
            return f"has {name}={record[name]!r}, of the wrong type"
    return None


def indexed(records, what, path, skipped, /, **kinds):
    """Records by their ids, which must differ."""
    found = {}
    for index, record in enumerate(records):
        problem = lacking(record, id=(int, str), **kinds)
        if problem is None and record["id"] in found:
            problem = f"has the id {record['id']!r} of another"
        if problem is None:
            found[record["id"]] = record
        else:
            reason = f"{what}[{index}] {problem}"
            skipped.append(SkippedFile(Path(path), reason))
    return found


def by_image(records, images, path, skipped, /, **kinds):
    """Records of annotations by the images that they belong to."""
    found = {}
    for index, record in enumerate(records):
        problem = lacking(record, image_id=(int, str), **kinds)
        if problem is None and record["image_id"] not in images:
            problem = f"is of image {record['image_id']!r}, which is not there"
        if problem is None:
            found.setdefault(record["image_id"], []).append(record)
        else:
            reason = f"annotations[{index}] {problem}"
            skipped.append(SkippedFile(Path(path), reason))
    return found
