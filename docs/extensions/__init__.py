"""What the site's build adds to Sphinx, one idea per file."""
