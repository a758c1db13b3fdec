"""How much of each time the answers of a trained ViViT are made of."""

from matplotlib.figure import Figure

from docs.figures._trained import roll_model
from keras_attention import visualization


def draw():
    model, video = roll_model()
    shares = visualization.video_rollout(model, video).sum((2, 3))  # (B, T)
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    for clip, line in enumerate(shares):
        axes.plot(line, "o-", label=f"clip {clip}")
    times = range(shares.shape[1])
    axes.set(xlabel="time of the tubelets", ylabel="share of the answer")
    axes.set(xticks=times, ylim=(0, None))
    axes.legend()
    return figure
