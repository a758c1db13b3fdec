"""Shows lines of the library on a page.

    ```{lines} keras_attention.ops.windows.gaussian
    ```

is that function as it stands, without its docstring, and

    ```{lines} keras_attention.models.rnn_search.RNNSearch.__init__
    :from: before = ops.concatenate(
    :to: logits = output(
    ```

some of its statements, each named by how it begins. A name or a statement
that is gone fails the strict build.
"""

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.directives.code import container_wrapper
from sphinx.util.docutils import SphinxDirective

from docs.extensions.source import ROOT, source_of


def setup(app):
    app.add_directive("lines", Lines)
    return {"parallel_read_safe": True}


class Lines(SphinxDirective):
    required_arguments = 1
    option_spec = {
        "from": directives.unchanged_required,
        "to": directives.unchanged_required,
    }

    def run(self):
        name = self.arguments[0]
        first, last = self.options.get("from"), self.options.get("to")
        try:
            source = source_of(name, first, last)
        except LookupError as error:
            raise self.error(str(error)) from error
        self.env.note_dependency(str(source.path))
        path = source.path.relative_to(ROOT)
        code = nodes.literal_block(source.text, source.text, language="python")
        module = ".".join(path.with_suffix("").parts)
        caption = (
            f"`{name.removeprefix(module + '.')}`, "
            f"{path.as_posix()}, line {source.number}"
        )
        return [container_wrapper(self, code, caption)]
