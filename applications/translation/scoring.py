"""How good a run's translations are, in numbers, text and pictures."""

import dataclasses
import time

from applications.translation.experiment import two_sides
from keras_attention import data
from keras_attention.metrics import (
    alignment_accuracy,
    bleu,
    bleu_by_length,
    chrf,
)
from keras_attention.visualization import plot_alignments


def score(recipe, model, pairs):
    """Scores of the model's translations, and the translations."""
    sources, references = two_sides(pairs)
    begin, cpu = time.time(), time.process_time()
    translations = model.translate(sources, num_beams=recipe.num_beams)
    seconds, cpu = time.time() - begin, time.process_time() - cpu
    texts = [translation.text for translation in translations]
    lengths = [len(data.split_words(source)) for source in sources]
    results = {
        "pairs": len(pairs),
        "num_beams": recipe.num_beams,
        "bleu": dataclasses.asdict(bleu(texts, references)),
        "chrf": dataclasses.asdict(chrf(texts, references)),
        "exact_matches": sum(map(str.__eq__, texts, references)) / len(pairs),
        "by_length": [],
    }
    for part in bleu_by_length(
        lengths, texts, references, recipe.length_limits
    ):
        longest = part.longest or max(lengths)
        rows = [
            i for i, n in enumerate(lengths) if part.shortest <= n <= longest
        ]
        same = chrf([texts[i] for i in rows], [references[i] for i in rows])
        results["by_length"].append(
            {
                "shortest": part.shortest,
                "longest": longest,
                "sentences": part.num_sentences,
                "bleu": part.score.score,
                "bleu_confidence": part.score.confidence,
                "chrf": same.score,
                "chrf_confidence": same.confidence,
            }
        )
    has_links = hasattr(pairs[0], "links") and recipe.tokenizer == "word"
    if has_links and model.attends:
        aligned = model.align(sources, references)
        results["alignment"] = dataclasses.asdict(
            alignment_accuracy(
                [x.scores for x in aligned],
                [pair.links for pair in pairs],
                [pair.possible_links for pair in pairs],
            )
        )
    tokens = sum(len(x.target_tokens) for x in translations)
    cost = {
        "test_tokens_per_second": round(tokens / seconds, 1),
        "test_tokens_per_cpu_second": round(tokens / cpu, 1),
        "test_seconds_per_100": round(100 * seconds / len(pairs), 2),
        "test_cpu_seconds_per_100": round(100 * cpu / len(pairs), 2),
    }
    return results, cost, translations


def report(results):
    """The scores of a test as lines of text."""
    lines = []
    for name in ("bleu", "chrf"):
        value = results[name]
        lines.append(
            f"{value['name']} {value['score']:.1f} "
            f"± {value['confidence']:.1f} ({value['signature']})"
        )
    lines.append(f"exact matches {100 * results['exact_matches']:.1f} %")
    lines.append("source words  sentences          BLEU         chrF2")
    for part in results["by_length"]:
        lines.append(
            f"{part['shortest']:5d} to {part['longest']:<3d}"
            f"{part['sentences']:11d}"
            f"{part['bleu']:9.1f} ± {part['bleu_confidence']:<4.1f}"
            f"{part['chrf']:7.1f} ± {part['chrf_confidence']:<4.1f}"
        )
    if "alignment" in results:
        words = results["alignment"]
        lines += [
            "read a right word           model  diagonal",
            f"  all {words['num_words']:5d} linked words "
            f"{100 * words['overall']:8.1f}"
            f"{100 * words['diagonal_overall']:10.1f}",
            f"    by a sure link          {100 * words['sure']:5.1f}",
            f"  {words['num_crossing']:9d} that cross  "
            f"{100 * words['crossing']:8.1f}"
            f"{100 * words['diagonal_crossing']:10.1f}",
        ]
    return "\n".join(lines)


def samples(pairs, translations, number=10):
    """Some translations beside what was expected."""
    lines = []
    stride = max(1, len(pairs) // number)
    sources, references = two_sides(pairs)
    for i in range(0, len(pairs), stride)[:number]:
        lines += [
            f"source     {sources[i]}",
            f"translated {translations[i].text}",
            f"reference  {references[i]}",
            "",
        ]
    return "\n".join(lines)


def draw_alignments(pairs, translations, path, number=4):
    """Draws what the words of a few translations were read from.

    Known links are outlined where the translation is the reference.
    """
    # Long enough to show something, short enough to be read.
    order = sorted(
        range(len(pairs)), key=lambda i: abs(len(translations[i].scores) - 11)
    )[:number]
    _, references = two_sides(pairs)
    plot_alignments(
        [
            (
                translations[i].scores,
                translations[i].source_tokens,
                translations[i].target_tokens,
            )
            for i in order
        ],
        path,
        links=[
            getattr(pairs[i], "links", ())
            if translations[i].text == references[i]
            else ()
            for i in order
        ],
    )
