"""
How the site is built: `make docs`.  Nothing is asked of any network.
"""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "escrowflow"
author = "escrowflow contributors"
copyright = author
_ABOUT = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))
release = _ABOUT["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "pages"]
exclude_patterns = ["_build"]
nitpicky = True
# What is not ours has no page here, and neither has what we keep to ourselves.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!escrowflow\b).*"),
    (r"py:.*", r"escrowflow(\.\w+)*\.(_\w+|P|Graph)"),
]

# --- pages ----------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
# A picture that a forge draws is an image on this site.
myst_fence_as_directive = ["mermaid"]

# --- the names of the library ---------------------------------------------------------

# Docstrings are Markdown: one backtick is code.
default_role = "code"
highlight_language = "none"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [
    ("Implements", "params_style"),
    ("Source", "params_style"),
]
autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# --- how it looks ---------------------------------------------------------------------

html_theme = "furo"
html_title = "escrowflow"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
pygments_style = "default"
pygments_dark_style = "github-dark"
