"""Text to SentencePiece tokens and back."""

import hashlib
from importlib.resources import files
from pathlib import Path

from gato_dist.errors import InputError

DEFAULT = "default"


class TextTokenizer:
    """A SentencePiece model. `size` is its vocabulary; ids are 0 … size − 1."""

    def __init__(self, model_bytes: bytes) -> None:
        from sentencepiece import SentencePieceProcessor

        self.model_bytes = model_bytes
        self._processor = SentencePieceProcessor(model_proto=model_bytes)
        self.size = int(self._processor.vocab_size())
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def load(cls, path: str | Path = DEFAULT) -> "TextTokenizer":
        """The shipped model for `default`, else a `.model` file. Raises InputError where it is none."""
        if str(path) == DEFAULT:
            return cls((files("gato_dist") / "assets" / "text.model").read_bytes())
        try:
            return cls(Path(path).read_bytes())
        except (OSError, RuntimeError) as error:
            raise InputError(f"tokens.text: {path} is not a SentencePiece .model file ({error})") from error

    def encode(self, text: str) -> list[int]:
        """Token ids of one text; missions repeat every step, so recent ones are remembered."""
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
