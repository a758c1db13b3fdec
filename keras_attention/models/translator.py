from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_attention.models import export
from keras_attention.models.writer import Writer
from keras_attention.ops import checks

ENCODER_INPUT = "encoder_token_ids"
DECODER_INPUT = "decoder_token_ids"

# Rows of ids get a length of a multiple, so that few shapes are compiled.
PADDED_TO = 8

# Attention scores of a batch, 128 MB of them, that decoding holds.
SCORES_AT_ONCE = 2**25


class Translation(NamedTuple):
    """One translation and what its words read.

    Attributes:
        text: The translation.
        source_tokens: S tokens that were read; where unknown words were to be
            replaced, as the source spells them.
        target_tokens: T tokens that were written, the end token last
            (unless the translation was cut at the length limit); with the
            words that replace unknown ones.
        scores: `(T, S)` attention scores, as NumPy; None of a model without
            attention.
        log_probability: Sum over the target tokens.
        hypothesis_score: The same after length and coverage penalties.
        ended: Whether the last target token is the end token.
    """

    text: str
    source_tokens: list[str]
    target_tokens: list[str]
    scores: np.ndarray | None
    log_probability: float
    hypothesis_score: float
    ended: bool

    def pharaoh(self) -> str:
        """Links of words in the format of the Pharaoh decoder.

        Each target token but the end is linked to the source token that it
        reads most.

        Returns:
            `source-target` positions from 0, such as "0-0 2-1 1-2".

        Raises:
            ValueError: There are no scores.
        """
        if self.scores is None:
            raise ValueError(
                "Links come from attention scores. Received: a translation "
                "without, of a model that does not attend."
            )
        best = self.scores.argmax(axis=-1)
        words = len(best) - self.ended
        return " ".join(f"{best[t]}-{t}" for t in range(words))


class Translator(Writer):
    """A model from sequence to sequence that translates strings.

    A subclass has inputs `encoder_token_ids` and `decoder_token_ids`, the
    logits of the next token as its output, says how it decodes (`Writer`, the
    source being `encoder_token_ids`), and defines
    `forced_scores(encoder_token_ids, decoder_token_ids)`, the attention
    scores `(B, T, S)` while a given target is read.

    One without attention says `step_extras = ()`, and has no scores in either.

    Args:
        source_tokenizer: Turns source strings into ids, or None.
        target_tokenizer: Turns ids into target strings, or None.
        pad_token_id: Id that fills up the source, never read.
        **kwargs: Passed to `Model`.
    """

    tokenizers = ("source_tokenizer", "target_tokenizer")

    def __init__(
        self,
        *args,
        source_tokenizer=None,
        target_tokenizer=None,
        pad_token_id=0,
        **kwargs,
    ):
        if source_tokenizer is not None and (
            source_tokenizer.pad_id != pad_token_id
        ):
            raise ValueError(
                "The source tokenizer must fill up with the id that "
                f"{type(self).__name__} never reads. Received: "
                f"pad_token_id={pad_token_id}, but a tokenizer with "
                f"pad_id={source_tokenizer.pad_id}. Use a model and a "
                "tokenizer with one `pad_token_id`."
            )
        super().__init__(*args, **kwargs)
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.pad_token_id = pad_token_id

    @property
    def attends(self) -> bool:
        """Whether the model has attention."""
        return bool(self.step_extras)

    def coverage_mask(self, source):
        return ops.not_equal(source, self.pad_token_id)

    def forced_scores(self, encoder_token_ids, decoder_token_ids):
        raise NotImplementedError("A translator defines `forced_scores`.")

    def generate(self, sources: str | Sequence[str], **kwargs):
        """Translates strings.

        Args:
            sources: A string or a list of strings.
            **kwargs: Those of `translate`.

        Returns:
            A string or a list of strings, in the order given.
        """
        if isinstance(sources, str):
            return self.translate([sources], **kwargs)[0].text
        return [result.text for result in self.translate(sources, **kwargs)]

    def translate(
        self,
        sources: Sequence[str],
        num_beams: int = 1,
        max_length: int | None = None,
        length_penalty: str | None = "average",
        length_alpha: float = 1.0,
        coverage_beta: float = 0.0,
        early_stopping: bool = False,
        batch_size: int = 64,
        replace_unknown: bool | Mapping[str, str] = False,
    ) -> list[Translation]:
        """Translates strings and tells what each word read.

        Sentences of similar length are decoded together; the order is
        restored.

        Args:
            sources: Strings.
            num_beams: Hypotheses per sentence; 1 decodes greedily.
            max_length: Most target tokens, the end included; None allows
                each sentence twice the source's tokens and ten.
            length_penalty: As in `decoding.beam_search`.
            length_alpha: As in `decoding.beam_search`.
            coverage_beta: As in `decoding.beam_search`; needs beams.
            early_stopping: As in `decoding.beam_search`.
            batch_size: Sentences decoded at once; fewer of very long ones,
                whose scores would fill the memory.
            replace_unknown: True writes, for each unknown token, the source
                token that it read most, spelled as in the source (Luong et
                al., 2015, section 3). A mapping gives translations of source
                tokens, looked up as they are spelled and then in lower case;
                one that it lacks is copied. Scores stay what they were.

        Returns:
            A `Translation` per string.

        Raises:
            ValueError: The model has no tokenizers, a source is empty,
                coverage is asked of a greedy search or of a model without
                attention, or unknown words are to be replaced without
                attention or by something else than words.

        Examples:
            What is unknown depends on the tokenizer: to a `WordTokenizer` any
            word that it was not made with, to `SentencePieceTokenizer` letters
            that it never saw, to `BPETokenizer` nothing. This model writes
            unknown words only:

            >>> import numpy as np
            >>> from keras_attention.data import WordTokenizer
            >>> from keras_attention.models import RNNSearch
            >>> words = WordTokenizer.train(["the cat sleeps"])
            >>> model = RNNSearch.from_preset(
            ...     "rnn_search_tiny",
            ...     source_tokenizer=words,
            ...     target_tokenizer=words,
            ... )
            >>> _ = model.output_dense.bias.assign(
            ...     9.0 * np.eye(words.vocabulary_size)[words.unk_id])
            >>> model.generate("Wumpus", max_length=2)
            '[unk] [unk]'
            >>> model.generate("Wumpus", max_length=2, replace_unknown=True)
            'Wumpus Wumpus'
            >>> names = {"wumpus": "Wumpe"}
            >>> model.generate("Wumpus", max_length=2, replace_unknown=names)
            'Wumpe Wumpe'
        """
        found = self.hypotheses(
            sources,
            1,
            num_beams,
            max_length,
            length_penalty,
            length_alpha,
            coverage_beta,
            early_stopping,
            batch_size,
            replace_unknown,
        )
        return [hypotheses[0] for hypotheses in found]

    def hypotheses(
        self,
        sources: Sequence[str],
        num_results: int = 5,
        num_beams: int = 5,
        max_length: int | None = None,
        length_penalty: str | None = "average",
        length_alpha: float = 1.0,
        coverage_beta: float = 0.0,
        early_stopping: bool = False,
        batch_size: int = 64,
        replace_unknown: bool | Mapping[str, str] = False,
    ) -> list[list[Translation]]:
        """Several translations of each string, best first.

        Args:
            sources: Strings.
            num_results: How many, at most `num_beams`.
            num_beams: As in `translate`.
            max_length: As in `translate`.
            length_penalty: As in `translate`.
            length_alpha: As in `translate`.
            coverage_beta: As in `translate`.
            early_stopping: As in `translate`.
            batch_size: As in `translate`.
            replace_unknown: As in `translate`.

        Returns:
            For each string a list, each entry a `Translation`, sorted by
            `hypothesis_score`; fewer than asked for where no more exist.

        Raises:
            ValueError: As in `translate`, or more results than beams.
        """
        options = self._search_options(
            num_beams,
            num_results,
            length_penalty,
            length_alpha,
            coverage_beta,
            early_stopping,
        )
        self._check_replacement(replace_unknown)
        found = self._decode(
            sources, self._searcher, options, num_beams, max_length, batch_size
        )
        if replace_unknown is False:
            return found
        dictionary = {} if replace_unknown is True else replace_unknown
        return [
            [self._replace_unknown(x, source, dictionary) for x in hypotheses]
            for source, hypotheses in zip(sources, found, strict=True)
        ]

    def sample(
        self,
        sources: Sequence[str],
        num_results: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        max_length: int | None = None,
        batch_size: int = 64,
    ) -> list[list[Translation]]:
        """Draws translations of strings, as `decoding.sample` does.

        Args:
            sources: Strings.
            num_results: How many to draw for each.
            temperature: As in `decoding.sample`.
            top_k: As in `decoding.sample`.
            top_p: As in `decoding.sample`.
            seed: Draws the same each time; None draws anew.
            max_length: As in `translate`.
            batch_size: As in `translate`.

        Returns:
            For each string a list of `num_results`, each a `Translation`.

        Raises:
            ValueError: As in `decoding.sample`, or the model has no
                tokenizers, or a source is empty.
        """
        checks.positive_int(num_results, "num_results")
        options: dict = dict(
            num_results=num_results,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
        )
        rng = np.random.default_rng(seed)
        return self._decode(
            sources,
            self._sampler,
            options,
            num_results,
            max_length,
            batch_size,
            lambda limit, size: rng.random((limit, size, num_results)).astype(
                "float32"
            ),
        )

    def _decode(
        self,
        sources,
        make,
        options,
        num_hypotheses,
        max_length,
        batch_size,
        draw_noise=None,
    ):
        """Runs what `make(limit, **options)` returns on batches of strings."""
        checks.positive_int(batch_size, "batch_size")
        if max_length is not None:
            checks.positive_int(max_length, "max_length")
        rows = self._source_rows(sources)
        results: list = [None] * len(rows)
        # Only attention scores are held for every hypothesis.
        num_held = num_hypotheses if self.attends else 0
        for indices, ids in batches_of(
            rows, batch_size, num_held, self.pad_token_id
        ):
            limit = max_length or 2 * ids.shape[1] + 10
            limits = (ids != self.pad_token_id).sum(axis=1) * 2 + 10  # (B,)
            if max_length is not None:
                limits[:] = max_length
            inputs = [ids, limits.astype("int32")]
            if draw_noise is not None:
                inputs.append(draw_noise(limit, len(ids)))
            decoded = self._run_decoder(make, options, limit, *inputs)
            # (B, N, ...) each
            arrays = [*decoded[:4], *decoded.extras.values()]
            for row, index in enumerate(indices):
                results[index] = [
                    self._translation(
                        rows[index], *(array[row, n] for array in arrays)
                    )
                    for n in np.flatnonzero(arrays[1][row])
                ]
        return results

    def align(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        batch_size: int = 64,
    ) -> list[Translation]:
        """Tells what each word of given translations reads.

        Args:
            sources: Strings.
            targets: Their translations.
            batch_size: Sentences at once.

        Returns:
            A `Translation` per pair, with the target that was given; its
            log probability and score are NaN.

        Raises:
            ValueError: The model has no attention or no tokenizers, or the
                lists do not fit each other.
        """
        if not self.attends:
            raise ValueError(
                "`align` tells what each word reads, so that the model must "
                f"attend. Received: a {type(self).__name__}, which has no "
                "attention. Use one with attention, such as LuongNMT."
            )
        if len(sources) != len(targets):
            raise ValueError(
                "There must be one target per source. Received: "
                f"{len(sources)} sources, {len(targets)} targets."
            )
        rows = self._source_rows(sources)
        tokenizer = self.target_tokenizer
        target_rows = tokenizer.tokenize(targets)
        scores_of = self.compile_function("align", self.forced_scores)
        results: list = [None] * len(rows)
        for indices, ids in batches_of(
            rows, batch_size, pad_id=self.pad_token_id
        ):
            given = [[tokenizer.start_id, *target_rows[i]] for i in indices]
            forced = pad(given, len(ids), tokenizer.pad_id)
            scores = ops.convert_to_numpy(
                scores_of(
                    ops.convert_to_tensor(ids), ops.convert_to_tensor(forced)
                )
            )
            for row, index in enumerate(indices):
                written = [*target_rows[index], tokenizer.end_id]
                results[index] = self._translation(
                    rows[index],
                    np.array(written),
                    len(written),
                    np.nan,
                    np.nan,
                    scores[row],
                )
        return results

    def export_translator(
        self,
        path: str | Path,
        num_beams: int = 1,
        num_results: int = 1,
        max_length: int | None = None,
        length_penalty: str | None = "average",
        length_alpha: float = 1.0,
        coverage_beta: float = 0.0,
        early_stopping: bool = False,
        special_ids: tuple[int, int, int] | None = None,
    ) -> None:
        """Writes the search as a SavedModel that TensorFlow runs alone.

        For a program without this library and Keras. `serve` of what
        `tf.saved_model.load(path)` returns takes `encoder_token_ids`
        `(B, S)` int32, each row of at least one token with padding behind
        it, and returns a dict:

        - `token_ids` `(B, N, T)`, `lengths`, `log_probabilities` and
          `hypothesis_scores` `(B, N)`, as in `decoding.Decoded`, of the N =
          `num_results` best;
        - `scores` `(B, N, T, S)` float32, what each token read, of a model
          with attention.

        B and S may differ from call to call. They are the hypotheses that
        `hypotheses` finds, whatever the padding and the rest of the batch.
        The tokenizers lie beside, in `source_tokenizer` and
        `target_tokenizer`, as `save_to_preset` writes them.

        Args:
            path: The folder to write. It must be missing or empty; if
                anything fails it stays so.
            num_beams: As in `translate`; this and all below is fixed in the
                graph.
            num_results: N, at most `num_beams`.
            max_length: Most target tokens, the end included, T. None allows
                each sentence twice the source's tokens and ten, and T is the
                largest of these limits.
            length_penalty: As in `translate`.
            length_alpha: As in `translate`.
            coverage_beta: As in `translate`.
            early_stopping: As in `translate`.
            special_ids: Padding, start and end of the target, for a model
                without a `target_tokenizer`; None takes the tokenizer's.

        Raises:
            RuntimeError: The backend is not TensorFlow.
            ValueError: As in `hypotheses`; something is at `path`; or the
                special ids are not known, or given twice.

        Examples:
            >>> import tempfile
            >>> import keras
            >>> import numpy as np
            >>> from keras_attention.models import RNNSearch
            >>> model = RNNSearch.from_preset(
            ...     "rnn_search_tiny",
            ...     source_vocabulary_size=31,
            ...     target_vocabulary_size=37,
            ... )
            >>> if keras.backend.backend() == "tensorflow":
            ...     import tensorflow as tf
            ...     with tempfile.TemporaryDirectory() as folder:
            ...         model.export_translator(
            ...             folder, num_beams=2, special_ids=(0, 2, 3))
            ...         loaded = tf.saved_model.load(folder)
            ...     ids = np.array([[5, 6, 4], [7, 0, 0]], "int32")
            ...     found = loaded.serve(ids)
            ...     assert found["token_ids"].shape == (2, 1, 2 * 3 + 10)
            ...     assert found["scores"].shape == (2, 1, 2 * 3 + 10, 3)
        """
        export.check_backend()
        export.check_vacant(Path(path))
        options = self._search_options(
            num_beams,
            num_results,
            length_penalty,
            length_alpha,
            coverage_beta,
            early_stopping,
        )
        if max_length is not None:
            checks.positive_int(max_length, "max_length")
        if (special_ids is None) == (self.target_tokenizer is None):
            raise ValueError(
                "The special ids of the target must come from its tokenizer, "
                "or from `special_ids` where there is none. Received: "
                f"special_ids={special_ids}, target_tokenizer="
                f"{self.target_tokenizer}. Pass (padding, start, end), or "
                "leave it out."
            )
        ids = special_ids and export.SpecialIds(*special_ids)

        def serve(encoder_token_ids):
            readable = ops.not_equal(encoder_token_ids, self.pad_token_id)
            limits = 2 * ops.sum(ops.cast(readable, "int32"), axis=1) + 10
            if max_length is not None:
                limits = ops.full_like(limits, max_length)
            limit = max_length or ops.max(limits, initial=10)
            search = self._searcher(limit, ids=ids, **options)
            return export.as_outputs(search(encoder_token_ids, limits))

        export.write_saved_model(
            serve,
            ENCODER_INPUT,
            self._flatten_layers(),
            Path(path),
            self._write_tokenizers,
        )

    def _source_rows(self, sources):
        if self.source_tokenizer is None or self.target_tokenizer is None:
            raise ValueError(
                "Translating strings needs both tokenizers. Received: a "
                "model without. Pass `source_tokenizer` and "
                "`target_tokenizer` to the model."
            )
        rows = self.source_tokenizer.tokenize(sources)
        for index, row in enumerate(rows):
            if not row:
                raise ValueError(
                    "A source must hold at least one token. Received: "
                    f"sources[{index}]={sources[index]!r}. Leave it out."
                )
        return rows

    def _translation(self, source, ids, length, log_prob, score, scores=None):
        ids = ids[:length]
        return Translation(
            self.target_tokenizer.detokenize([ids])[0],
            self.source_tokenizer.tokens(source),
            self.target_tokenizer.tokens(ids),
            None if scores is None else scores[:length, : len(source)],
            float(log_prob),
            float(score),
            bool(ids[-1] == self.target_tokenizer.end_id),
        )

    def _check_replacement(self, replace_unknown):
        if replace_unknown is False:
            return
        if not self.attends:
            raise ValueError(
                "`replace_unknown` writes what an unknown word read, so that "
                f"the model must attend. Received: a {type(self).__name__}, "
                "which has no attention. Leave it out."
            )
        if replace_unknown is not True and not (
            isinstance(replace_unknown, Mapping)
            and all(isinstance(x, str) and x for x in replace_unknown.values())
        ):
            raise ValueError(
                "`replace_unknown` must be True, False or a mapping from "
                "source words to words, none of them empty. Received: "
                f"replace_unknown={str(replace_unknown)[:60]}."
            )

    def _replace_unknown(self, translation, source, dictionary):
        """The translation with what its unknown tokens read most."""
        tokenizer = self.target_tokenizer
        surfaces = self.source_tokenizer.surfaces(source)
        # What spells nothing, an end token of the source, is never copied.
        spelled = np.array([x is not None for x in surfaces])
        (unknown,) = tokenizer.tokens([tokenizer.unk_id])
        written = list(translation.target_tokens)
        for t, token in enumerate(written):
            scores = np.where(spelled, translation.scores[t], 0)  # (S,)
            if token == unknown and scores.max() > 0:
                word = surfaces[scores.argmax()]
                lower = dictionary.get(word.lower(), word)
                written[t] = dictionary.get(word, lower)
        text = translation.text
        if written != translation.target_tokens:
            text = tokenizer.join(written[: len(written) - translation.ended])
        return translation._replace(
            text=text,
            source_tokens=[
                name if surface is None else surface
                for name, surface in zip(
                    translation.source_tokens, surfaces, strict=True
                )
            ],
            target_tokens=written,
        )

    @classmethod
    def from_preset(cls, preset: str | Path, **overrides):
        if preset in cls.presets:
            for side in ("source", "target"):
                if overrides.get(f"{side}_tokenizer") is not None:
                    # A published size with a vocabulary of one's own.
                    overrides.setdefault(f"{side}_vocabulary_size", None)
        return super().from_preset(preset, **overrides)


def pad(rows, num_rows, pad_id, multiple=PADDED_TO):
    """Rows of ids as an int32 array, padding behind each and as last rows."""
    longest = max(map(len, rows))
    shape = num_rows, -(-longest // multiple) * multiple
    ids = np.full(shape, pad_id, "int32")
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
    return ids


def batches_of(rows, batch_size, num_beams=1, pad_id=0):
    """Yields indices and padded ids of rows of similar length.

    Every batch has `batch_size` rows, or all there are; what the last one
    lacks repeats its first row. It has fewer where the `(B, K, T, S)` scores
    of twice as many target tokens would be more than `SCORES_AT_ONCE`.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    batch_size = min(batch_size, len(rows))
    while order:
        size = batch_size
        while size > 1:
            longest = len(rows[order[:size][-1]])
            if 2 * size * num_beams * longest**2 <= SCORES_AT_ONCE:
                break
            size -= 1
        indices, order = order[:size], order[size:]
        filled = indices + [indices[0]] * (size - len(indices))
        yield indices, pad([rows[i] for i in filled], size, pad_id)
