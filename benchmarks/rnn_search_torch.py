"""The peer of `RNNSearch`: the same model as a plain `GRUCell` loop in torch.

Same architecture, sizes and work: keys projected once, deep output on the
stacked states, cross-entropy without the padding, Adam.
"""

import torch
from torch import nn
from torch.nn import functional

from benchmarks.torch_beams import beam_search


class Decoder(nn.Module):
    """The recurrence: additive attention and a GRU, step by step."""

    def __init__(self, embedding_dim, hidden_dim, alignment_dim):
        super().__init__()
        self.query = nn.Linear(hidden_dim, alignment_dim, bias=False)
        self.key = nn.Linear(2 * hidden_dim, alignment_dim, bias=False)
        self.score = nn.Linear(alignment_dim, 1, bias=False)
        self.cell = nn.GRUCell(embedding_dim + 2 * hidden_dim, hidden_dim)

    def step(self, word, state, keys, annotations, mask):
        pairs = torch.tanh(self.query(state)[:, None] + keys)  # (B, S, U)
        logits = self.score(pairs)[..., 0]
        if mask is not None:
            logits = logits.masked_fill(~mask, -1e30)
        scores = torch.softmax(logits, -1)
        context = torch.bmm(scores[:, None], annotations)[:, 0]
        state = self.cell(torch.cat([word, context], -1), state)
        return state, context

    def forward(self, words, annotations, state, mask=None):
        """States and contexts `(B, T, .)`."""
        keys = self.key(annotations)
        states, contexts = [], []
        for word in words.unbind(1):
            state, context = self.step(word, state, keys, annotations, mask)
            states.append(state)
            contexts.append(context)
        return torch.stack(states, 1), torch.stack(contexts, 1)


class RNNSearch(nn.Module):
    """Bahdanau et al., 2015, appendix A.2."""

    def __init__(
        self,
        vocabulary_size,
        embedding_dim,
        hidden_dim,
        alignment_dim,
        maxout_dim,
    ):
        super().__init__()
        self.source = nn.Embedding(vocabulary_size, embedding_dim)
        self.target = nn.Embedding(vocabulary_size, embedding_dim)
        self.encoder = nn.GRU(
            embedding_dim, hidden_dim, batch_first=True, bidirectional=True
        )
        self.initial_state = nn.Linear(hidden_dim, hidden_dim)
        self.decoder = Decoder(embedding_dim, hidden_dim, alignment_dim)
        self.deep_output = nn.Linear(
            embedding_dim + 3 * hidden_dim, 2 * maxout_dim
        )
        self.output = nn.Linear(maxout_dim, vocabulary_size)

    def encode(self, source_ids):
        annotations, last = self.encoder(self.source(source_ids))
        return annotations, torch.tanh(self.initial_state(last[1]))

    def logits(self, before, words, contexts):
        deep = self.deep_output(torch.cat([before, words, contexts], -1))
        deep = deep.unflatten(-1, (2, -1)).amax(-2)  # maxout
        return self.output(deep)

    def forward(self, source_ids, target_ids):
        annotations, state = self.encode(source_ids)
        words = self.target(target_ids)
        states, contexts = self.decoder(
            words, annotations, state, source_ids != 0
        )
        before = torch.cat([state[:, None], states[:, :-1]], 1)
        return self.logits(before, words, contexts)

    @torch.no_grad()
    def greedy(self, source_ids, max_length, start, end):
        """The most likely next word, until every sentence has ended."""
        annotations, state = self.encode(source_ids)
        mask = source_ids != 0
        keys = self.decoder.key(annotations)
        ids = torch.full_like(source_ids[:, 0], start)
        ended = torch.zeros_like(ids, dtype=torch.bool)
        result = []
        for _ in range(max_length):
            words = self.target(ids)
            before = state
            state, context = self.decoder.step(
                words, state, keys, annotations, mask
            )
            ids = self.logits(before, words, context).argmax(-1)
            ids = torch.where(ended, 0, ids)
            result.append(ids)
            ended = ended | (ids == end)
            if ended.all():
                break
        return torch.stack(result, 1)

    @torch.no_grad()
    def beam_search(self, source_ids, max_length, start, end, num_beams):
        """The best sentence by the mean log probability of its words."""
        annotations, state = self.encode(source_ids)
        keys, mask = self.decoder.key(annotations), source_ids != 0
        keys, annotations, mask, state = (
            x.repeat_interleave(num_beams, 0)
            for x in (keys, annotations, mask, state)
        )

        def step(ids, states):
            words, (before,) = self.target(ids), states
            state, context = self.decoder.step(
                words, before, keys, annotations, mask
            )
            return self.logits(before, words, context), [state]

        return beam_search(step, [state], max_length, start, end, num_beams)


def train_step(model, optimizer, source_ids, target_ids, labels):
    """One step of Adam on the mean loss of the words that are not padding."""
    optimizer.zero_grad(set_to_none=True)
    logits = model(source_ids, target_ids)
    loss = functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=0
    )
    loss.backward()
    optimizer.step()
    return loss
