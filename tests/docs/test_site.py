"""What is asked of a built site, and the links it gets to other sites."""

import zlib

from docs.extensions import links
from tools import check_site


def test_a_request_to_another_host_is_found(tmp_path):
    (tmp_path / "page.html").write_text(
        '<link rel="stylesheet" href="style.css">'
        '<a href="https://arxiv.org/abs/1409.0473">a plain link</a>'
        '<script src="https://host.org/a.js"></script>'
        '<img src="//host.org/b.png"><style>a{color:red}</style>'
    )
    (tmp_path / "style.css").write_text(
        "@font-face{src:url(fonts/a.woff2),url(https://host.org/c.woff)}"
    )
    (tmp_path / "script.js").write_text(
        '/* https://host.org/license */ fetch("https://host.org/d.json")'
    )
    found = [
        line.partition("asks for ")[2]
        for line in check_site.check_requests(tmp_path)
    ]
    assert sorted(found) == [
        "//host.org/b.png",
        "https://host.org/a.js",
        "https://host.org/c.woff",
        "https://host.org/d.json",
    ]


def test_a_request_of_a_page_within_a_page_is_found(tmp_path):
    (tmp_path / "page.html").write_text(
        '<iframe srcdoc="<img src=&quot;//host.org/b.png&quot;>"></iframe>'
    )
    (found,) = check_site.check_requests(tmp_path)
    assert found.endswith("asks for //host.org/b.png")
    assert len(list(check_site.check_pictures(tmp_path))) == 1


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">good</a><a href="#gone">bad</a>'
        '<a href="b.html#gone">bad</a><a href="c.html">bad</a>'
        '<a href="https://host.org/d.html">not ours</a>'
        '<a href="mailto:a@host.org">not ours</a>'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">B</h1>')
    found = [
        line.partition("links to ")[2]
        for line in check_site.check_links(tmp_path)
    ]
    assert found == [
        "#gone: no such place on it",
        "b.html#gone: no such place on it",
        "c.html, which is not there",
    ]


def test_a_picture_without_a_text_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<img src="a.png" alt="A cat"><img src="b.png" alt=" ">'
        '<img src="c.png">'
    )
    found = [line.split()[1] for line in check_site.check_pictures(tmp_path)]
    assert found == ["b.png", "c.png"]


def test_a_formula_that_does_not_parse_is_found(tmp_path):
    (tmp_path / "page.html").write_text('<span class="katex-error">x</span>')
    (found,) = check_site.check_requests(tmp_path)
    assert "1 formulas do not parse" in found


def test_a_public_name_without_an_entry_is_found(tmp_path):
    names = {"keras_attention.layers.AdditiveAttention": ("api.html", "class")}
    (tmp_path / "objects.inv").write_bytes(links.inventory("ours", names))
    found = list(check_site.check_names(tmp_path))
    assert any("layers.MultiHeadAttention" in line for line in found)
    assert not any("layers.AdditiveAttention" in line for line in found)


def test_names_of_keras_link_to_keras_io_if_they_exist():
    names = links.keras_names()
    page, kind = names["keras.layers.MultiHeadAttention"]
    assert page == "layers/attention_layers/multi_head_attention/"
    assert kind == "class"
    assert links.resolve("keras.layers.NoSuchLayer") is None


def test_inventories_are_those_that_sphinx_reads(tmp_path):
    mapping = links.write_inventories(tmp_path)
    site, path = mapping["python"]
    *head, packed = (tmp_path / "python.inv").read_bytes().split(b"\n", 4)
    assert head[0] == b"# Sphinx inventory version 2"
    line = "ValueError py:exception 1 library/exceptions.html#ValueError -"
    assert line in zlib.decompress(packed).decode().splitlines()
