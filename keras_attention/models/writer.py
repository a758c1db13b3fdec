"""What models share that write a sequence of words for what they are given."""

from typing import Any

import keras
from keras import ops

from keras_attention.data.tokenizers import load_tokenizer
from keras_attention.decoding import beam_search, greedy, sample
from keras_attention.decoding.arguments import check_beams
from keras_attention.decoding.penalties import length_score
from keras_attention.models.model import Model
from keras_attention.ops import checks


class Writer(Model):
    """A model that decodes words from what it reads.

    A subclass says how it decodes:

    - `start(source, max_length, num_beams)` returns the memory and the first
      state, with room for `max_length` steps of so many beams (a state of
      fixed size needs neither);
    - `step(token_ids, memory, state)` is a step of `decoding`, with what
      `step_extras` names in its extras.

    Its tokenizers are attributes and arguments named in `tokenizers`; words
    are written with the last one.
    """

    tokenizers: tuple[str, ...] = ("tokenizer",)
    step_extras: tuple[str, ...] = ("scores",)

    def start(self, source, /, max_length, num_beams) -> tuple[Any, Any]:
        raise NotImplementedError("What writes defines `start`.")

    def step(self, token_ids, memory, state) -> tuple[Any, Any, dict]:
        raise NotImplementedError("What writes defines `step`.")

    @property
    def writing_tokenizer(self):
        """The tokenizer of what is written, or None."""
        return getattr(self, self.tokenizers[-1])

    def coverage_mask(self, source):
        """Booleans `(B, S)`: what a full coverage would read."""
        raise NotImplementedError("What is to be covered is for a subclass.")

    def _search_options(
        self,
        num_beams,
        num_results,
        length_penalty,
        length_alpha,
        coverage_beta,
        early_stopping,
    ) -> dict:
        """What `_searcher` takes beside a limit, checked."""
        check_beams(num_beams, num_results)
        if coverage_beta and (num_beams == 1 or not self.step_extras):
            raise ValueError(
                "`coverage_beta` ranks hypotheses by what they read, which "
                "needs beams and a model with attention. Received: "
                f"coverage_beta={coverage_beta}, num_beams={num_beams}, a "
                f"{type(self).__name__}. Leave it out."
            )
        return dict(
            num_beams=num_beams,
            num_results=num_results,
            length_penalty=length_penalty,
            length_alpha=length_alpha,
            coverage_beta=coverage_beta,
            early_stopping=early_stopping,
        )

    def _run_decoder(self, make, options, limit, *inputs):
        """Runs what `make(limit, **options)` returns, compiled once."""
        decode = self.compile_function(
            (make.__name__, limit, *options.items()),
            make(limit, **options),
        )
        decoded = decode(*map(ops.convert_to_tensor, inputs))
        return keras.tree.map_structure(ops.convert_to_numpy, decoded)

    def _shared_options(self, max_length, max_lengths, ids=None) -> dict:
        ids = ids or self.writing_tokenizer
        return dict(
            start_token=ids.start_id,
            end_token=ids.end_id,
            max_length=max_length,
            pad_token=ids.pad_id,
            banned_tokens=(ids.pad_id, ids.start_id),
            return_extras=self.step_extras,
            max_lengths=max_lengths,
        )

    def _searcher(self, max_length, num_beams, ids=None, **options):
        penalty = options["length_penalty"], options["length_alpha"]

        def search(source, max_lengths):
            memory, state = self.start(source, max_length, num_beams)
            shared = self._shared_options(max_length, max_lengths, ids)
            if num_beams > 1:
                if options["coverage_beta"]:
                    shared["coverage_mask"] = self.coverage_mask(source)
                return beam_search(
                    self.step,
                    memory,
                    state,
                    num_beams=num_beams,
                    **options,
                    **shared,
                )
            decoded = greedy(self.step, memory, state, **shared)
            scores = length_score(
                decoded.log_probabilities, decoded.lengths, max_length, *penalty
            )
            decoded = decoded._replace(hypothesis_scores=scores)
            return keras.tree.map_structure(lambda x: x[:, None], decoded)

        return search

    def _sampler(self, max_length, num_results, **options):
        def draw(source, max_lengths, noise):
            memory, state = self.start(source, max_length, num_results)
            return sample(
                self.step,
                memory,
                state,
                num_results=num_results,
                noise=noise,
                **options,
                **self._shared_options(max_length, max_lengths),
            )

        return draw

    @classmethod
    def read_preset_config(cls, folder):
        config = super().read_preset_config(folder)
        for name in cls.tokenizers:
            fingerprint = config.pop(name, None)
            if fingerprint is None:
                continue
            config[name] = load_tokenizer(folder / name)
            if config[name].fingerprint() != fingerprint:
                raise ValueError(
                    f"{str(folder / name)!r} must hold the vocabulary that "
                    "the model was trained with. Received: a tokenizer of "
                    f"{config[name].vocabulary_size} tokens that is not the "
                    "one that was saved. Put its files back."
                )
        return config

    def write_preset_parts(self, folder, config):
        config = super().write_preset_parts(folder, config)
        self._write_tokenizers(folder)
        for name in self.tokenizers:
            tokenizer = getattr(self, name)
            if tokenizer is not None:
                config[name] = tokenizer.fingerprint()
        return config

    def _write_tokenizers(self, folder):
        for name in self.tokenizers:
            tokenizer = getattr(self, name)
            if tokenizer is not None:
                tokenizer.save(folder / name)

    def get_config(self):
        return {
            **super().get_config(),
            **{
                name: keras.saving.serialize_keras_object(getattr(self, name))
                for name in self.tokenizers
            },
        }

    @classmethod
    def from_config(cls, config):
        return super().from_config(
            {
                name: keras.saving.deserialize_keras_object(value)
                if isinstance(value, dict) and "class_name" in value
                else value
                for name, value in config.items()
            }
        )


def vocabulary_size(given, tokenizer, side=None):
    """The size given, the tokenizer's, or an error if they differ.

    Args:
        given: The argument, or None.
        tokenizer: The tokenizer, or None.
        side: Whose it is, "source" or "target", where there are two.
    """
    prefix = f"{side}_" if side else ""
    where = f"The {side} side" if side else "The model"
    if tokenizer is None and given is None:
        raise ValueError(
            f"{where} needs a vocabulary. Received: neither "
            f"{prefix}vocabulary_size nor {prefix}tokenizer. Pass one of them."
        )
    if tokenizer is None:
        return checks.positive_int(given, f"{prefix}vocabulary_size")
    if given not in (None, tokenizer.vocabulary_size):
        raise ValueError(
            f"The {prefix.replace('_', ' ')}vocabulary must match the model. "
            f"Received: {prefix}vocabulary_size={given}, but a "
            f"{prefix}tokenizer of {tokenizer.vocabulary_size} tokens. Use "
            "the tokenizer that the model was trained with."
        )
    return tokenizer.vocabulary_size
