"""Encodes text as SentencePiece tokens, decodes it, and trains SentencePiece models."""

import hashlib
from importlib.resources import files
from io import BytesIO
from pathlib import Path

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.utils.files import atomic_path

DEFAULT = "default"
CACHED_CHARACTERS = 256  # Only missions, which repeat at every step, are worth caching; documents are longer.
CACHED_TEXTS = 4096


def train_text_model(inputs: list[Path], vocab_size: int, out: Path) -> "TextTokenizer":
    """Trains a byte-pair model on lines of text and writes it to a file.

    The model decodes every text exactly: it does not normalise text, keeps spaces, and encodes unknown characters as
    bytes.

    Args:
        inputs: UTF-8 text files.
        vocab_size: number of token ids.
        out: the new `.model` file.

    Raises:
        InputError: if a file cannot be read or written, or the text is too short for this size.
    """
    from sentencepiece import SentencePieceTrainer

    for path in inputs:
        try:
            path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--input: {path} cannot be read as UTF-8 text ({error.__class__.__name__})") from error
    model = BytesIO()
    try:
        SentencePieceTrainer.train(
            input=[str(path) for path in inputs], model_writer=model, vocab_size=vocab_size, model_type="bpe",
            byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
            character_coverage=1.0, minloglevel=2,
        )  # fmt: skip
    except (RuntimeError, OSError) as error:
        raise InputError(f"--vocab-size: {vocab_size} does not suit this text: {brief(error, limit=None)}") from error
    try:
        with atomic_path(out) as partial:
            partial.write_bytes(model.getvalue())
    except OSError as error:
        raise InputError(f"--out: {out} cannot be written ({error.__class__.__name__})") from error
    return TextTokenizer(model.getvalue())


class TextTokenizer:
    """A SentencePiece model.

    Attributes:
        model_bytes: content of the `.model` file.
        size: number of token ids, which are 0 … size − 1.
    """

    def __init__(self, model_bytes: bytes) -> None:
        from sentencepiece import SentencePieceProcessor

        """Loads a model.

        Args:
            model_bytes: content of a `.model` file.

        Raises:
            ValueError, RuntimeError: if the bytes are not a model.
        """
        self.model_bytes = model_bytes
        if not model_bytes:
            raise ValueError("it is empty")
        self._processor = SentencePieceProcessor(model_proto=model_bytes)
        self.size = int(self._processor.vocab_size())
        self._processor.encode("a")  # some damaged models fail only here
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def load(cls, path: str | Path = DEFAULT) -> "TextTokenizer":
        """Loads a `.model` file, or the model that is part of this package if `path` is `default`.

        Raises:
            InputError: if the file is not a SentencePiece model.
        """
        if str(path) == DEFAULT:
            return cls((files("gato_dist") / "assets" / "text.model").read_bytes())
        try:
            return cls(Path(path).read_bytes())
        except (*READ_ERRORS, RuntimeError) as error:
            raise InputError(f"tokens.text: {path} is not a SentencePiece .model file ({brief(error)})") from error

    def encode(self, text: str) -> list[int]:
        """Returns the token ids of a text. Short texts are cached."""
        if (cached := self._cache.get(text)) is not None:
            return cached
        ids: list[int] = self._processor.encode(text)
        if len(text) <= CACHED_CHARACTERS:
            if len(self._cache) > CACHED_TEXTS:
                self._cache.clear()
            self._cache[text] = ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """Returns the text of token ids."""
        return str(self._processor.decode([int(i) for i in ids]))

    @property
    def fingerprint(self) -> str:
        """First 16 hex digits of the model's SHA-256."""
        return hashlib.sha256(self.model_bytes).hexdigest()[:16]
