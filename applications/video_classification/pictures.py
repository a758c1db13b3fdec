"""Pictures of what a run has learned."""

import keras

from keras_attention import visualization


def draw(folder, recipe, model, batches, class_names):
    """Draws what there is to draw of a model into its run folder.

    Returns:
        The names of the files.
    """
    if recipe.system != "vivit":
        return []
    clips, targets = batches[0].make_batch(0)
    clips, labels = clips[:3], targets[:3].argmax(-1)
    logits = keras.ops.convert_to_numpy(model.predict_on_batch(clips))
    titles = []
    for found, label in zip(logits.argmax(-1), labels, strict=True):
        title = class_names[found]
        if found != label:
            title += f", is {class_names[label]}"
        titles.append(title)
    maps = visualization.video_rollout(model, clips)
    visualization.plot_frames(clips, maps, folder / "rollout.png", titles)
    visualization.save_frames(clips[0], folder / "rollout.gif", maps[0])
    return ["rollout.png", "rollout.gif"]
