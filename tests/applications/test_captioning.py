import dataclasses
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from applications.captioning import (
    caption,
    compare,
    data_arguments,
    encoders,
    evaluate,
    experiment,
    runs,
    scoring,
    self_critical,
    sources,
    train,
)
from applications.captioning.recipes import RECIPES, check_recipe, make_recipe
from applications.common import folders
from keras_attention import data
from keras_attention.data import synthetic
from tests.applications.commands import refusal, train_and_be_killed

pytestmark = pytest.mark.one_backend

# Three epochs of a few steps, of which the first is soft.
SHORT = [
    "train_examples=80",
    "validation_examples=16",
    "test_examples=8",
    "hidden_dim=8",
    "attention=hard",
    "semi_sampling=0.5",
    "soft_share=0.34",
    "steps=12",
    "steps_per_epoch=4",
    "batch_size=8",
    "captions_every=None",
]


def run(folder, *arguments, recipe="smoke"):
    train.main(
        ["--recipe", recipe, "--verbose", "0", "--output", str(folder)]
        + [str(argument) for argument in arguments]
    )
    return read_metrics(folder)


def read_metrics(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    run(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A file of captions beside its pictures."""
    folder = tmp_path_factory.mktemp("data")
    scenes = synthetic.shape_scenes(24, seed=4, size=32)
    lines = []
    for i, (pixels, texts) in enumerate(
        zip(scenes.inputs, scenes.references, strict=True)
    ):
        Image.fromarray(pixels).save(folder / f"{i}.png")
        lines += [f"{i}.png\t{text}\n" for text in texts]
    (folder / "captions.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


# A network of keras.applications, its features kept on the disk.
NAMED = (
    *("encoder=VGG16:block2_pool", "train_encoder=False", "image_size=32"),
    *("hidden_dim=8", "steps=8", "steps_per_epoch=4", "captions_every=None"),
    *("batch_size=4", "num_buckets=1", "dropout=0.0"),
)


@pytest.fixture(scope="module")
def named(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("runs") / "named"
    run(
        folder,
        *("--tsv", pictures / "captions.tsv"),
        *("--features", folder.parent / "features"),
        *("--set", *NAMED),
        recipe="named_small",
    )
    return folder


def test_the_smoke_recipe_learns_to_caption(smoke):
    metrics = read_metrics(smoke)
    losses = [log["val_loss"] for log in metrics["history"]]
    assert losses[-1] < losses[0] / 4
    assert metrics["history"][-1]["val_cider_d"] > 7  # of 10
    results = metrics["results"]
    assert set(results) == {"iid", "combinations", "swap"}
    iid = results["iid"]["expectation"]
    # Of thousands of captions, chance would hardly find one.
    assert iid["exact"] > 0.5 and iid["bleu_4"] > 0.8
    assert iid["pointing"] > 0.8 > 5 * iid["attention_chance"]
    # What reads the mean alone is never right about both of a pair.
    assert results["swap"]["expectation"]["swap_pairs"] > 0.4


def test_a_run_folder_holds_what_a_reader_needs(smoke):
    names = {path.name for path in smoke.iterdir()} - {"logs"}
    assert names == {
        *(f"caption_{i}.png" for i in range(3)),
        "captions.html",
        "captions.txt",
        "curves.png",
        "metrics.json",
        "model",
        "recipe.json",
    }
    text = (smoke / "captions.txt").read_text(encoding="utf-8")
    assert text.count("written ") == text.count("reference ") == 10
    page = (smoke / "captions.html").read_text(encoding="utf-8")
    assert page.count("<figure ") == 24
    model, recipe, about = experiment.read_run(smoke)
    assert recipe == RECIPES["smoke"] and about["seed"] == 0
    assert model.grid_shape == (4, 4)


def test_evaluate_repeats_the_scores_of_the_run(smoke, capsys):
    capsys.readouterr()
    evaluate.main([str(smoke)])
    printed = capsys.readouterr().out
    assert printed.endswith(
        scoring.report(read_metrics(smoke)["results"]) + "\n"
    )


def same_logs(one, other):
    """Whether two histories tell the same, but for what it took."""
    names = [set(log) - {"seconds", "cpu_seconds"} for log in one]
    return len(one) == len(other) and all(
        a[name] == pytest.approx(b[name], rel=1e-4)
        for a, b, found in zip(one, other, names, strict=True)
        for name in found
    )


@pytest.mark.slow  # the callback is that of translation, tested always
@pytest.mark.filterwarnings("ignore:Attention is nearly the same")
def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path, monkeypatch):
    arguments = ("--recipe", "smoke", "--verbose", "0", "--set", *SHORT)
    train_and_be_killed("captioning", tmp_path / "killed", *arguments)
    ends = []

    def finish(folder, recipe, about, splits, model, history, cost):
        ends.append((history, model.get_weights()))

    monkeypatch.setattr(train, "finish", finish)
    for name, more in (("killed", ["--resume"]), ("whole", [])):
        train.main([*more, "--output", str(tmp_path / name), *arguments])
    (resumed, weights), (whole, others) = ends
    assert len(whole) == 3 and same_logs(whole, resumed)
    assert {"attention_change", "reward", "val_loss"} <= set(whole[0])
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_run_is_trained_on_by_its_rewards(smoke, tmp_path, monkeypatch):
    arguments = [str(smoke), "--verbose", "0", "--rounds", "3"]
    arguments += ["--images", "4", "--num-samples", "2", "--output"]
    batches, drawn = data.SelfCriticalBatches, []

    def stop(*args, **options):
        drawn.append(options["seed"])
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return batches(*args, **options)

    monkeypatch.setattr(data, "SelfCriticalBatches", stop)
    with pytest.raises(KeyboardInterrupt):
        self_critical.main([*arguments, str(tmp_path / "stopped")])
    self_critical.main([*arguments, str(tmp_path / "stopped"), "--resume"])
    assert drawn[2] == drawn[3] and len(set(drawn)) == 3
    metrics = read_metrics(tmp_path / "stopped")
    histories = []
    monkeypatch.setattr(
        self_critical, "finish", lambda *args: histories.append(args[5])
    )
    self_critical.main([*arguments, str(tmp_path / "whole")])
    assert same_logs(histories[0], metrics["history"])
    assert set(metrics["results"]) == {"iid", "combinations", "swap"}
    assert all(0 < log["greedy_reward"] <= 10 for log in metrics["history"])
    # It has learned from where the run ended.
    _, _, about = experiment.read_run(tmp_path / "stopped")
    assert about["self_critical"]["rounds"] == 3
    label = compare.label_of(about, RECIPES["smoke"])
    assert label == "smoke + 3 rounds of CIDEr-D"


def test_training_on_needs_more_pictures_than_a_round_takes(
    smoke, tmp_path, capsys
):
    arguments = [smoke, "--output", tmp_path / "run"]
    text = refusal(capsys, self_critical.main, *arguments, "--images", "3000")
    assert "--images 3000, of 2000" in text
    text = refusal(
        capsys, self_critical.main, *arguments, "--learning-rate", "0"
    )
    assert "must be positive" in text
    assert not (tmp_path / "run").exists()


def test_features_that_are_kept_and_pictures_give_the_same_captions(
    named, pictures, capsys
):
    metrics = read_metrics(named)
    assert metrics["results"]["test"]["expectation"]["pictures"] == 2
    features = named.parent / "features"
    assert np.load(features / "train" / "features.npy").shape == (20, 8, 8, 128)
    # The model of the run folder sees pictures.
    model, *_ = experiment.read_run(named)
    assert model.source_name == "images" and not model.feature_shape
    evaluate.main([str(named)])
    assert scoring.report(metrics["results"]) in capsys.readouterr().out
    evaluate.main([str(named), "--tsv", str(pictures / "captions.tsv")])
    assert "named, 24 pictures" in capsys.readouterr().out


def test_files_are_captioned_and_shown(named, pictures, tmp_path, capsys):
    paths = [str(pictures / f"{i}.png") for i in range(2)]
    page, overlay = tmp_path / "page.html", tmp_path / "words.png"
    caption.main(
        [str(named), *paths, "--page", str(page), "--overlay", str(overlay)]
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == paths
    model, *_ = experiment.read_run(named)
    texts = model.generate(paths, max_length=30)
    assert [line.partition(": ")[2] for line in lines] == texts
    assert page.read_text(encoding="utf-8").count("<figure ") == 2
    assert overlay.read_bytes().startswith(b"\x89PNG")


def test_an_encoder_scales_pictures_as_its_weights_expect():
    encoder = encoders.application_encoder("VGG16", "block1_conv1", 32, None)
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
    network = keras.applications.VGG16(include_top=False, weights=None)
    first = network.get_layer("block1_conv1")
    first.set_weights(encoder.get_layer("block1_conv1").get_weights())
    network = keras.Model(network.input, first.output)
    # Caffe's: blue, green and red, less their means.
    scaled = images[..., ::-1] - [103.939, 116.779, 123.68]
    np.testing.assert_allclose(
        encoder.predict_on_batch(images),
        network.predict_on_batch(scaled),
        rtol=1e-4,
        atol=1e-3,
    )


def test_hard_attention_is_scored_in_both_ways_of_reading():
    recipe = make_recipe("smoke", [*SHORT, "inference=expectation"])
    part = sources.part_of(recipe, 4, seed=0)
    tokenizer = experiment.make_tokenizer(recipe, part.examples)
    model = experiment.make_model(recipe, tokenizer, (4, 4, 32))
    found = scoring.readings(model)
    assert list(found) == ["expectation", "argmax"]
    assert found["expectation"] is model
    soft, hard = (
        x.align(part.images, part.scenes.captions) for x in found.values()
    )
    for one, other in zip(soft, hard, strict=True):
        assert (one.samples == -1).all()
        flat = other.scores.reshape(len(other.scores), -1)
        np.testing.assert_array_equal(other.samples, flat.argmax(-1))
    # The first step has read nothing yet, and is the same.
    np.testing.assert_allclose(soft[0].scores[0], hard[0].scores[0], rtol=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_goes_together(name):
    recipe = RECIPES[name]
    check_recipe(recipe)
    assert experiment.system_of(recipe.preset)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("shapes_channel_spatial", ["image_size=32", "attention_dim=8"]),
        pytest.param(
            "shapes_transformer", ["image_size=32"], marks=pytest.mark.slow
        ),
        pytest.param(
            "shapes_window",
            ["image_size=32", "attention_dim=8"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_other_captioners_are_trained_scored_and_read_back(
    tmp_path, name, changes
):
    few = ["train_examples=16", "validation_examples=4", "test_examples=4"]
    few += ["batch_size=8", "steps=4", "steps_per_epoch=2", "hidden_dim=8"]
    few += ["max_length=8", "num_buckets=1"]
    metrics = run(tmp_path / "run", *("--set", *few, *changes), recipe=name)
    assert set(metrics["results"]) == {"iid", "combinations", "count", "swap"}
    for by_reading in metrics["results"].values():
        assert list(by_reading) == ["expectation"]
        assert 0 <= by_reading["expectation"]["pointing"] <= 1
    model, recipe, _ = experiment.read_run(tmp_path / "run")
    assert type(model) is experiment.system_of(recipe.preset)


@pytest.mark.slow
def test_taps_are_found_in_networks_of_keras_applications():
    recipe = dataclasses.replace(
        RECIPES["named_channel_spatial"],
        encoder="VGG16:block5_conv3",
        encoder_weights=None,
        taps="block5_conv2,block5_conv3",
        image_size=32,
    )
    tokenizer = data.WordTokenizer.train(["a red ring"])
    model = experiment.make_model(recipe, tokenizer)
    assert model.grid_shape == (2, 2)
    assert len(model.decoder.rnn.attention.tap_layers) == 2


def test_the_mean_cannot_tell_swapped_scenes_apart():
    recipe = make_recipe("grid_mean", ["hidden_dim=8"])
    part = sources.part_of(recipe, 8, seed=0, split="swap")
    tokenizer = experiment.make_tokenizer(recipe, part.examples)
    model = experiment.make_model(recipe, tokenizer, (4, 4, 32))
    texts = part.scenes.captions
    read = model.align(part.images, [texts[i // 2 * 2] for i in range(8)])
    for caption_ in read:
        np.testing.assert_allclose(caption_.scores, 1 / 16, rtol=1e-5)
    logits = [
        model.predict_on_batch(
            {
                "features": np.stack(part.images[start::2]),
                "decoder_token_ids": np.ones((4, 3), "int32"),
            }
        )
        for start in (0, 1)
    ]
    np.testing.assert_allclose(*logits, atol=1e-5)
    assert part.scenes.captions[0] != part.scenes.captions[1]


def test_pictures_are_split_once(pictures):
    options = train.make_parser().parse_args(
        ["--tsv", str(pictures / "captions.tsv")]
    )
    named = data_arguments.data_of(options)
    recipe = make_recipe("named_small")
    splits = sources.read_splits(recipe, named, seed=0)
    test = splits.tests["test"].examples
    names = [x.name for x in (*splits.train, *splits.validation, *test)]
    assert sorted(names) == sorted(f"{i}.png" for i in range(24))
    assert len(test) == len(splits.validation) == 2
    other = sources.read_splits(recipe, named, seed=1)
    assert [x.name for x in other.train] != [x.name for x in splits.train]


def test_a_set_keeps_its_own_splits(pictures, tmp_path):
    karpathy = {"images": [], "dataset": "mine"}
    for i, split in enumerate(("train", "restval", "val", "test", "train")):
        sentences = [{"raw": f"picture {i}"}]
        karpathy["images"].append(
            dict(filename=f"{i}.png", split=split, sentences=sentences)
        )
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(karpathy))
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("".join(f"{i}.png#0\tone {i}\n" for i in range(24)))
    for name in "123":
        (tmp_path / name).write_text(f"{name}.png\n")
    lists = [str(tmp_path / name) for name in "123"]
    for arguments, expected in (
        (["--karpathy", path], (["0", "4"], ["2"], ["3"])),
        (["--karpathy", path, "--restval"], (["0", "4", "1"], ["2"], ["3"])),
        (["--flickr", tokens, "--names", *lists], (["1"], ["2"], ["3"])),
    ):
        options = train.make_parser().parse_args(
            [*map(str, arguments), "--images", str(pictures)]
        )
        named = data_arguments.data_of(options)
        splits = sources.read_splits(make_recipe("named_small"), named, 0)
        parts = splits.train, splits.validation, splits.tests["test"].examples
        names = tuple([x.name.removesuffix(".png") for x in p] for p in parts)
        assert names == expected


def copy_run(smoke, folder, seed=0, factor=1.0, **changes):
    """A finished run like `smoke`, as if of other choices and scores."""
    shutil.copytree(smoke, folder, ignore=shutil.ignore_patterns("logs"))
    recipe = dataclasses.replace(RECIPES["smoke"], **changes)
    about = runs.description("smoke", recipe, None, seed)
    folders.write_json(folder / "recipe.json", about)
    metrics = read_metrics(folder)
    metrics["results"]["iid"]["expectation"]["exact"] = 0.5 * factor
    metrics["cost"]["training_cpu_seconds_per_step"] = 0.03
    for log, loss in zip(metrics["history"], (9, 4 * factor, 1), strict=False):
        log["val_loss"] = loss
    folders.write_json(folder / "metrics.json", metrics)
    return folder


def test_seeds_of_a_recipe_are_one_line(smoke, tmp_path, capsys):
    made = [
        copy_run(smoke, tmp_path / "0"),
        copy_run(smoke, tmp_path / "1", seed=1, factor=0.5),
        copy_run(smoke, tmp_path / "2", dropout=0.1),
    ]
    arguments = ["--splits", "iid", "--metrics", "exact"]
    compare.main([*map(str, made), *arguments])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "| recipe | reads | seeds | iid exact | CPU-ms per step |"
    )
    # The mean of .5 and .25, and their standard deviation of .25 / 2 ** .5.
    assert lines[2:] == [
        "| `smoke` | expectation | 2 | 0.375 ± 0.177 | 30.0 ± 0.0 |",
        "| `smoke dropout=0.1` | expectation | 1 | 0.500 | 30.0 |",
    ]
    compare.main([*map(str, made), *arguments, "--reach", "2", "--reach", "0"])
    lines = capsys.readouterr().out.splitlines()
    assert "exact | steps to val_loss 2 | steps to val_loss 0 |" in lines[0]
    # The third of the epochs of 40 steps, and of the second seed the second.
    assert "| 0.375 ± 0.177 | 100 ± 28 |  | 30.0 ± 0.0 |" in lines[2]
    assert "| 0.500 | 120 |  | 30.0 |" in lines[3]
    again = copy_run(smoke, tmp_path / "again")
    text = refusal(capsys, compare.main, made[0], again)
    assert "a second one with seed 0" in text
    text = refusal(capsys, compare.main, made[0], "--splits", "count")
    assert "Received: count, where all have combinations, iid, swap" in text
    (again / "metrics.json").unlink()
    assert "must hold the metrics.json" in refusal(capsys, compare.main, again)


TAPPED = "preset=sca_cnn_small", "attention=channel", "taps=relu_3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "x"], "The recipes are demo, smoke, grid_soft"),
        (["--set", "step=3"], "one is changed by field=value"),
        (["--set", "attention=loud"], "one of soft, hard, marginal, window"),
        (["--set", "num_samples=3"], "Only REINFORCE has rewards"),
        (["--set", "semi_sampling=0.5"], "Only hard attention draws"),
        (["--set", "steps=50"], "a multiple of `steps_per_epoch`"),
        (["--set", "encoder=conv"], "grid scenes are features already"),
        (["--set", "captions_every=None", "select_by=val_bleu_4"], "written"),
        (["--set", "tokenizer=bpe"], "Subwords need a `vocabulary_size`"),
        (["--set", "test_examples=7"], "come in pairs"),
        (["--set", "preset=big"], "show_attend_tell_small"),
        (["--tsv", "a.tsv"], "dataset=grid_scenes, --tsv"),
        (["--recipe", "named_small"], "dataset=named, no captions"),
        (["--images", "here"], "--images goes with captions"),
        (["--tsv", "a", "--coco", "b"], "Received: --coco and --tsv"),
        (["--karpathy", "a"], "Add --images FOLDER"),
        (["--tsv", "a", "--restval"], "--restval goes with --karpathy"),
        (["--recipe", "named_small", "--tsv", "a.tsv"], "a.tsv, where there"),
        (["--features", "f"], "Leave it out"),
        (["--set", "attention=channel"], "of a show_attend_tell must be one"),
        (["--set", "window=2"], "Only a window has a size"),
        (["--set", "taps=relu_3"], "no other captioner does"),
        (["--set", *TAPPED], "An SCA-CNN looks at pictures"),
        (["--set", *TAPPED, "taps=None"], "Add --set taps=relu_3"),
        (
            ["--recipe", "shapes_channel", "--set", "doubly_stochastic=1.0"],
            "Only Show, Attend and Tell",
        ),
        (
            ["--recipe", "shapes_transformer", "--set", "attention_dim=8"],
            "A Transformer has one size",
        ),
        (["--set", "same_length=True", "num_buckets=3"], "have no buckets"),
    ],
)
def test_train_refuses_what_does_not_go_together(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    if "--recipe" not in arguments:
        arguments = ["--recipe", "smoke", *arguments]
    text = refusal(capsys, train.main, "--output", "run", *arguments)
    assert message in text
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Inception:mixed4", "must name a network of keras.applications"),
        ("VGG16:block9", "The last ones are block4_pool, block5_conv1"),
    ],
)
def test_an_encoder_that_is_not_there_is_refused(name, message):
    recipe = make_recipe("named_small", [f"encoder={name}", "image_size=32"])
    with pytest.raises(ValueError, match=message):
        encoders.make_encoder(recipe)


def test_a_finished_run_is_not_written_over(smoke, capsys):
    arguments = ["--recipe", "smoke", "--output", smoke]
    assert "--resume" in refusal(capsys, train.main, *arguments)
    text = refusal(capsys, train.main, *arguments, "--resume", "--seed", "1")
    assert "seed=1 instead of 0" in text


def test_captions_need_a_run_with_an_encoder_and_files(
    smoke, named, pictures, tmp_path, capsys
):
    one = pictures / "1.png"
    text = refusal(capsys, caption.main, smoke, one)
    assert "of grid_scenes. Train one of shape_scenes" in text
    text = refusal(capsys, evaluate.main, smoke, "--tsv", one)
    assert "of grid_scenes" in text
    text = refusal(capsys, caption.main, named, tmp_path / "no.png")
    assert "no.png, where there is none" in text
    text = refusal(capsys, caption.main, named, one, "--page", "a.txt")
    assert "must end in .html" in text
    text = refusal(capsys, caption.main, named, one, "--overlay", "a.xyz")
    assert "Received: --overlay a.xyz" in text
    text = refusal(capsys, caption.main, tmp_path, one)
    assert "must hold the recipe.json" in text


def test_threads_are_limited_before_a_backend_is_imported(tmp_path):
    (tmp_path / "a.png").touch()
    module = "applications.captioning.caption"
    arguments = (tmp_path, tmp_path / "a.png", "--threads", "1", "--overlay")
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, tmp_path / "b.png"],
        capture_output=True,
        text=True,
    )
    assert "must hold the recipe.json" in " ".join(done.stderr.split())


def test_captions_that_changed_are_not_scored(named, pictures, capsys):
    table = pictures / "captions.tsv"
    before = table.read_bytes()
    table.write_bytes(before + b"0.png\tone more\n")
    try:
        text = refusal(capsys, evaluate.main, named)
    finally:
        table.write_bytes(before)
    assert "captions.tsv, changed since" in text


def test_epochs_of_soft_attention_are_not_chosen(tmp_path):
    recipe = make_recipe("smoke", SHORT)
    part = sources.part_of(recipe, 8, seed=0)
    callbacks = experiment.make_callbacks(recipe, part.examples, tmp_path)
    (best,) = [x for x in callbacks if hasattr(x, "best_epoch")]
    assert best.start_from_epoch == 1
    (schedule,) = [x for x in callbacks if hasattr(x, "schedule")]
    assert [schedule.schedule(epoch) for epoch in range(3)] == [1.0, 0.5, 0.5]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        ["attention=marginal"],
        ["attention=hard", "estimator=gumbel_straight_through"],
        ["attention=hard", "semi_sampling=0.5", "steps=480"],
    ],
)
def test_the_other_attentions_learn(tmp_path, changes):
    metrics = run(tmp_path / "run", "--set", *changes)
    found = next(iter(metrics["results"]["iid"].values()))
    assert found["pointing"] > 0.7 and found["coverage"] > 0.6
