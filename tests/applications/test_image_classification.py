import json
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from applications.image_classification import (
    classify,
    evaluate,
    experiment,
    runs,
    sources,
    train,
    transfer,
)
from applications.image_classification.recipes import (
    RECIPES,
    make_recipe,
)
from applications.vision import curves
from applications.vision import sources as vision_sources
from applications.vision.recipe import AUGMENTATIONS
from keras_attention.data import synthetic
from keras_attention.models import ViT
from tests.applications.commands import refusal, train_and_be_killed

pytestmark = pytest.mark.one_backend

# Small enough for seconds.
TINY = [
    "hidden_dim=24",
    "num_layers=1",
    "num_heads=2",
    "patch_size=8",
    "epochs=1",
]


def run(folder, *arguments, recipe="smoke"):
    train.main(
        ["--recipe", recipe, "--verbose", "0", "--output", str(folder)]
        + [str(argument) for argument in arguments]
    )
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    run(folder)
    return folder


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "segmented"
    changes = (
        "train_examples=800",
        "validation_examples=64",
        "test_examples=64",
    )
    changes += ("num_layers=2", "hidden_dim=32", "num_heads=2", "epochs=4")
    changes += ("learning_rate=6e-3", "decoder=linear", "warmup_steps=10")
    run(folder, "--set", *changes, "batch_size=25", recipe="shapes")
    return folder


@pytest.fixture(scope="module")
def signs(tmp_path_factory):
    """A folder of generated signs, three classes of them."""
    folder = tmp_path_factory.mktemp("data") / "signs"
    pictures, labels = synthetic.glyphs(120, seed=5)
    for index, (picture, label) in enumerate(
        zip(pictures, labels, strict=True)
    ):
        if label < 3:
            path = folder / "abc"[label] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return folder


def test_the_smoke_recipe_learns(smoke):
    metrics = json.loads((smoke / "metrics.json").read_text())
    assert metrics["results"]["accuracy"] > 0.5  # of ten classes
    assert metrics["results"]["top_5_accuracy"] > 0.9
    seconds = [log["cpu_seconds"] for log in metrics["history"]]
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_a_run_folder_holds_what_a_reader_needs(smoke):
    pictures = "answers curves filters heads positions rollout"
    names = {path.name for path in smoke.iterdir()} - {"logs"}
    assert names == {
        "metrics.json",
        "model",
        "recipe.json",
        *(f"{name}.png" for name in pictures.split()),
    }
    model, recipe, about, class_names = runs.read_run(smoke)
    assert recipe == RECIPES["smoke"] and about["seed"] == 0
    assert model.num_classes == len(class_names) == 10
    assert model.image_processor.size == (32, 32)


def test_a_run_is_scored_again_and_at_another_size(smoke, capsys):
    metrics = json.loads((smoke / "metrics.json").read_text())
    accuracy = f"accuracy: {100 * metrics['results']['accuracy']:.2f} %"
    capsys.readouterr()
    evaluate.main([str(smoke)])
    assert accuracy in capsys.readouterr().out.splitlines()
    evaluate.main([str(smoke), "--image-size", "48"])
    again = capsys.readouterr().out
    (line,) = (x for x in again.splitlines() if x.startswith("accuracy: "))
    assert float(line.split()[1]) > 30


def test_pictures_are_classified_and_what_was_read_is_drawn(
    smoke, tmp_path, capsys
):
    pictures, labels = synthetic.glyphs(6, seed=77)
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).resize((50, 40)).save(path)
    drawn, page = tmp_path / "seen.png", tmp_path / "seen.html"
    options = ["--rollout", str(drawn), "--page", str(page)]
    classify.main([str(smoke), *map(str, paths), *options])
    lines = capsys.readouterr().out.splitlines()
    best = [int(line.split(": ")[1].split()[0]) for line in lines]
    assert sum(np.equal(best, labels)) >= 3
    with Image.open(drawn) as image:
        assert image.size[0] > 100
    text = page.read_text("utf-8")
    assert re.findall("<h2>(.*)</h2>", text) == [path.name for path in paths]
    assert text.count("<option>rollout<") == len(paths)
    text = refusal(capsys, classify.main, smoke, tmp_path / "none.png")
    assert "none.png' must be a picture" in text
    text = refusal(capsys, classify.main, smoke, paths[0], "--page", "a.png")
    assert "must end in .html" in text
    text = refusal(capsys, classify.main, smoke, paths[0], "--masks", tmp_path)
    assert "task=classification" in text


def test_a_segmentation_learns_and_writes_masks(segmented, tmp_path, capsys):
    metrics = json.loads((segmented / "metrics.json").read_text())
    results = metrics["results"]
    # The background alone gives 0.2.
    assert results["mean_iou"] > 0.3 and len(results["iou_by_class"]) == 4
    assert (segmented / "masks.png").is_file()
    pictures, masks = synthetic.shapes(1, seed=9)
    path = tmp_path / "shape.png"
    Image.fromarray(pictures[0]).resize((64, 48), 0).save(path)
    classify.main([str(segmented), str(path), "--masks", str(tmp_path / "out")])
    assert "background" in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "shape.png") as image:
        found = np.asarray(image)
    assert found.shape == (48, 64)
    true = np.asarray(Image.fromarray(masks[0]).resize((64, 48), 0))
    assert ((found > 0) == (true > 0)).mean() > 0.8
    text = refusal(
        capsys, classify.main, segmented, path, "--masks", tmp_path / "out"
    )
    assert "shape.png" in text and "is not there yet" in text
    evaluate.main([str(segmented)])
    iou = f"mean iou: {100 * results['mean_iou']:.2f} %"
    assert iou in capsys.readouterr().out


def test_a_folder_of_pictures_is_learned_from_weights(signs, smoke, tmp_path):
    """A linear probe leaves the weights as they were."""
    before = ViT.from_preset(smoke / "model")
    options = ("--data", signs, "--weights", smoke / "model")
    options += ("--recipe", "linear_probe")
    metrics = run(
        tmp_path / "probe", *options, "--set", "epochs=8", "learning_rate=0.02"
    )
    assert metrics["class_names"] == ["a", "b", "c"]
    assert metrics["results"]["accuracy"] > 0.5  # of three
    model, *_ = runs.read_run(tmp_path / "probe")
    layer = "block_1/feed_forward/output"
    for path in ("patch_embedding", layer.partition("/")[0]):
        for one, other in zip(
            before.get_layer(path).weights,
            model.get_layer(path).weights,
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    assert model.num_classes == 3


@pytest.mark.parametrize(
    "changes",
    [
        ["trainable=lora", "lora_rank=2", "layer_decay=None"],
        ["freeze_blocks=1", "layer_decay=0.5", "image_size=(40,24)"],
        ["precision=mixed_bfloat16", "gradient_accumulation=2", "ema=0.9"],
        [f"augmentation={AUGMENTATIONS}", "label_smoothing=0.1"],
    ],
    ids=lambda changes: changes[0].partition("=")[0],
)
def test_the_other_ways_to_train_run_and_are_read_again(
    signs, smoke, tmp_path, changes
):
    options = ("--data", signs, "--weights", smoke / "model")
    options += ("--recipe", "fine_tune", "--set", "epochs=2", *changes)
    metrics = run(tmp_path / "run", *options)
    losses = [log["loss"] for log in metrics["history"]]
    assert len(losses) == 2 and np.isfinite(losses).all()
    model, *_ = runs.read_run(tmp_path / "run")
    size = (40, 24) if "image_size=(40,24)" in changes else (32, 32)
    assert model.image_shape == (*size, 3)


@pytest.mark.parametrize("system", ["bag_of_patches", "keras_hub"])
def test_what_a_vit_is_compared_with_trains_on_the_same(system, tmp_path):
    if system == "keras_hub":
        pytest.importorskip("keras_hub")
    changes = (*TINY, f"system={system}", "train_examples=200")
    metrics = run(tmp_path / "run", "--set", *changes)
    ours = experiment.make_model(make_recipe("smoke", TINY), 10)
    assert metrics["weights"] == pytest.approx(ours.count_params(), rel=0.2)
    assert not (tmp_path / "run" / "model").exists()


def test_a_bag_of_patches_reads_no_patch_beside_another():
    recipe = make_recipe("smoke", [*TINY, "system=bag_of_patches"])
    model = experiment.make_model(recipe, 10)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=x.shape) for x in model.get_weights()])
    one, other = rng.uniform(-1, 1, (2, 1, 32, 32, 3)).astype("float32")
    mixed = np.concatenate([one[:, :16], other[:, 16:]], axis=1)
    remixed = np.concatenate([other[:, :16], one[:, 16:]], axis=1)
    total, swapped = (
        sum(model.predict_on_batch(x) for x in pair)
        for pair in ((one, other), (mixed, remixed))
    )
    np.testing.assert_allclose(total, swapped, atol=1e-4)
    attends = experiment.make_model(make_recipe("smoke", TINY), 10)
    attends.set_weights(
        [rng.normal(size=x.shape) for x in attends.get_weights()]
    )
    total, swapped = (
        sum(attends.predict_on_batch(x) for x in pair)
        for pair in ((one, other), (mixed, remixed))
    )
    assert abs(total - swapped).max() > 1e-2


@pytest.mark.slow  # The code is that of videos, whose run is always killed.
def test_a_killed_run_ends_with_the_metrics_of_one_that_was_not(
    tmp_path, capsys
):
    changes = ("--set", *TINY, "epochs=3", "train_examples=200", "ema=0.9")
    changes += ("num_layers=2",)
    changes += ("stochastic_depth=0.2", "augmentation=('flip', 'mixup')")
    whole = run(tmp_path / "whole", *changes)
    train_and_be_killed(
        "image_classification",
        tmp_path / "killed",
        *("--recipe", "smoke", *changes),
    )
    resumed = run(tmp_path / "killed", *changes, "--resume")
    histories = [
        [(log["loss"], log["val_accuracy"]) for log in x["history"]]
        for x in (whole, resumed)
    ]
    assert histories[0] == histories[1] and len(histories[0]) == 3
    assert resumed["results"] == whole["results"]
    text = refusal(
        capsys,
        train.main,
        *("--recipe", "smoke", "--output", tmp_path / "killed", "--resume"),
    )
    assert "epochs=6 instead of 3" in text


def test_pictures_of_other_sources_are_split(signs, tmp_path):
    recipe = make_recipe("fine_tune", ["validation_share=0.2"])
    splits = sources.read_splits(recipe, signs, seed=0)
    parts = [
        {str(x) for x, _ in part}
        for part in (splits.train, splits.validation, splits.test)
    ]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert splits.class_names == ("a", "b", "c")
    again = sources.read_splits(recipe, signs, seed=0)
    assert again.test == splits.test
    for name in ("train", "test"):
        for letter in "ab":
            path = tmp_path / name / letter / "1.png"
            path.parent.mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (9, 8)).save(path.with_stem(str(number)))
    splits = sources.read_splits(recipe, tmp_path, seed=0)
    assert [path.parts[-3] for path, _ in splits.test] == ["test"] * 6
    assert len(splits.train) + len(splits.validation) == 6
    arrays = {
        "x_train": np.zeros((20, 8, 8), "uint8"),
        "y_train": np.arange(20) % 2,
        "x_test": np.zeros((4, 8, 8), "uint8"),
        "y_test": np.arange(4) % 2,
    }
    np.savez(tmp_path / "arrays.npz", **arrays, class_names=["no", "yes"])
    splits = sources.read_splits(recipe, tmp_path / "arrays.npz", seed=0)
    assert splits.class_names == ("no", "yes")
    assert [len(splits.train), len(splits.validation)] == [16, 4]


def test_sets_without_a_validation_part_are_cut(monkeypatch):
    recipe, asked = make_recipe("fine_tune"), []

    def read(builder, split, masks):
        asked.append(split)
        return [split], ("a", "b")

    monkeypatch.setattr(sources.data, "read_tfds_images", read)
    monkeypatch.setattr(vision_sources, "make_available", lambda *a, **k: None)
    first, second = ["train[:90%]", "train[90%:100%]"], ["train", "validation"]
    for name, there, expected in (
        ("cifar10", "train test", [*first, "test"]),
        ("eurosat", "train", ["train[:80%]", "train[80%:90%]", "train[90%:]"]),
        ("oxford_flowers102", "train validation test", [*second, "test"]),
        ("imagenet2012", "train validation test", [*first, "validation"]),
        ("imagenette", "train validation", [*first, "validation"]),
    ):
        info = types.SimpleNamespace(name=name, splits=there.split())
        builder = types.SimpleNamespace(info=info)
        monkeypatch.setattr(
            vision_sources, "find_builder", lambda _, x=builder: x
        )
        asked.clear()
        sources.read_splits(recipe, f"tfds:{name}", seed=0)
        assert asked == expected


@pytest.fixture(scope="module")
def emoji(tmp_path_factory):
    """Generated pictures under names as those of emoji."""
    folder = tmp_path_factory.mktemp("emoji")
    pictures, labels = synthetic.glyphs(900, seed=3)
    done = ("running", "cooking", "rowing boat", "biking")
    images, lines = [], []
    for label, name in enumerate(done):
        for index, picture in enumerate(pictures[labels == label][:18]):
            person = ("man", "woman", "person")[index % 3]
            images.append(picture)
            lines.append({"en": f"{person} {name}: tone {index // 3}"})
    images.append(pictures[0])
    lines.append({"en": "flag: Wales"})
    np.savez(folder / "images.npz", images=np.stack(images))
    text = "\n".join(map(json.dumps, lines))
    (folder / "captions.jsonl").write_text(text + "\n", encoding="utf-8")
    return folder


def test_transfer_compares_ways_over_labels_and_goes_on(
    emoji, tmp_path, capsys
):
    arguments = ["--emoji", str(emoji), "--output", str(tmp_path / "transfer")]
    changes = ["epochs=2", "patch_size=24", "hidden_dim=24", "num_layers=1"]
    arguments += ["--set", *changes, "--seeds", "0", "--counts"]
    transfer.main([*arguments, "1"])
    first = capsys.readouterr().out
    assert "pretraining" in first and "| fine tune |" in first
    transfer.main([*arguments, "1", "2"])
    second = capsys.readouterr().out
    assert second.count("'count': 1") == 0 and second.count("'count': 2") == 3
    path = tmp_path / "transfer"
    rows = json.loads((path / "metrics.json").read_text())["rows"]
    assert len(rows) == 6 and (path / "transfer.png").is_file()
    pictures = transfer.read_emoji(emoji)
    assert sorted(pictures) == ["biking", "cooking", "rowing boat", "running"]
    (train_pairs, test_pairs), other = transfer.halves(pictures, 1)
    assert len(train_pairs) == 24 and len(test_pairs) == 12
    text = refusal(
        capsys, transfer.main, "--emoji", tmp_path, "--output", tmp_path / "x"
    )
    assert "images.npz" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "epoch=3"], "A recipe's fields are dataset,"),
        (["--set", "system=resnet"], "vit, bag_of_patches, keras_hub"),
        (["--set", "augmentation=('flop',)"], "Received: flop"),
        (["--set", "task=segmentation"], "the others have labels"),
        (["--set", "patch_size=5"], "multiple"),
        (["--set", "preset=vit_x", "image_size=32"], "preset='vit_x'"),
        (["--set", "system=keras_hub", "trainable=head"], "trained in parts"),
        (["--recipe", "scratch"], "Add --data FOLDER"),
        (["--recipe", "fine_tune", "--data", "."], "no --weights. Add"),
        (["--set", "lora_rank=3"], "have a rank. Received: lora_rank=3"),
        (["--set", "image_size=(32,48)"], "are square"),
        (["--set", "image_size=(32,)"], "or (height, width)"),
        (["--set", "shift=0.2"], "Nothing is shifted. Received: shift=0.2"),
        (["--set", "mixing_share=0.5"], "Add --set mixing_share=1.0"),
        (
            ["--set", "mixing_share=1.5", "augmentation=('mixup',)"],
            "from 0 to 1. Received: mixing_share=1.5",
        ),
        (["--set", "ema=2.0"], "less than 1. Received: ema=2.0"),
        (["--skip-bad-files"], "left out of a folder"),
        (
            ["--set", "system=keras_hub", "stochastic_depth=0.1"],
            "Add --set stochastic_depth=0.0",
        ),
        (["--data", "nowhere"], "or leave it out"),
        (["--recipe", "scratch", "--data", "nowhere"], "where there is none"),
        (["--weights", "nowhere"], "Add --set num_layers=None"),
        (["--set", "budget_clock=wall"], "budget_minutes=None. Add"),
        (["--threads", "1"], "before Keras is imported"),
    ],
)
def test_train_refuses_bad_arguments_in_a_sentence(
    tmp_path, capsys, arguments, message
):
    output = tmp_path / "run"
    arguments = ["--recipe", "smoke", "--output", output, *arguments]
    assert message in refusal(capsys, train.main, *arguments)
    assert not output.exists()


def test_train_refuses_bad_pictures_before_it_trains(signs, tmp_path, capsys):
    folder = tmp_path / "signs"
    for path in signs.rglob("*.png"):
        copy = folder / path.relative_to(signs)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    bad = sorted(folder.rglob("*.png"))[4]
    bad.write_bytes(bad.read_bytes()[:99])
    options = ["--recipe", "scratch", "--data", folder]
    options += ["--output", tmp_path / "run"]
    options += ["--set", *TINY, "image_size=32", "batch_size=8"]
    text = refusal(capsys, train.main, *options)
    assert str(bad) in text and "on_error" in text
    run(
        tmp_path / "skips",
        *options,
        "--skip-bad-files",
        "--output",
        tmp_path / "skips",
    )
    assert f"left out: {bad}" in capsys.readouterr().out
    for name, content in (("a", b"no archive"), ("b", b""), ("c", b"PK\3\4")):
        options[3] = tmp_path / f"{name}.npz"
        options[3].write_bytes(content)
        assert "x_train" in refusal(capsys, train.main, *options)
    arrays = {"x_train": np.zeros((20, 8, 8)), "y_train": np.arange(20) % 2}
    arrays |= {"x_test": np.zeros((4, 8, 8)), "y_test": np.arange(4) % 2}
    options[3] = tmp_path / "floats.npz"
    np.savez(options[3], **arrays)
    assert "unsigned bytes" in refusal(capsys, train.main, *options)


def test_commands_import_no_backend_before_they_limit_threads():
    names = "train, evaluate, classify, transfer"
    code = f"from applications.image_classification import {names}; import sys;"
    code += " from applications.vision import curves;"
    code += " assert not {'keras', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_runs_are_shown_beside_each_other(smoke, segmented, tmp_path, capsys):
    figure = tmp_path / "curves.png"
    again = tmp_path / smoke.name
    shutil.copytree(smoke, again)
    curves.main([str(smoke), str(again), "--figure", str(figure)])
    printed = capsys.readouterr().out
    assert printed.count("\n") == 4 and "± " in printed
    assert figure.is_file()
    text = refusal(capsys, curves.main, smoke, segmented)
    assert "of one task" in text
    curves.main([str(segmented)])
    assert "mIoU" in capsys.readouterr().out
    text = refusal(capsys, curves.main, tmp_path)
    assert "Train it, or name another folder" in text
