"""`hf://` addresses, against a server on this machine that answers as the
Hugging Face hub does."""

import hashlib
import http.server
import json
import threading
import time
import urllib.parse

import huggingface_hub
import numpy as np
import pytest
import transformers
from keras import ops

from keras_attention.data import WordTokenizer
from keras_attention.models import RNNSearch, Transformer, ViT, hub
from tests.data.marian_files import write_tokenizers
from tests.models.marian_models import marian, token_ids

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.ThreadingHTTPServer):
    """Serves folders as repositories, at `main` and at their commit."""

    def __init__(self, repositories):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = repositories
        self.served = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        for name, folder in self.server.repositories.items():
            if path.startswith(f"/api/models/{name}/revision/"):
                return self.describe(name, folder, path)
            for revision in ("main", COMMIT):
                start = f"/{name}/resolve/{revision}/"
                file = folder / path.removeprefix(start)
                if path.startswith(start) and file.is_file():
                    if body:
                        self.server.served.append(file.name)
                    return self.send(file.read_bytes(), body)
        self.send(
            b'{"error": "Repository not found"}',
            body,
            status=404,
            **{"X-Error-Code": "RepoNotFound"},
        )

    def describe(self, name, folder, path):
        if path.rpartition("/")[2] not in ("main", COMMIT):
            return self.send(
                b"{}", True, 404, **{"X-Error-Code": "RevisionNotFound"}
            )
        files = sorted(x for x in folder.rglob("*") if x.is_file())
        names = [{"rfilename": x.relative_to(folder).as_posix()} for x in files]
        about = {"id": name, "sha": COMMIT, "siblings": names}
        self.send(json.dumps(about).encode(), True)

    def send(self, data, body, status=200, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    marian_folder = tmp_path_factory.mktemp("marian")
    size, _ = write_tokenizers(marian_folder, sizes=(71, 97))
    model = marian(size - 1, vocab_size=size, decoder_vocab_size=size)
    model.save_pretrained(marian_folder)
    for name in ("README.md", "tf_model.h5", "pytorch_model.bin"):
        (marian_folder / name).write_text("not to be downloaded")
    preset_folder = tmp_path_factory.mktemp("preset")
    words = WordTokenizer.train(["the cats sleep"])
    RNNSearch.from_preset(
        "rnn_search_tiny", source_tokenizer=words, target_tokenizer=words
    ).save_to_preset(preset_folder)
    vit_folder = tmp_path_factory.mktemp("vit")
    config = transformers.ViTConfig(
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=20,
        image_size=8,
        patch_size=4,
        num_labels=5,
    )
    transformers.ViTForImageClassification(config).save_pretrained(vit_folder)
    size = {"height": 8, "width": 8}
    processor = transformers.ViTImageProcessor(size=size)
    processor.save_pretrained(vit_folder)
    (vit_folder / "pytorch_model.bin").write_text("not to be downloaded")
    return {
        "some-one/vit": vit_folder,
        "some-one/opus-mt-en-de": marian_folder,
        "some-one/ours": preset_folder,
    }


@pytest.fixture
def server(folders, tmp_path, monkeypatch):
    server = Hub(folders)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    cache = str(tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", cache)
    monkeypatch.setattr(
        huggingface_hub.constants, "HF_HUB_DISABLE_PROGRESS_BARS", True
    )
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_vision_model_comes_with_its_processor(server, folders):
    model = ViT.from_preset("hf://some-one/vit", image_shape=(12, 16, 3))
    assert sorted(server.served) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    assert model.image_processor.output_size() == (12, 16)
    pixels = model.image_processor(np.zeros((30, 40, 3), "uint8"))
    assert tuple(model(pixels).shape) == (1, 5)


def logits(model):
    source, target = token_ids(model.pad_token_id)
    inputs = {"encoder_token_ids": source, "decoder_token_ids": target}
    return ops.convert_to_numpy(model(inputs))


def test_a_checkpoint_is_downloaded_once_and_read(server, folders):
    address = "hf://some-one/opus-mt-en-de"
    model = Transformer.from_preset(address, dropout=0.3)
    assert model.dropout == 0.3
    expected = Transformer.from_preset(folders[address.removeprefix("hf://")])
    np.testing.assert_allclose(logits(model), logits(expected), atol=1e-6)
    assert sorted(server.served) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "source.spm",
        "target.spm",
        "tokenizer_config.json",
        "vocab.json",
    ]
    server.served.clear()
    again = Transformer.from_preset(f"{address}@{COMMIT}")
    np.testing.assert_allclose(logits(again), logits(model), atol=1e-6)
    assert not server.served


def test_what_was_downloaded_is_there_without_a_network(server, monkeypatch):
    address = "hf://some-one/opus-mt-en-de"
    model = Transformer.from_preset(address)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    again = Transformer.from_preset(address)
    np.testing.assert_allclose(logits(again), logits(model), atol=1e-6)


@pytest.mark.parametrize("way", ["no server", "offline"])
def test_without_a_network_it_says_at_once_what_to_do(way, server, monkeypatch):
    if way == "offline":
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    else:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(ValueError, match="must be in the cache.*pass their"):
        Transformer.from_preset("hf://some-one/opus-mt-en-de")
    assert time.monotonic() - start < 5


def test_half_a_download_is_not_taken_for_a_model(server, monkeypatch):
    huggingface_hub.hf_hub_download(
        "some-one/opus-mt-en-de", "config.json", endpoint=server.address
    )
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match="must be in the cache"):
        Transformer.from_preset("hf://some-one/opus-mt-en-de")


def test_a_preset_of_ours_comes_with_its_tokenizers(server):
    model = RNNSearch.from_preset("hf://some-one/ours")
    assert model.source_tokenizer.tokenize(["cats"]) == [[4]]
    assert len(model.generate(["the cats"], max_length=2)) == 1


def test_addresses_that_lead_nowhere_are_refused(server):
    for address in ("hf://some-one/no-such", "hf://some-one/ours@v9"):
        with pytest.raises(ValueError, match="that you may read"):
            Transformer.from_preset(address)
    for address in ("hf://", "hf://a/b/c", "hf://a b/c"):
        with pytest.raises(ValueError, match="must look like hf://user/repo"):
            Transformer.from_preset(address)


def test_a_repository_of_another_kind_is_refused(server, folders):
    with pytest.raises(ValueError, match="RNNSearch must be given a check"):
        RNNSearch.from_preset("hf://some-one/opus-mt-en-de")
    folders["some-one/empty"] = folders["some-one/ours"] / "source_tokenizer"
    try:
        with pytest.raises(ValueError, match="must hold a model"):
            Transformer.from_preset("hf://some-one/empty")
    finally:
        del folders["some-one/empty"]


@pytest.mark.parametrize(
    "address, parts",
    [
        ("hf://user/repo", ("user/repo", None)),
        ("hf://user/repo@a1/b", ("user/repo", "a1/b")),
        ("hf://user/re.po-1/", ("user/re.po-1", None)),
        ("hf://repo", ("repo", None)),
    ],
)
def test_an_address_names_a_repository_and_a_revision(address, parts):
    assert hub.ADDRESS.fullmatch(address).groups() == parts
