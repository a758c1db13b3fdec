import json
import subprocess
import sys

import numpy as np
import pytest

from applications.video_classification import (
    classify,
    evaluate,
    experiment,
    playback,
    runs,
    sources,
    train,
)
from applications.video_classification.recipes import (
    RECIPES,
    VARIANTS,
    make_recipe,
)
from keras_attention.data import synthetic
from keras_attention.models import ViT
from tests.applications.commands import refusal, train_and_be_killed

pytestmark = pytest.mark.one_backend
av = pytest.importorskip("av")

# Small enough for seconds.
TINY = [
    "train_examples=96",
    "validation_examples=48",
    "test_examples=48",
    "hidden_dim=16",
    "num_heads=2",
    "num_layers=1",
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


def write_video(path, frames, scale=4):
    """A file of frames `(T, height, width, 3)`, each pixel a square."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = frames.repeat(scale, 1).repeat(scale, 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        stream.bit_rate = 2_000_000
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def rolls(tmp_path_factory):
    """A folder of videos of two classes, a folder for each."""
    folder = tmp_path_factory.mktemp("data") / "rolls"
    videos, labels = synthetic.roll_motion(48, seed=5, frames=12)
    for index, (video, label) in enumerate(zip(videos, labels, strict=True)):
        if label < 2:
            name = ("right", "left")[label]
            write_video(folder / name / f"{index}.mp4", video)
    return folder


def test_the_smoke_recipe_learns(smoke):
    metrics = json.loads((smoke / "metrics.json").read_text())
    assert metrics["results"]["accuracy"] > 0.95  # of four classes
    assert metrics["class_names"] == ["right", "left", "down", "up"]


def test_a_run_folder_holds_what_a_reader_needs(smoke):
    names = {path.name for path in smoke.iterdir()} - {"logs"}
    assert names == {
        "curves.png",
        "metrics.json",
        "model",
        "recipe.json",
        "rollout.gif",
        "rollout.png",
    }
    model, recipe, about, class_names = runs.read_run(smoke)
    assert recipe == RECIPES["smoke"] and about["seed"] == 0
    assert model.num_classes == len(class_names) == 4
    assert model.video_shape == (8, 12, 12, 3)


@pytest.mark.slow
def test_frames_in_any_order_tell_half_at_most(tmp_path):
    changes = ("train_examples=1500", "test_examples=400", "epochs=4")
    metrics = run(tmp_path / "bag", "--set", *changes, "system=bag_of_frames")
    assert metrics["results"]["accuracy"] < 0.6
    assert not (tmp_path / "bag" / "model").exists()


def test_a_bag_of_frames_reads_no_order():
    recipe = make_recipe("smoke", [*TINY, "system=bag_of_frames"])
    model = experiment.make_model(recipe, 4)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=x.shape) for x in model.get_weights()])
    clips = rng.uniform(-1, 1, (2, 8, 12, 12, 3)).astype("float32")
    logits = model.predict_on_batch(clips)
    mixed = model.predict_on_batch(clips[:, rng.permutation(8)])
    np.testing.assert_allclose(logits, mixed, rtol=1e-4, atol=1e-4)


def test_a_run_is_scored_again_and_over_other_frames(smoke, capsys):
    metrics = json.loads((smoke / "metrics.json").read_text())
    accuracy = f"accuracy: {100 * metrics['results']['accuracy']:.2f} %"
    capsys.readouterr()
    evaluate.main([str(smoke)])
    assert accuracy in capsys.readouterr().out.splitlines()
    evaluate.main([str(smoke), "--stride", "1", "--views", "2"])
    assert accuracy.partition(".")[0] in capsys.readouterr().out
    text = refusal(capsys, evaluate.main, smoke, "--views", "2")
    assert "Add --set stride=2" in text


def test_videos_are_classified_and_what_was_read_is_shown(
    smoke, tmp_path, capsys
):
    videos, labels = synthetic.roll_motion(6, seed=77, frames=8)
    paths = [
        write_video(tmp_path / f"{i}.mp4", video)
        for i, video in enumerate(videos)
    ]
    for name in ("seen.png", "seen.gif", "seen.html"):
        classify.main(
            [str(smoke), *map(str, paths), "--rollout", str(tmp_path / name)]
        )
        assert (tmp_path / name).stat().st_size > 1000
        lines = capsys.readouterr().out.splitlines()
        names = [line.split(": ")[1].split()[0] for line in lines]
        found = [sources.DIRECTIONS.index(name) for name in names]
        assert sum(np.equal(found, labels)) >= 5
    (tmp_path / "none.mp4").write_bytes(b"no video")
    text = refusal(capsys, classify.main, smoke, tmp_path / "none.mp4")
    assert "none.mp4" in text and "must be readable" in text


def test_a_folder_of_videos_is_learned_from_an_image_model(rolls, tmp_path):
    """A linear probe leaves the image model's blocks as they were."""
    vit = ViT.from_preset("vit_tiny", num_layers=2, image_shape=(16, 16, 3))
    vit.save_to_preset(tmp_path / "vit")
    options = ("--data", rolls, "--image-weights", tmp_path / "vit")
    changes = ("frames=8", "stride=1", "epochs=2", "views=2", "num_threads=1")
    metrics = run(
        tmp_path / "probe",
        *(*options, "--set", *changes, "num_temporal_layers=1"),
        recipe="linear_probe",
    )
    assert metrics["class_names"] == ["left", "right"]
    assert metrics["results"]["videos"] >= 2
    model, *_ = runs.read_run(tmp_path / "probe")
    assert model.variant == "factorized_encoder"
    for one, other in zip(
        vit.get_layer("block_1").weights,
        model.get_layer("block_1").weights,
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "variant",
    [
        "factorized_self_attention",
        *(
            pytest.param(variant, marks=pytest.mark.slow)
            for variant in VARIANTS
            if variant != "factorized_self_attention"
        ),
    ],
)
def test_every_variant_is_trained_further(rolls, tmp_path, variant):
    """Whatever is between: other frames, sizes, precision, augmentation."""
    vit = ViT.from_preset("vit_tiny", num_layers=1, image_shape=(16, 16, 3))
    vit.save_to_preset(tmp_path / "vit")
    augmentation = ("flip", "shift", "zoom", "color", "mixup")
    changes = (
        f"variant={variant}",
        f"augmentation={augmentation}",
        "precision=mixed_bfloat16",
        "recompute=True",
        "frames=6",
        "stride=1",
        "tubelet_frames=3",
        "image_size=24",
        "epochs=1",
        "views=2",
        "crops=3",
        "ema=0.9",
        "gradient_accumulation=2",
        "inflation=average",
    )
    metrics = run(
        tmp_path / "run",
        *("--data", rolls, "--image-weights", tmp_path / "vit"),
        *("--set", *changes),
        recipe="fine_tune",
    )
    assert np.isfinite([log["loss"] for log in metrics["history"]]).all()
    model, *_ = runs.read_run(tmp_path / "run")
    assert model.video_shape == (6, 24, 24, 3)
    assert model.variant == variant and model.tubelet_size[0] == 3


def test_a_trained_model_learns_other_videos(smoke, rolls, tmp_path):
    changes = ("frames=10", "stride=1", "epochs=1", "layer_decay=0.5")
    metrics = run(
        tmp_path / "run",
        *("--data", rolls, "--weights", smoke / "model", "--set", *changes),
        recipe="fine_tune",
    )
    assert metrics["class_names"] == ["left", "right"]
    model, *_ = runs.read_run(tmp_path / "run")
    assert model.video_shape == (10, 12, 12, 3)
    assert model.variant == "spatio_temporal"  # that of the weights


def test_weights_of_another_variant_are_refused(smoke, rolls, tmp_path, capsys):
    options = ("--recipe", "fine_tune", "--output", tmp_path / "run")
    options += ("--data", rolls, "--weights", smoke / "model")
    text = refusal(
        capsys, train.main, *options, "--set", "variant=factorized_encoder"
    )
    assert "Add --set variant=None" in text
    assert not (tmp_path / "run").exists()


# A run that writes sentences is killed in each run of the tests.
@pytest.mark.slow
def test_a_killed_run_ends_with_the_metrics_of_one_that_was_not(tmp_path):
    changes = ("--set", *TINY, "epochs=3", "batch_size=16", "num_layers=2")
    changes += ("stochastic_depth=0.2", "augmentation=('flip', 'mixup')")
    whole = run(tmp_path / "whole", *changes)
    train_and_be_killed(
        "video_classification",
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


def test_videos_of_other_sources_are_split(rolls, tmp_path):
    recipe = make_recipe("fine_tune", ["validation_share=0.2"])
    splits = sources.read_splits(recipe, rolls, seed=0)
    parts = [
        {str(x) for x, _ in part}
        for part in (splits.train, splits.validation, splits.test)
    ]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert splits.class_names == ("left", "right")
    lines = [
        f"{path.relative_to(rolls)} {path.parent.name}"
        for path in sorted(rolls.rglob("*.mp4"))
    ]
    (rolls / "list.txt").write_text("\n".join(lines), encoding="utf-8")
    listed = sources.read_splits(recipe, rolls / "list.txt", seed=0)
    assert listed.class_names == ("left", "right")
    assert len(listed.test) == len(splits.test)
    (rolls / "list.txt").unlink()
    arrays = {
        "x_train": np.zeros((20, 4, 8, 8, 3), "uint8"),
        "y_train": np.arange(20) % 2,
        "x_test": np.zeros((4, 4, 8, 8, 3), "uint8"),
        "y_test": np.arange(4) % 2,
    }
    np.savez(tmp_path / "arrays.npz", **arrays, class_names=["no", "yes"])
    splits = sources.read_splits(recipe, tmp_path / "arrays.npz", seed=0)
    assert splits.class_names == ("no", "yes")
    assert [len(splits.train), len(splits.validation)] == [16, 4]
    read = sources.read_test(recipe, tmp_path / "arrays.npz", ("no", "yes"))
    assert len(read) == 4


def test_films_played_in_ways_are_told_apart_in_time(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for index in range(2):
        frames = rng.integers(0, 255, (60, 12, 16, 3)).astype("uint8")
        write_video(tmp_path / "films" / f"{index}.mp4", frames)
    changes = ["epochs=1", "frames=4", "hidden_dim=16", "num_layers=1"]
    changes += ["image_size=16", "num_heads=2"]
    films = tmp_path / "films"
    arguments = ["--videos", str(films), "--output", str(tmp_path / "runs")]
    arguments += ["--set", *changes, "--seeds", "0", "--variants"]
    playback.main([*arguments, "factorized_encoder"])
    assert "| factorized encoder |" in capsys.readouterr().out
    playback.main([*arguments, "factorized_encoder", "bag_of_frames"])
    printed = capsys.readouterr().out
    assert "'variant': 'factorized_encoder'" not in printed
    assert "| bag of frames |" in printed
    text = refusal(capsys, playback.main, "--videos", tmp_path / "none")
    assert "where there is none" in text
    for change in ("stride=2", "ema=0.9", "image_size=(16,16)"):
        text = refusal(
            capsys, playback.main, "--videos", films, "--set", change
        )
        assert change.partition("=")[0] in text


def test_no_frame_trains_and_tests():
    video = np.arange(60)[:, None, None, None] * np.ones((1, 2, 2, 3), int)
    train_pairs, test_pairs = playback.cut([video], frames=4)
    seen, tested = (
        {int(clip[t, 0, 0, 0]) for clip, _ in pairs for t in range(4)}
        for pairs in (train_pairs, test_pairs)
    )
    assert seen == set(range(42)) and tested == set(range(42, 60))
    for clip, label in test_pairs:
        steps = np.diff(clip[:, 0, 0, 0])
        name = playback.CLASS_NAMES[label]
        speed = int(name.partition("x")[2])
        assert set(steps) == {speed if "for" in name else -speed}
    with pytest.raises(ValueError, match="Take fewer `frames`"):
        playback.cut([video], frames=8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "epoch=3"], "A recipe's fields are dataset,"),
        (["--set", "system=i3d"], "vivit, bag_of_frames"),
        (["--set", "variant=joint"], "spatio_temporal, factorized_encoder"),
        (
            ["--set", "system=bag_of_frames", "preset=vivit_x"],
            "preset='vivit_x'",
        ),
        (
            ["--set", f"variant={VARIANTS[1]}", "system=bag_of_frames"],
            "has no variants",
        ),
        (["--set", "views=4"], "Add --set stride=2"),
        (["--set", "crops=2", "stride=1"], "must be one of 1, 3"),
        (["--set", "patch_size=5"], "multiple"),
        (["--set", "frames=15"], "multiple"),
        (["--recipe", "scratch"], "Add --data FOLDER"),
        (["--recipe", "scratch", "--set", "hold=2"], "generated is held"),
        (["--recipe", "fine_tune", "--data", "."], "no --weights. Add"),
        (
            ["--weights", "nowhere", "--image-weights", "nowhere"],
            "of one other",
        ),
        (["--weights", "nowhere"], "Add --set num_layers=None"),
        (["--image-weights", "nowhere"], "Add --set num_layers=None"),
        (
            ["--set", "system=bag_of_frames", "--weights", "nowhere"],
            "read into a model of ours",
        ),
        (["--recipe", "scratch", "--data", "nowhere"], "where there is none"),
    ],
)
def test_train_refuses_bad_arguments_in_a_sentence(
    tmp_path, capsys, arguments, message
):
    output = tmp_path / "run"
    arguments = ["--recipe", "smoke", "--output", output, *arguments]
    assert message in refusal(capsys, train.main, *arguments)
    assert not output.exists()


def test_train_refuses_bad_videos_before_it_trains(rolls, tmp_path, capsys):
    folder = tmp_path / "rolls"
    for path in rolls.rglob("*.mp4"):
        copy = folder / path.relative_to(rolls)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    bad = sorted(folder.rglob("*.mp4"))[4]
    bad.write_bytes(bad.read_bytes()[:99])
    changes = ("frames=4", "stride=1", "epochs=1", "num_layers=1", "ema=None")
    changes += ("hidden_dim=16", "num_heads=2", "image_size=16")
    options = ["--recipe", "scratch", "--data", folder, "--set", *changes]
    output = tmp_path / "run"
    text = refusal(capsys, train.main, *options, "--output", output)
    assert str(bad) in text and "on_error" in text
    run(output, *options, "--skip-bad-files")
    assert f"left out: {bad}" in capsys.readouterr().out


def test_commands_import_no_backend_before_they_limit_threads():
    code = (
        "from applications.video_classification import train, evaluate, "
        "classify, playback; import sys; "
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
