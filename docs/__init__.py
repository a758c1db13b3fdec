"""The site. `make docs` builds it with Sphinx from the pages of this folder."""
