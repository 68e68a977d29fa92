"""Sphinx configuration."""

from importlib.metadata import version as installed

project = "POLIQI"
author = "the POLIQI authors"
copyright = "the POLIQI authors, Apache-2.0"
release = installed("poliqi")
version = release

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True

html_theme = "furo"
html_title = "POLIQI"
html_show_sourcelink = False
