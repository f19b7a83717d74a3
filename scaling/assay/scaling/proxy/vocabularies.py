"""Tokenizers from files, and one learned on the corpus. The only file that knows tokenizers and
tiktoken, which are the extra 'tokens'.

Bytes alone are BPE's alphabet, so whatever is learned or read says every text, and bits per byte of
the same text can be compared between them.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from assay.scaling.proxy.errors import BadTraining
from assay.scaling.proxy.tokens import BYTES, Encoding, Tokens
from assay.selectors import storage

LEARNED = "bpe:"  # bpe:4096 is a BPE of 4,096 tokens
SMALLEST, LARGEST = 300, 200_000  # tokens; 256 are bytes
SPELT = (
    "it is 'bytes', 'bpe:N' to learn N tokens on the corpus (such as bpe:4096), or a file: a"
    " tokenizer.json of Hugging Face's tokenizers, or a .tiktoken vocabulary"
)


def encoding(name: str) -> Encoding:
    """ "bytes", or a file: a Hugging Face tokenizer.json, or a tiktoken vocabulary."""
    if name == "bytes":
        return BYTES
    path = Path(name)
    if not path.is_file():
        raise BadTraining(f"--tokenizer {name}: {SPELT}")
    return hugging_face(path) if path.suffix == ".json" else tiktoken_file(path)


def to_learn(name: str) -> int:
    """The tokens of bpe:N; 0 where none is to be learned."""
    if not name.startswith(LEARNED):
        return 0
    try:
        wanted = int(name.removeprefix(LEARNED))
    except ValueError:
        wanted = 0
    if not SMALLEST <= wanted <= LARGEST:
        raise BadTraining(
            f"--tokenizer {name}: {SPELT}; N is a number from {SMALLEST} to {LARGEST:,}"
        )
    imported("tokenizers", name)
    return wanted


def size(name: str) -> int:
    """Tokens of an encoding, with the one that begins a document; learned or not yet."""
    return (to_learn(name) + 1) if to_learn(name) else encoding(name).vocabulary


def identity(name: str) -> str:
    """What makes an encoding the same one: of a file what it holds, not where it stands."""
    path = Path(name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else name


# Hugging Face ----------------------------------------------------------------------------


def hugging_face(path: Path) -> Encoding:
    library = imported("tokenizers", str(path))
    try:
        known = library.Tokenizer.from_file(str(path))
    except Exception as cause:  # the library raises bare Exceptions
        raise BadTraining(f"--tokenizer {path}: not a tokenizer: {cause}") from cause
    known.no_padding()
    known.no_truncation()

    def encode(text: bytes) -> Tokens:
        ids = known.encode(text.decode("utf-8", "replace"), add_special_tokens=False).ids
        return np.array(ids, np.int32)

    # A vocabulary may have holes: the largest id counts, not how many there are.
    begin = 1 + max(known.get_vocab(with_added_tokens=True).values(), default=-1)
    if begin < 1:
        raise BadTraining(f"--tokenizer {path}: it has no tokens")
    return Encoding(str(path.name), begin + 1, begin, encode)


def learn(texts: Iterable[bytes], wanted: int, path: Path) -> None:
    """A byte-level BPE of `wanted` tokens, written as a tokenizer.json; the same for the same
    texts in any order."""
    library = imported("tokenizers", f"{LEARNED}{wanted}")
    known = library.Tokenizer(library.models.BPE())
    known.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    known.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=wanted,
        show_progress=False,
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
    )
    known.train_from_iterator((text.decode("utf-8", "replace") for text in texts), trainer)
    found = known.get_vocab_size()
    if found < wanted:
        raise BadTraining(
            f"--tokenizer {LEARNED}{wanted}: the corpus has no pair left to join after {found:,}"
            " tokens: ask for fewer, or give more text"
        )
    written = json.dumps(json.loads(known.to_str()), ensure_ascii=False, indent=1)
    storage.write_bytes(str(path), written.encode())


# tiktoken --------------------------------------------------------------------------------

# How GPT-2 and cl100k cut text before merging; a vocabulary file does not say.
CUT = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)


def tiktoken_file(path: Path) -> Encoding:
    library = imported("tiktoken", str(path))
    ranks = ranks_of(path)
    try:
        known = library.Encoding(path.stem, pat_str=CUT, mergeable_ranks=ranks, special_tokens={})
    except Exception as cause:
        raise BadTraining(f"--tokenizer {path}: not a tiktoken vocabulary: {cause}") from cause

    def encode(text: bytes) -> Tokens:
        return np.array(known.encode_ordinary(text.decode("utf-8", "replace")), np.int32)

    begin = int(known.max_token_value) + 1
    return Encoding(str(path.name), begin + 1, begin, encode)


def ranks_of(path: Path) -> dict[bytes, int]:
    """Lines of a token in base 64 and its number. Read here, because tiktoken's own reader keeps
    what once stood under a path, and gives it again for a file that has changed."""
    try:
        pairs = [line.split() for line in path.read_bytes().splitlines() if line.strip()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
    except (ValueError, OSError) as cause:
        raise BadTraining(f"--tokenizer {path}: not a tiktoken vocabulary: {cause}") from cause
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise BadTraining(
            f"--tokenizer {path}: {len(missing)} bytes have no token in it, the first is"
            f" {missing[0]:#04x}: not a whole tiktoken vocabulary"
        )
    return ranks


def imported(name: str, asked: str) -> Any:
    try:
        return import_module(name)
    except ImportError as cause:
        raise BadTraining(
            f"--tokenizer {asked} needs the package {name}, which is an extra: pip install"
            " 'assay[tokens]'"
        ) from cause
