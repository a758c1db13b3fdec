import contextlib
import io
import json

import pytest

from keras_attention.data import (
    CaptionedImage,
    read_coco_captions,
    read_karpathy,
)
from keras_attention.data.captioned_images import usable_boxes
from tests.data.caption_files import (
    BOXES,
    TRAIN,
    VALIDATION,
    captions_of,
    karpathy_image,
    number_of,
    reasons,
    save_picture,
    write_coco,
    write_json,
    write_karpathy,
)


@pytest.fixture
def coco(tmp_path):
    write_coco(tmp_path)
    write_karpathy(tmp_path)
    return tmp_path


def stripped(captions):
    return {
        name: tuple(text.strip() for text in texts)
        for name, texts in captions.items()
    }


def changed(path, change):
    """Rewrites a JSON file after a change."""
    value = json.loads(path.read_text())
    change(value)
    return write_json(path, value)


def test_karpathys_splits_have_all_references_in_order(coco):
    path = coco / "dataset_coco.json"
    examples, skipped = read_karpathy(path, coco)
    assert skipped == [] and captions_of(examples) == stripped(TRAIN)
    assert [type(x) for x in examples] == [CaptionedImage] * 2
    for example in examples:
        assert example.image == str(coco / "train2014" / example.name)
        assert example.boxes == ()
    for name, split in zip(VALIDATION, ("val", "test", "restval"), strict=True):
        (example,), _ = read_karpathy(path, coco, split)
        assert example.name == name
        assert example.image == str(coco / "val2014" / name)
    with_rest, _ = read_karpathy(path, coco, restval=True)
    assert with_rest[:2] == examples
    assert [x.name for x in with_rest[2:]] == list(VALIDATION)[2:]


def test_flickrs_file_of_karpathy_names_no_folders(tmp_path):
    save_picture(tmp_path / "1.jpg")
    image = karpathy_image(0, "1.jpg", ["a dog"], "val")
    path = write_json(tmp_path / "dataset.json", {"images": [image]})
    (example,), _ = read_karpathy(path, tmp_path, "val")
    assert example.image == str(tmp_path / "1.jpg")
    assert example.captions == ("a dog",)


def test_karpathys_splits_are_named_where_one_is_wrong(coco):
    path = coco / "dataset_coco.json"
    with pytest.raises(
        ValueError, match="split='dev'.* has 'val', 'test', 're"
    ):
        read_karpathy(path, coco, "dev")
    with pytest.raises(ValueError, match="restval=True, split='val'"):
        read_karpathy(path, coco, "val", restval=True)
    with pytest.raises(ValueError, match='must be "raise" or "skip"'):
        read_karpathy(path, coco, on_error="ignore")
    write_json(path, {"images": []})
    with pytest.raises(ValueError, match="has no images"):
        read_karpathy(path, coco)


def test_what_karpathys_file_lacks_is_named_and_skipped_on_request(coco):
    def change(value):
        images = value["images"]
        del images[0]["split"]
        images[3]["sentences"][1]["raw"] = "  "
        images[3]["sentences"][2] = {"tokens": ["a"]}
        images[4]["sentences"] = []
        images.append("no image")

    path = changed(coco / "dataset_coco.json", change)
    with pytest.raises(
        ValueError, match=r"images\[0\] has no .split.; .*5\] is no"
    ):
        read_karpathy(path, coco)
    (example,), skipped = read_karpathy(path, coco, on_error="skip")
    assert example.captions == ("A dog runs .",)
    assert reasons(skipped) == {
        ("dataset_coco.json", "images[0] has no 'split'"),
        ("dataset_coco.json", "images[5] is no object"),
        ("dataset_coco.json", "images[3].sentences[2] has no 'raw'"),
        (example.name, "caption 2 is empty"),
        (list(TRAIN)[1], "it has no captions"),
    }


def test_missing_pictures_are_all_counted_and_the_first_named(tmp_path):
    names = [f"{i}.jpg" for i in range(9)]
    save_picture(tmp_path / names[4])
    path = write_json(
        tmp_path / "dataset.json",
        {
            "images": [
                karpathy_image(i, name, ["a dog"], "train")
                for i, name in enumerate(names)
            ]
        },
    )
    message = r"0\.jpg: there is no such file; .*5\.jpg: .*; and 3 more prob"
    with pytest.raises(ValueError, match=message):
        read_karpathy(path, tmp_path)
    examples, skipped = read_karpathy(path, tmp_path, on_error="skip")
    assert [example.name for example in examples] == ["4.jpg"]
    missing = [tmp_path / name for name in names if name != "4.jpg"]
    assert [file.path for file in skipped] == missing
    (tmp_path / "4.jpg").unlink()
    with pytest.raises(ValueError, match="must have an image.*and 4 more prob"):
        read_karpathy(path, tmp_path, on_error="skip")


def test_a_picture_that_is_cut_off_is_found_unless_not_looked_for(coco):
    bad = coco / "train2014" / list(TRAIN)[0]
    bad.write_bytes(bad.read_bytes()[:-300])
    path = coco / "dataset_coco.json"
    with pytest.raises(ValueError, match=f"{bad.name}: .*truncated"):
        read_karpathy(path, coco)
    examples, skipped = read_karpathy(path, coco, on_error="skip")
    assert [file.path for file in skipped] == [bad]
    assert [x.name for x in examples] == list(TRAIN)[1:]
    assert len(read_karpathy(path, coco, verify=False)[0]) == 2


@pytest.mark.parametrize("part", ["train2014", "val2014"])
def test_coco_is_read_as_its_own_tools_read_it(coco, part):
    tools = pytest.importorskip("pycocotools.coco")
    paths = [
        coco / "annotations" / f"{kind}_{part}.json"
        for kind in ("captions", "instances")
    ]
    examples, skipped = read_coco_captions(paths[0], coco / part, paths[1])
    assert skipped == []
    with contextlib.redirect_stdout(io.StringIO()):
        captions, instances = map(tools.COCO, paths)
    assert [x.name for x in examples] == [
        captions.imgs[i]["file_name"] for i in captions.imgs
    ]
    for example in examples:
        number = number_of(example.name)
        assert example.captions == tuple(
            x["caption"].strip() for x in captions.imgToAnns[number]
        )
        boxes = [
            (x, y, x + width, y + height)
            for x, y, width, height in (
                found["bbox"] for found in instances.imgToAnns[number]
            )
        ]
        assert [box[:4] for box in example.boxes] == boxes
        assert [box[4] for box in example.boxes] == [
            instances.cats[found["category_id"]]["name"]
            for found in instances.imgToAnns[number]
        ]


def test_coco_without_boxes_has_none(coco):
    path = coco / "annotations" / "captions_train2014.json"
    examples, _ = read_coco_captions(path, coco / "train2014")
    assert captions_of(examples) == stripped(TRAIN)
    assert {example.boxes for example in examples} == {()}


def test_captions_without_images_and_images_without_captions_are_told(coco):
    def change(value):
        value["annotations"][0]["image_id"] = 99
        value["annotations"][1]["caption"] = None
        value["images"].append({**value["images"][0], "file_name": "b.jpg"})

    path = coco / "annotations" / "captions_train2014.json"
    folder = coco / "train2014"
    changed(path, change)
    with pytest.raises(ValueError, match=r"is of image 99, which is not there"):
        read_coco_captions(path, folder)
    (example,), skipped = read_coco_captions(path, folder, on_error="skip")
    assert example.captions == ("Two dogs on the grass.", "a brown dog")
    assert reasons(skipped) == {
        (path.name, "annotations[0] is of image 99, which is not there"),
        (path.name, "annotations[1] has caption=None, of the wrong type"),
        (path.name, "images[2] has the id 7 of another"),
        (list(TRAIN)[1], "it has no captions"),
    }


def test_boxes_that_are_none_or_outside_are_told_and_left_out(coco):
    def change(value):
        boxes = value["annotations"]
        boxes[0]["bbox"][2] = 21.0  # to 23.5 of 23
        boxes[1]["bbox"] = [1, 2, 3]
        boxes[2]["category_id"] = 5
        for extra in ([0, -1, 2, 3], [0, 0, -1, 2], [float("nan"), 0, 1, 1]):
            boxes.append({**boxes[0], "bbox": extra})
        boxes.append({**boxes[0], "image_id": 11})
        boxes.append({**boxes[0], "bbox": [20.99, 0, 2.02, 19]})

    annotations = coco / "annotations"
    path = changed(annotations / "instances_train2014.json", change)
    arguments = annotations / "captions_train2014.json", coco / "train2014"
    with pytest.raises(ValueError, match="boxes within it"):
        read_coco_captions(*arguments, path)
    examples, skipped = read_coco_captions(*arguments, path, on_error="skip")
    assert captions_of(examples) == stripped(TRAIN)
    # Beyond the border by rounding, and cut there.
    assert [x.boxes for x in examples] == [
        ((20.99, 0.0, 23.0, 19.0, "dog"),),
        (),
    ]
    outside = "is not within the image of 23 x 19 pixels"
    name = list(TRAIN)[0]
    assert reasons(skipped) == {
        (name, f"the box (2.5, 3, 23.5, 15) of 'dog' {outside}"),
        (name, f"the box (0, -1, 2, 2) of 'dog' {outside}"),
        (name, f"the box (0, 0, -1, 2) of 'dog' {outside}"),
        (name, f"the box (nan, 0, nan, 1) of 'dog' {outside}"),
        (path.name, "a box of image 7 must be 4 numbers, not [1, 2, 3]"),
        (path.name, "a box of image 3 is of category 5, which has no name"),
        (path.name, "annotations[6] is of image 11, which is not there"),
    }


def test_sizes_that_the_file_lacks_are_those_of_the_pictures(coco):
    def change(value):
        for image in value["images"]:
            del image["width"]

    path = changed(coco / "annotations" / "captions_train2014.json", change)
    instances = coco / "annotations" / "instances_train2014.json"
    arguments = path, coco / "train2014", instances
    examples, _ = read_coco_captions(*arguments)
    assert sum(len(x.boxes) for x in examples) == 3
    bad = coco / "train2014" / list(TRAIN)[1]
    bad.write_bytes(b"no picture")
    examples, skipped = read_coco_captions(
        *arguments, on_error="skip", verify=False
    )
    assert [len(x.boxes) for x in examples] == [2, 0]
    assert [file.path for file in skipped] == [bad]
    assert "its boxes need its size" in skipped[0].reason


def test_a_box_may_fill_its_image_and_be_empty():
    whole, point = (0, 0, 23, 19, "dog"), (4, 5, 4, 5, "dog")
    assert usable_boxes([whole, point], 23, 19) == ((whole, point), [])
    assert len(BOXES) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"`json_path` must be a JSON file.*\.json' \(Expecting"),
        ("[]", "the lists 'images' and 'annotations'. Received: list"),
        ('{"images": []}', "Received: one with 'images'"),
        ('{"images": {}, "annotations": []}', "must be a JSON object"),
        ('{"images": [], "annotations": []}', "must have an image .*: none"),
    ],
)
def test_json_of_another_form_is_refused(tmp_path, text, message):
    path = tmp_path / "captions.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_coco_captions(path, tmp_path)


def test_files_and_folders_that_are_not_there_are_refused(coco):
    path = coco / "dataset_coco.json"
    with pytest.raises(
        ValueError, match="`image_folder` must be a folder.* no"
    ):
        read_karpathy(path, coco / "nowhere")
    with pytest.raises(ValueError, match="json_path='.*nothing.json'.*No such"):
        read_karpathy(coco / "nothing.json", coco)
    with pytest.raises(ValueError, match="`instances` must be a JSON file"):
        read_coco_captions(
            coco / "annotations" / "captions_train2014.json",
            coco / "train2014",
            coco / "nothing.json",
        )
