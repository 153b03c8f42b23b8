"""Sentences of errors: for musicians, in no words of Python, its libraries or the system."""

import re

NO_SENTENCE = re.compile(
    r"Errno|Traceback|Exceeds the limit|object has no|invalid literal|not subscriptable|indices must"
    r"|codec can't|unpack \(|NoneType|index out of|argument|\bmido\b|expat|zlib|libsndfile|<class|Error\b"
    r"|recursion|int\(|Fraction"
)

QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")  # words of the file

MAX_LETTERS = 20_000


def assert_sentence(text, path, *written):
    """Check that a message about the file at `path`, in which `written` stands, is a sentence."""
    assert str(path) in text
    assert len(text) < MAX_LETTERS
    for word in (str(path), *written):
        text = text.replace(word.strip() or "\0", "")
    assert not NO_SENTENCE.search(QUOTED.sub("", text))
