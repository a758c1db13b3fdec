"""
A translation that crosses its source
=====================================

A small RNNSearch learns a small French; where an adjective follows its noun, or
an owner what it owns, what it reads crosses over.
"""

import keras
import numpy as np

from keras_attention import data, losses, models, visualization

keras.utils.set_random_seed(0)

# %%
# The sentences are generated, in two languages, so that it is known which word
# stands for which. A few thousand of them are enough.

STEPS = 200
train, _, test = data.synthetic.english_french_splits(
    4000, 1, 100, min_words=4, max_words=8
)
pairs = [(pair.source, pair.target) for pair in train]
english, french = map(data.WordTokenizer.train, zip(*pairs, strict=True))

model = models.RNNSearch.from_preset(
    "rnn_search_tiny",
    embedding_dim=32,
    hidden_dim=48,
    source_tokenizer=english,
    target_tokenizer=french,
)
model.compile(
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.015, STEPS)),
    losses.SparseCategoricalCrossentropy(),
)
batches = data.TranslationBatches.from_text(
    pairs, english, french, num_buckets=1, steps_per_epoch=STEPS
)
model.fit(batches, shuffle=False, verbose=0)

# %%
# Sentences that it has not seen, word for word as they should be:

answers = model.translate([pair.source for pair in test])
right = [x.text == pair.target for x, pair in zip(answers, test, strict=True)]
print(f"{np.mean(right):.0%} of {len(test)}")
assert np.mean(right) > 0.8

# %%
# Each row is a French word as it is written, and the lighter a square, the more
# is read of that English word. Nobody told the model where to look: the boxes
# are the links that the grammar knows.


def crossings(pair):
    read = [source for source, _ in sorted(pair.links, key=lambda x: x[1])]
    return sum(a > b for a, b in zip(read, read[1:], strict=False))


chosen = sorted(np.flatnonzero(right), key=lambda i: -crossings(test[i]))[:4]
answers = [answers[i] for i in chosen]
first = answers[0]
# A map of French words by English words: the light squares lie in the boxes of
# known links, which step back where French turns the order round.
visualization.plot_alignment(
    first.scores,
    first.source_tokens,
    first.target_tokens,
    links=test[chosen[0]].links,
)

# %%
# More of them. Look for the places where the light leaves the diagonal.

figure = visualization.plot_alignments(
    [(x.scores, x.source_tokens, x.target_tokens) for x in answers],
    links=[test[i].links for i in chosen],
)
figure.supxlabel("English, as it is read")
figure.supylabel("French, as it is written")
# Four such maps, of sentences that cross in other ways.
figure

# %%
# Point at a French word to see what it reads, or at an English one to see who
# reads it.

visualization.Explorer(
    [
        visualization.AttentionView(
            x.target_tokens,
            x.source_tokens,
            x.scores,
            labels=("French", "English"),
        )
        for x in answers
    ],
    title="Point at a word",
)
