"""Pictures of what a run has learned, and pages of its captions."""

import numpy as np

from applications.vision.pictures import draw_logs
from keras_attention import visualization
from keras_attention.data.picture_files import read_picture
from keras_attention.data.synthetic.scene_pictures import draw_objects

OVERLAYS, ON_PAGE = 3, 24


def draw(folder, model, part, captions, history):
    """Draws what there is to draw of a run into its folder.

    Args:
        folder: Of the run.
        model: The captioner.
        part: The `Part` that was captioned.
        captions: Of its pictures.
        history: The logs of all epochs.

    Returns:
        The names of the files.
    """
    # The loss of rewarded captions says nothing.
    rewarded = "greedy_reward" in history[0]
    names = [] if rewarded else ["loss"]
    names += [
        name
        for name in ("greedy_reward", "cider_d", "attention_change")
        if any({name, f"val_{name}"} & set(log) for log in history)
    ]
    draw_logs({folder.name: history}, folder / "curves.png", names)
    found = ["curves.png"]
    if len(model.grid_shape) != 2:
        return found  # a sequence is no picture
    # Spread over the set: neighbours may be alike.
    stride = max(1, len(captions) // ON_PAGE)
    views = [
        view_of(model, part, i, captions[i])
        for i in range(0, len(captions), stride)[:ON_PAGE]
    ]
    save_page(model, views, folder / "captions.html")
    found.append("captions.html")
    for i, view in enumerate(views[:OVERLAYS]):
        name = f"caption_{i}.png"
        draw_overlay(model, view, folder / name)
        found.append(name)
    return found


def draw_overlay(model, view, path):
    """Draws what each word of a caption was read from."""
    visualization.plot_caption(
        view.image,
        view.words,
        view.scores,
        view.samples,
        view.gates,
        smoothing=smoothing(model),
        path=path,
    )


def save_page(model, views, path):
    """Writes a page on which words show what they were read from."""
    title = "What each word was read from"
    visualization.Explorer(views, title, smoothing(model)).save(path)


def smoothing(model):
    """Few cells are told apart best as they are."""
    return "nearest" if max(model.grid_shape) < 8 else "gaussian"


def view_of(model, part, index, caption):
    """A picture of a part with its caption, as pages and overlays take it."""
    if part.scenes is not None and model.encoder is None:
        # Annotations are not to be looked at: what they are of is.
        image = draw_objects(part.scenes.objects[index])
    else:
        image = shown(model, part.examples[index].image)
    return caption_view(image, caption, part.references[index])


def shown(model, image):
    """A picture as the encoder of a model sees it, unsigned bytes."""
    if model.image_processor is None:
        return np.asarray(read_picture(image))
    return model.image_processor.pixels(image)


def caption_view(image, caption, references=()):
    """A picture with a caption, without the end token."""
    number = len(caption.tokens) - caption.ended
    number = max(1, number)  # one that ends at once shows what it read
    samples, gates = (
        None if x is None else x[:number]
        for x in (caption.samples, caption.gates)
    )
    return visualization.CaptionView(
        image,
        caption.tokens[:number],
        caption.scores[:number],
        samples,
        gates,
        references,
    )
