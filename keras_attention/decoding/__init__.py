"""Searches for output sequences. They take a step function, know no model.

    step(token_ids, memory, state) -> logits, state, extras

| argument    | shape                                                        |
|-------------|--------------------------------------------------------------|
| `token_ids` | `(B, K)` int32, the last token of each of K hypotheses       |
| `memory`    | any nest, leading axis B: never copied, never reordered      |
| `state`     | any nest, leading axis B * K, row `b * K + k`: reordered,    |
|             | but for what a dict holds under `"shared"`                   |
| `logits`    | `(B, K, V)`                                                  |
| `extras`    | a dict of `(B, K, ...)`, for example `scores` `(B, K, S)`    |

`loop.py` holds the compiled loop, `penalties.py` how hypotheses are ranked.
"""

from keras_attention.decoding.beam_search import beam_search
from keras_attention.decoding.decoded import Decoded
from keras_attention.decoding.greedy import greedy
from keras_attention.decoding.sample import sample

__all__ = ["Decoded", "beam_search", "greedy", "sample"]
