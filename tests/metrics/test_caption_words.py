"""Captions are cut as the tokenizer of COCO cuts them."""

import itertools
import shutil

import pytest

from keras_attention.metrics import caption_words

# What each stands for, cut by hand from the output of PTBTokenizer, without
# the tokens that COCO's list of punctuation names.
CUT = {
    "A man doesn't ride.": "a man does n't ride",
    "The dogs' bowls aren't full": "the dogs bowls are n't full",
    "I'd've said it's John's": "i 'd 've said it 's john 's",
    "can't, won't, cannot, gonna": "ca n't wo n't can not gon na",
    "'tis y'all": "'t is y' all",
    "rock 'n' roll at 5 o'clock, ma'am": "rock 'n' roll at 5 o'clock ma'am",
    "the '90s, the 1990's": "the '90s the 1990 's",
    "a black-and-white T-shirt": "a black-and-white t-shirt",
    "1,000 men, 3.14, $5, 10%": "1,000 men 3.14 $ 5 10 %",
    "5:30pm or 5 p.m., 1/2, #1": "5:30 pm or 5 p.m. 1/2 # 1",
    "Mr. Smith of the U.S.": "mr. smith of the u.s.",
    "A bus... parked -- near - a car…": "a bus parked near a car",
    "salt & pepper and/or AT&T": "salt & pepper and/or at&t",
    "a dog (a cat) [x]": "a dog -lrb- a cat -rrb- -lsb- x -rsb-",
    'a "red" and ‘blue’ “sign”': "a red and blue sign",
    "stop!!! go! what?!": "stop !!! go what ?!",
    "½ a naïve café, £5": "1/2 a naïve café # 5",
    "...": "",
    "": "",
}


@pytest.mark.parametrize("text", CUT)
def test_a_caption_is_cut(text):
    assert caption_words(text) == CUT[text].split()


@pytest.mark.parametrize("text", CUT)
def test_words_stay_words(text):
    assert caption_words(CUT[text]) == CUT[text].split()


def sentences():
    """A few hundred, with marks, clitics, hyphens and numbers."""
    subjects = [
        *("A man", "Two women's dogs", "The T-shirt", "Mr. O'Brien", "It"),
        *("She (a girl)", "The kids' bus", "Someone's well-known cat"),
    ]
    verbs = [
        *(" isn't", " can't see", "'s", " won't eat", " is, perhaps,"),
        *("'ll ride", " cannot reach", " - slowly - passes", " eats/drinks"),
    ]
    objects = [
        *("1,000 sheep.", "the 'STOP' sign!", '"No Parking" at 5:30 p.m.'),
        *("a 3-year-old's cake; 10% off", "5 lbs of rock 'n' roll...", "R&B"),
        *("$5.50 - or 1/2?", "the '90s [blurry]", "St. James Ave. -- #2"),
    ]
    for subject, verb, thing in itertools.product(subjects, verbs, objects):
        yield f"{subject}{verb} {thing}"


@pytest.mark.one_backend
@pytest.mark.skipif(not shutil.which("java"), reason="no Java")
def test_sentences_are_cut_as_the_java_program_cuts_them():
    module = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
    texts = [*sentences(), *CUT]
    cut = module.PTBTokenizer().tokenize(
        {i: [{"caption": text}] for i, text in enumerate(texts)}
    )
    assert len(texts) > 500
    for i, text in enumerate(texts):
        assert caption_words(text) == cut[i][0].split(), text
