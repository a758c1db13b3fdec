"""The words of a caption, as the server of COCO counts them."""

import re

# Curly quotes and dashes as the tokenizer of COCO takes them.
_PLAIN = str.maketrans(
    {
        "’": "'",
        "‘": " ",
        "½": "1/2",
        "¼": "1/4",
        "¾": "3/4",
        "£": "#",
        "€": "$",
        "(": " -lrb- ",
        ")": " -rrb- ",
        "[": " -lsb- ",
        "]": " -rsb- ",
        "{": " -lcb- ",
        "}": " -rcb- ",
    }
)
# Keep their full stop, as single letters (u.s., p.m.) do.
_ABBREVIATIONS = (
    "adm|al|apr|assn|atty|aug|ave|bldg|blvd|bros|capt|cf|cie|cmdr|co|col|"
    "corp|ct|dec|dept|dr|est|etc|feb|fri|ft|gen|gov|hon|inc|intl|jan|jr|jul|"
    "jun|lt|ltd|maj|mar|messrs|mfg|mlle|mme|mon|mr|mrs|ms|mt|nov|oct|pres|"
    "prof|pvt|rd|rep|rev|rt|sen|sep|sept|sgt|sq|sr|st|ste|tel|thu|thurs|tue|"
    "tues|univ|vs|wed"
)
_WORD = re.compile(
    r"-[lr][rsc]b-"  # a bracket
    r"|can(?=not\b)|gon(?=na\b)|wan(?=na\b)|got(?=ta\b)"  # can not
    r"|gim(?=me\b)|lem(?=me\b)"
    r"|'t(?=is\b|was\b|\s|$)|y'(?=\s*all\b)"  # 't is, y' all
    rf"|(?:{_ABBREVIATIONS}|ph\.d|[a-z](?:\.[a-z])*)\.(?!\w)"
    r"|[^\W\d_]+?(?=n't\b)|n't\b"  # does n't
    r"|'(?:s|m|d|re|ve|ll)\b"  # dog 's
    r"|'n'|'(?:em|cause)\b|(?<!\w)'\d\ds?(?!['\w])"  # rock 'n' roll, '90s
    r"|[ocdl]'\w{2,}|ma'am"  # o'clock
    r"|[#@][^\W\d_]\w*"  # #tag
    # black-and-white, and/or, r&b, 1,000, 5:30, -5
    r"|(?:(?<!\S)[-+.](?=\d))?\w+(?:[-/&.]\w+|(?<=\d)[,:]\d+)*"
    r"|[!?]{2,}"  # dropped alone only
    r"|[^\w\s'\"`.,:;?!\-–—…“”«»]"  # $, %, &
)


def caption_words(text: str) -> list[str]:
    """Splits a caption into lower-case words without punctuation marks.

    The evaluation of COCO (Chen et al., 2015) cuts captions with Stanford's
    PTBTokenizer, a Java program, and drops the tokens that are punctuation.
    This is a stand-in without Java. It follows the tokenizer where captions
    go: contractions are split (`does n't`, `dog 's`, `can not`), hyphens,
    slashes and commas stay inside words and numbers (`black-and-white`,
    `1,000`), abbreviations keep their full stop (`mr.`), and brackets stay,
    as the words `-lrb-` and `-rrb-`: COCO's list of punctuation names them in
    upper case, and so misses them. Where the two differ: web and mail
    addresses, tags such as `<b>`, smileys, apostrophes of dialect (`more'n`),
    and abbreviations that the tokenizer knows beside the usual ones.

    Words joined by spaces give the same words again.

    Args:
        text: A caption, in English.

    Returns:
        The words in order; none if there are only punctuation marks.

    Examples:
        >>> caption_words("A man doesn't ride the dog's bike -- it's black.")
        ['a', 'man', 'does', "n't", 'ride', 'the', 'dog', "'s", 'bike', 'it', \
"'s", 'black']
        >>> caption_words('"Mr. Fox" at 5:30 p.m., near a T-shirt ...')
        ['mr.', 'fox', 'at', '5:30', 'p.m.', 'near', 'a', 't-shirt']

    Reference:
        [Chen et al., 2015](https://arxiv.org/abs/1504.00325), section 3
    """
    return _WORD.findall(text.lower().translate(_PLAIN))
