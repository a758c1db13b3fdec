"""The peer of `ShowAttendTell`: the same model as an `LSTMCell` loop in torch.

Same architecture, sizes and work: keys projected once, deep output on the
stacked states, cross-entropy, Adam.
"""

import torch
from torch import nn

from benchmarks.torch_beams import beam_search


class ShowAttendTell(nn.Module):
    """Xu et al., 2015, section 3.1, over features that are there."""

    def __init__(
        self,
        vocabulary_size,
        feature_dim,
        embedding_dim,
        hidden_dim,
        attention_dim,
    ):
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, embedding_dim)
        self.first = nn.Linear(feature_dim, 2 * hidden_dim)
        self.query = nn.Linear(hidden_dim, attention_dim, bias=False)
        self.key = nn.Linear(feature_dim, attention_dim, bias=False)
        self.score = nn.Linear(attention_dim, 1, bias=False)
        self.gate = nn.Linear(hidden_dim, 1)
        self.cell = nn.LSTMCell(embedding_dim + feature_dim, hidden_dim)
        self.state_output = nn.Linear(hidden_dim, embedding_dim)
        self.context_output = nn.Linear(feature_dim, embedding_dim, bias=False)
        self.output = nn.Linear(embedding_dim, vocabulary_size)

    def start(self, features):
        state = torch.tanh(self.first(features.mean(1))).chunk(2, -1)
        return self.key(features), [x.contiguous() for x in state]

    def step(self, word, state, keys, features):
        query = self.query(state[0])[:, None]
        logits = self.score(torch.tanh(query + keys))[..., 0]  # (B, S)
        scores = torch.softmax(logits, -1)
        context = torch.bmm(scores[:, None], features)[:, 0]
        context = torch.sigmoid(self.gate(state[0])) * context
        state = self.cell(torch.cat([word, context], -1), tuple(state))
        return list(state), context

    def logits(self, outputs, words, contexts):
        deep = words + self.state_output(outputs)
        return self.output(torch.tanh(deep + self.context_output(contexts)))

    def forward(self, features, ids):
        keys, state = self.start(features)
        words = self.words(ids)
        outputs, contexts = [], []
        for word in words.unbind(1):
            state, context = self.step(word, state, keys, features)
            outputs.append(state[0])
            contexts.append(context)
        outputs, contexts = torch.stack(outputs, 1), torch.stack(contexts, 1)
        return self.logits(outputs, words, contexts)

    @torch.no_grad()
    def beam_search(self, features, max_length, start, end, num_beams):
        keys, state = self.start(features)
        keys, features, *state = (
            x.repeat_interleave(num_beams, 0) for x in (keys, features, *state)
        )

        def step(ids, state):
            words = self.words(ids)
            state, context = self.step(words, state, keys, features)
            return self.logits(state[0], words, context), state

        return beam_search(step, state, max_length, start, end, num_beams)
