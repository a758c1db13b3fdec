"""Lists the pages of a part, each with the first line of its docstring.

    ```{pages}
    additive_attention
    luong_attention
    ```

is a hidden `toctree` and, in its place, a table of what each page is about.
"""

import importlib
import inspect
from pathlib import Path

from docutils import nodes
from sphinx.directives.other import TocTree

from docs.names import documented_names


def setup(app):
    app.add_directive("pages", Pages)
    return {"parallel_read_safe": True}


class Pages(TocTree):
    def run(self):
        folder = Path(self.env.doc2path(self.env.docname)).parent
        # The first name of a page; further ones are its aliases.
        names = {
            path: name for name, path in reversed(documented_names().items())
        }
        self.options["hidden"] = True
        lines = nodes.definition_list()
        for page in self.content:
            name = names[folder / f"{page}.md"]
            link, _ = self.parse_inline(f"[]({page}.md)")
            summary, _ = self.parse_inline(first_line(name))
            item = nodes.definition_list_item()
            item += nodes.term("", "", *link)
            item += nodes.definition("", nodes.paragraph("", "", *summary))
            lines += item
        return [*super().run(), lines]


def first_line(name):
    module, _, attribute = name.rpartition(".")
    thing = getattr(importlib.import_module(module), attribute)
    return inspect.getdoc(thing).partition("\n")[0]
