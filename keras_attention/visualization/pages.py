"""What HTML pages that ask for no other file are made of."""

import base64
import io


def as_base64(data):
    """Bytes as text that an attribute can hold."""
    return base64.b64encode(data).decode("ascii")


def png_url(picture):
    """A Pillow image as the URL of a PNG that the page itself holds."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{as_base64(file.getvalue())}"
