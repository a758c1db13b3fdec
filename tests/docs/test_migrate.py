"""Pages for those who come from other libraries: whole, and old code agrees."""

import importlib.util
import re
import subprocess
import sys

import keras
import pytest

from docs import names
from docs.extensions import examples

MIGRATE = names.DOCS / "migrate"
PAGES = sorted(path.stem for path in MIGRATE.glob("*.md"))
ROW = re.compile(r"^\| (.+?) \| (.+) \|$", re.MULTILINE)
NAME = re.compile(r"`(\w+)(?:`|\()")
LINK = re.compile(r"\{doc\}`(?:[^`<]*<)?([^`<>]+)>?`")
OLD_AND_NEW = ("python", "py")

# The public names of the last tensorflow_addons, 0.23.
SEQ2SEQ = [
    "AttentionMechanism",
    "AttentionWrapper",
    "AttentionWrapperState",
    "BahdanauAttention",
    "BahdanauMonotonicAttention",
    "BaseDecoder",
    "BasicDecoder",
    "BasicDecoderOutput",
    "BeamSearchDecoder",
    "BeamSearchDecoderOutput",
    "BeamSearchDecoderState",
    "CustomSampler",
    "Decoder",
    "FinalBeamSearchDecoderOutput",
    "GreedyEmbeddingSampler",
    "InferenceSampler",
    "LuongAttention",
    "LuongMonotonicAttention",
    "SampleEmbeddingSampler",
    "Sampler",
    "ScheduledEmbeddingTrainingSampler",
    "ScheduledOutputTrainingSampler",
    "SequenceLoss",
    "TrainingSampler",
    "dynamic_decode",
    "gather_tree",
    "gather_tree_from_array",
    "hardmax",
    "monotonic_attention",
    "safe_cumprod",
    "sequence_loss",
    "tile_batch",
]
KERAS_HUB = [
    "AlibiBias",
    "CachedMultiHeadAttention",
    "PositionEmbedding",
    "RotaryEmbedding",
    "SinePositionEncoding",
    "TransformerDecoder",
    "TransformerEncoder",
]
KERAS = [name for name in dir(keras.layers) if name.endswith("Attention")]


def rows(page):
    """From each name that a row of a page begins with to its second cell."""
    text = (MIGRATE / f"{page}.md").read_text("utf-8")
    cells = {}
    for first, second in ROW.findall(text):
        for name in NAME.findall(first):
            cells.setdefault(name, second)
    return cells


@pytest.mark.parametrize(
    "page, old",
    [
        ("tfa_seq2seq", SEQ2SEQ),
        ("keras_layers", KERAS),
        ("keras_hub", KERAS_HUB),
    ],
)
def test_every_old_name_has_a_row(page, old):
    found = rows(page)
    assert not [name for name in old if name not in found]
    for name in old:
        # What has no counterpart says what to do instead.
        assert not found[name].startswith("nothing") or ": " in found[name]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages(page):
    text = (MIGRATE / f"{page}.md").read_text("utf-8")
    targets = LINK.findall(text)
    assert targets or page == "index"
    assert not [x for x in targets if not (MIGRATE / f"{x}.md").is_file()]


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "page, libraries",
    [("keras_hub", ["keras_hub"]), ("hugging_face", ["torch", "transformers"])],
)
def test_old_and_new_code_agree(page, libraries):
    for library in libraries:
        pytest.importorskip(library)
    found = examples.mistakes(MIGRATE / f"{page}.md", OLD_AND_NEW)
    assert not found, "\n".join(found)


@pytest.mark.one_backend
def test_timms_code_and_ours_agree():
    """In a process apart, as timm asks for torchvision."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip("needs timm")
    code = (
        "import pathlib, sys\n"
        "from tests.timm_reference import Nothing\n"
        "sys.meta_path.insert(0, Nothing())\n"
        "from docs.extensions import examples\n"
        "path = pathlib.Path(sys.argv[1])\n"
        f"print(*examples.mistakes(path, {OLD_AND_NEW}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, MIGRATE / "timm.md"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip(), done.stdout
