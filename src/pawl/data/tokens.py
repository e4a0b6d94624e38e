"""Texts as token ids: what reads like text, the tokenizer, and rows of ids by it.

A tokenizer is byte-pair encoding of words, trained on development rows; it is kept as JSON. Every text
has ids: what is in no token is spelled in bytes.

Shape legend: `R` rows, `U` distinct texts, `T` ids of a row.
"""

from __future__ import annotations

import functools
import os
import re
import statistics
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawl.errors import DataError, first_line

PAD, MASK = 0, 1
"""The ids of no token, and of a token that is hidden."""
TEXT = "text"
"""What the inputs of texts are called; of several, `text_2` and so on."""
INSTALL = "pip install 'pawl[text]'"
_SPECIAL = ("[PAD]", "[MASK]")
_LETTERS = 100
_BEGINNING = "\u0120"  # what the space in front of a word is written as
_WORD = re.compile(rf"[^\W_]{{1,{_LETTERS}}}(?:['’][^\W_]{{1,{_LETTERS}}})*|[^\w\s]|_")
"""Letters and digits, apostrophes among them; every other character is a word of its own."""
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")
_MIN_WORDS, _MIN_UNSPACED = 5, 12
_LOOKED_AT = 1000
_MOST_CHARACTERS = 3_000_000
_FEWEST_IDS, _MOST_IDS, _IDS_PER_ROW = 512, 16_384, 8
_SHARE, _MULTIPLE, _LONGEST, _SHORTEST_BOUND, _MOST_IN_ALL = 0.95, 8, 1024, 64, 1 << 24


def reads_as_text(texts: Sequence[str]) -> bool:
    """Tells whether distinct cells are texts: half have five words, or as much without spaces."""
    some = _spread(texts, _LOOKED_AT)
    words = [sum(any(map(str.isalpha, word)) for word in text.split()) for text in some]
    unspaced = [len(_UNSPACED.findall(text)) for text in some]
    return statistics.median(words) >= _MIN_WORDS or statistics.median(unspaced) >= _MIN_UNSPACED


def is_text(name: str) -> bool:
    """Tells whether an input's name is that of a text's."""
    return name == TEXT or name.startswith(f"{TEXT}_")


def installed() -> bool:
    """Tells whether what tokenizes is installed."""
    try:
        _library()
    except DataError:
        return False
    return True


def train_tokenizer(texts: Sequence[str], rows: int) -> str:
    """Trains a tokenizer on distinct texts; the same texts give the same.

    Args:
        texts: At least one; of many, as many evenly spread ones as have about three million characters.
        rows: How many rows they are of; a vocabulary has at most eight ids a row, from 512 to 16,384.

    Returns:
        It, as JSON.

    Raises:
        DataError: The library is not installed.
    """
    library = _library()
    tokenizer = library.Tokenizer(library.models.BPE())
    splitting = library.pre_tokenizers
    tokenizer.pre_tokenizer = splitting.Sequence(
        [splitting.WhitespaceSplit(), splitting.ByteLevel(add_prefix_space=True, use_regex=False)]
    )
    trainer = library.trainers.BpeTrainer(
        vocab_size=max(_FEWEST_IDS, min(_MOST_IDS, _IDS_PER_ROW * rows)),
        min_frequency=2,
        special_tokens=list(_SPECIAL),
        initial_alphabet=splitting.ByteLevel.alphabet(),
        show_progress=False,
    )
    total = sum(map(len, texts))
    some = _spread(texts, max(1, len(texts) * _MOST_CHARACTERS // max(total, _MOST_CHARACTERS)))
    with _one_thread():
        tokenizer.train_from_iterator((" ".join(_words(text)) for text in some), trainer)
    return str(tokenizer.to_str())


def num_ids(tokenizer: str) -> int:
    """Returns how many ids a tokenizer has, those of no token and of a hidden one included."""
    return int(_loaded(tokenizer).get_vocab_size())


def usual_length(tokenizer: str, texts: Sequence[str], rows: int) -> int:
    """Returns how many ids a row gets: as many as 95% of the texts have, within bounds.

    At most 1,024, and of many rows so many that all together have about 16 million.
    """
    some = _spread(texts, _LOOKED_AT)
    lengths = [len(ids) for ids in _ids(tokenizer, some)]
    bound = max(_SHORTEST_BOUND, min(_LONGEST, _MOST_IN_ALL // max(1, rows)))
    wanted = int(np.ceil(np.quantile(lengths, _SHARE))) if lengths else 1
    return max(_MULTIPLE, min(bound // _MULTIPLE, -(-wanted // _MULTIPLE)) * _MULTIPLE)


def token_ids(
    tokenizer: str, texts: Sequence[str], codes: NDArray[np.int64], length: int
) -> NDArray[np.int64]:
    """Returns rows of ids, `[R, T]`, padded at their end with 0.

    Of a longer text the first and the last half of what fits is kept. A missing text is padding alone.

    Args:
        tokenizer: As JSON.
        texts: `[U]`.
        codes: Each row's text, `[R]`, -1 where it is missing.
        length: `T`.

    Raises:
        DataError: The tokenizer cannot be read, or the library is not installed.
    """
    distinct = np.full((len(texts) + 1, length), PAD, dtype=np.int64)
    for place, ids in enumerate(_ids(tokenizer, texts)):
        if len(ids) > length:
            half = length // 2
            ids = [*ids[: length - half], *ids[-half:]]  # noqa: PLW2901
        distinct[place, : len(ids)] = ids
    return distinct[codes]


def words_of(tokenizer: str, row: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Returns the words of a row of ids, each with the places of its tokens.

    Example:
        >>> tokenizer = train_tokenizer(["Good, better, best"], 1)
        >>> row = token_ids(tokenizer, ["A good one!"], np.array([0]), 16)[0]
        >>> [word for word, _ in words_of(tokenizer, row)]
        ['a', 'good', 'one', '!']
    """
    loaded, decoder = _loaded(tokenizer), _library().decoders.ByteLevel()
    found: list[tuple[list[str], list[int]]] = []
    for place, id_ in enumerate(row):
        if id_ == PAD:
            continue
        token = str(loaded.id_to_token(int(id_)))
        if token.startswith(_BEGINNING) or not found:
            found.append(([], []))
        found[-1][0].append(token)
        found[-1][1].append(place)
    return [(str(decoder.decode(pieces)).strip(), places) for pieces, places in found]


def _ids(tokenizer: str, texts: Sequence[str]) -> Iterator[list[int]]:
    """Yields each text's ids. Each distinct word is looked up once."""
    loaded = _loaded(tokenizer)
    known: dict[str, list[int]] = {}
    for start in range(0, len(texts), _LOOKED_AT):
        split = [_words(text) for text in texts[start : start + _LOOKED_AT]]
        fresh = list(dict.fromkeys(w for words in split for w in words if w not in known))
        with _one_thread():
            known.update(zip(fresh, (e.ids for e in loaded.encode_batch_fast(fresh)), strict=True))
        for words in split:
            yield [id_ for word in words for id_ in known[word]]


def _words(text: str) -> list[str]:
    whole = text.encode("utf-8", "replace").decode()  # halves of characters are none
    return _WORD.findall(unicodedata.normalize("NFKC", whole).lower())


def _spread(texts: Sequence[str], most: int) -> Sequence[str]:
    """Returns at most so many of them, evenly spread."""
    if len(texts) <= most:
        return texts
    return [texts[place * len(texts) // most] for place in range(most)]


@functools.lru_cache(maxsize=8)
def _loaded(tokenizer: str) -> Any:
    library = _library()
    try:
        return library.Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises nothing more special
        raise DataError(
            f"the tokenizer of a text column cannot be read ({first_line(error)}); take the bundle anew"
        ) from None


def _library() -> Any:
    try:
        import tokenizers  # noqa: PLC0415  (an extra)
    except ImportError:
        raise DataError(
            f"columns of text need the library tokenizers; install it with {INSTALL}, or leave the "
            "columns out by the option ignore"
        ) from None
    return tokenizers


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keeps the library from starting threads: processes could not be forked any more."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
