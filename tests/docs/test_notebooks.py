"""The notebooks of the guides hold the pages' code, and nothing of MyST."""

import json

from docs.extensions import examples, notebooks


def test_each_guide_with_examples_is_offered(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    notebooks.write_all()
    found = {path.stem for path in tmp_path.glob("*.ipynb")}
    pages = {path for path in examples.pages() if path.parent.name == "guides"}
    assert found == {path.stem for path in pages} and found
    for page in pages:
        content = json.loads((tmp_path / f"{page.stem}.ipynb").read_text())
        cells = content["cells"]
        code = [x["source"] for x in cells if x["cell_type"] == "code"]
        blocks = examples.blocks(page.read_text("utf-8"))
        assert code == [block["code"].strip() for block in blocks]
        prose = [x["source"] for x in cells if x["cell_type"] == "markdown"]
        assert prose[0].startswith("# ")
        assert not [x for x in prose if "```{" in x or "{doc}" in x]


def test_prose_is_kept_and_roles_are_spelt_out():
    page = (
        "# Page\n\nSee {doc}`the guide <choose>`, {doc}`../api/layers/x_y`\n"
        "and {py:obj}`~keras_attention.layers.FeedForward`.\n\n"
        "```python\nx = 1\nprint(x)\n```\n\n```text\n1\n```\n\nThen:\n\n"
        "```{code-block} python\nshown\n```\n\n```{benchmarks}\nrows: a\n```\n"
    )
    first, code, last = notebooks.notebook(page)["cells"]
    assert (
        first["source"] == "# Page\n\nSee the guide, `x_y`\nand `FeedForward`."
    )
    assert code["source"] == "x = 1\nprint(x)"
    assert last["source"] == "Then:\n\n```python\nshown\n```"


def test_the_page_links_to_it():
    source = ["# Choose\n\nText\n"]
    notebooks.offer(None, "guides/train_translation", source)
    assert source[0].startswith("# Choose\n\n{download}`")
    assert "train_translation.ipynb" in source[0]
    source = ["# API\n"]
    notebooks.offer(None, "api/index", source)
    assert source == ["# API\n"]
