"""A real mouse over elements of a page."""


def point(page, element, share=(0.5, 0.5)):
    """Moves the mouse to a place in an element, in shares of its size."""
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    page.mouse.move(
        box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"]
    )
