"""The README's examples run as they stand."""

import re
from pathlib import Path

import pytest

from keras_attention import data, models

README = Path(__file__).parents[1] / "README.md"


def example(heading):
    section = README.read_text().partition(f"\n## {heading}\n")[2]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


def test_layers_stack_as_the_readme_says(capsys):
    code = example("Stack layers")
    exec(code, {})
    printed = capsys.readouterr().out.strip()
    assert code.rstrip().endswith(f"# {printed}")


def test_a_model_is_fine_tuned_as_the_readme_says(
    tmp_path, monkeypatch, capsys
):
    pytest.importorskip("matplotlib")
    pairs = [
        ("the small black cats sleep", "les petits chats noirs dorment"),
        ("the cats sleep", "les chats dorment"),
    ]
    sources, targets = zip(*pairs, strict=True)
    model = models.RNNSearch.from_preset(
        "rnn_search_tiny",
        source_tokenizer=data.WordTokenizer.train(sources),
        target_tokenizer=data.WordTokenizer.train(targets),
    )
    model.save_to_preset(tmp_path / "runs/demo/model")
    lines = [f"{source}\t{target}\n" for source, target in pairs]
    (tmp_path / "pairs.tsv").write_text("".join(lines), encoding="utf-8")

    monkeypatch.chdir(tmp_path)
    exec(example("Fine-tune a model"), {})
    assert capsys.readouterr().out
    assert (tmp_path / "alignment.png").read_bytes().startswith(b"\x89PNG")
    tuned = models.RNNSearch.from_preset("my_model")
    assert tuned.count_params() == model.count_params()
