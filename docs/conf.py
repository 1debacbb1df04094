"""How Sphinx builds the site: `make docs`.

The source is the whole project: links between pages, examples and files are the same here and in the repository.
"""

import click
from sphinx.application import Sphinx

from gradstore import __version__

project = "gradstore"
author = "The gradstore authors"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "examples/**", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = ["docs/_build", "**/.*", "build", "dist", "gradstore-demo"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
highlight_language = "none"

smartquotes = False  # it takes the two hyphens of an option for a dash

nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types in docstrings are words that only sometimes are links
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections say it in words, with shapes
autodoc_preserve_defaults = True
numpydoc_show_class_members = False

linkcheck_retries = 3
linkcheck_timeout = 20

html_theme = "furo"
html_title = "gradstore"
html_additional_pages = {"index": "start.html"}  # the site's root leads to docs/
templates_path = ["_templates"]
html_theme_options = {"navigation_with_keys": True}


def show_commands_as_code(_app: Sphinx, _context: click.Context, lines: list[str]) -> None:
    """Make code blocks of the command lines in help texts, which sphinx-click gives as blocks of lines (``| …``)."""
    shown, code = [], False
    for line in lines:
        command = line.startswith("|   ")
        if command and not code:
            shown += ["", ".. code-block:: sh", ""]
        if code and not command:
            shown.append("")
        shown.append(line.removeprefix("| ") if command else line)
        code = command
    lines[:] = shown


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("sphinx-click-process-description", show_commands_as_code)
