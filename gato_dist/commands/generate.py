"""`gato-dist generate`: captions, answers, and texts that go on, from a checkpoint alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gato_dist.errors import InputError
from gato_dist.tokens.documents import DocumentTokenizer
from gato_dist.tokens.image_files import decode_resized


@dataclass(frozen=True)
class Request:
    """What is asked of `checkpoint`: to go on with `text`, behind `image` if there is one."""

    checkpoint: Path
    image: Path | None
    text: str
    temperature: float
    max_tokens: int
    seed: int


def generate(request: Request) -> str:
    """A caption or an answer, or `text` and what follows it. Raises InputError for what the user can mend."""
    from gato_dist.model.decode import DecodingOptions
    from gato_dist.model.generate import generate_text
    from learner.checkpoint import load_for_acting

    config, tokenizer, model, _ = load_for_acting(request.checkpoint)
    _check_kinds(request, {corpus.kind for corpus in config.corpora})
    size = config.tokens.image_size
    documents = DocumentTokenizer(tokenizer.text, tokenizer.vocabulary, size)
    prompt = documents.prompt(_read_image(request.image, size) if request.image else None, request.text)
    try:
        ids = generate_text(
            model,
            prompt,
            patch_positions=documents.patch_positions,
            text_size=tokenizer.text.size,
            separator=tokenizer.vocabulary.separator,
            options=DecodingOptions(config.tokens.length, request.temperature),
            max_tokens=request.max_tokens,
            seed=request.seed,
        )
    except ValueError as error:
        raise InputError(f"--text: {error}") from error
    # A text that goes on is told apart from one with a new word by what stands before it.
    before = [] if request.image else tokenizer.text.encode(request.text)
    return tokenizer.text.decode([*before, *ids])


def _check_kinds(request: Request, kinds: set[str]) -> None:
    if not kinds:
        raise InputError(f"{request.checkpoint}: was trained without corpora, and writes no text")
    if request.image and kinds == {"text"}:
        raise InputError(f"--image: {request.checkpoint} was trained on text alone, and has seen no captions")
    if not request.image and "text" not in kinds:
        raise InputError(f"--image: is missing; {request.checkpoint} writes about images alone")


def _read_image(path: Path, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W, 3]. Raises InputError where it cannot be read."""
    try:
        return decode_resized(path.read_bytes(), *size)
    except (OSError, ValueError) as error:
        raise InputError(f"--image: {path} is no image that can be read ({error})") from error
