"""Text to SentencePiece tokens and back."""

import hashlib
from importlib.resources import files
from io import BytesIO
from pathlib import Path

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.utils.files import atomic_path

DEFAULT = "default"
REMEMBERED_CHARACTERS = 256  # of a mission; documents are longer, and come but once an epoch


def train_text_model(inputs: list[Path], vocab_size: int, out: Path) -> "TextTokenizer":
    """Trains a byte-pair model on lines of text and writes it to `out`; what it does not know falls back to bytes.

    Text comes back as it was: no normalisation, spaces kept. Raises InputError for a file that cannot be read or a
    size that the text does not support.
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
    """A SentencePiece model. `size` is its vocabulary; ids are 0 … size − 1."""

    def __init__(self, model_bytes: bytes) -> None:
        from sentencepiece import SentencePieceProcessor

        self.model_bytes = model_bytes
        if not model_bytes:
            raise ValueError("it is empty")
        self._processor = SentencePieceProcessor(model_proto=model_bytes)
        self.size = int(self._processor.vocab_size())
        self._processor.encode("a")  # of a damaged model only this says that it is none
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def load(cls, path: str | Path = DEFAULT) -> "TextTokenizer":
        """The shipped model for `default`, else a `.model` file. Raises InputError where it is none."""
        if str(path) == DEFAULT:
            return cls((files("gato_dist") / "assets" / "text.model").read_bytes())
        try:
            return cls(Path(path).read_bytes())
        except (*READ_ERRORS, RuntimeError) as error:
            raise InputError(f"tokens.text: {path} is not a SentencePiece .model file ({brief(error)})") from error

    def encode(self, text: str) -> list[int]:
        """Token ids of one text; missions repeat every step, so recent ones are remembered."""
        if len(text) > REMEMBERED_CHARACTERS:
            return self._processor.encode(text)
        if text not in self._cache:
            if len(self._cache) > 4096:
                self._cache.clear()
            self._cache[text] = self._processor.encode(text)
        return self._cache[text]

    def decode(self, ids: list[int]) -> str:
        return self._processor.decode([int(i) for i in ids])

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.model_bytes).hexdigest()[:16]
