"""`gato-dist generate`: writes captions, answers and continuations of texts with a checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gato_dist.errors import InputError
from gato_dist.tokens.documents import DocumentTokenizer
from gato_dist.tokens.image_files import decode_resized


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """The prompt and how to continue it.

    Attributes:
        checkpoint: a model that was trained on corpora.
        image: the image to write about. None: no image.
        text: the text to continue; with an image it follows the image.
        temperature: sampling temperature; 0 is greedy.
        max_tokens: most tokens to write.
        seed: seed for sampling above temperature 0.
    """

    checkpoint: Path
    image: Path | None
    text: str
    temperature: float
    max_tokens: int
    seed: int


def generate(options: GenerateOptions) -> str:
    """Continues a prompt with the model of a checkpoint.

    Returns:
        With an image: only what the model wrote. Without one: the prompt's text and its continuation.

    Raises:
        InputError: if the checkpoint writes no text of this kind, the image cannot be read, or the prompt is too long.
    """
    from gato_dist.model.decode import DecodingOptions
    from gato_dist.model.generate import generate_text
    from learner.checkpoint import load_for_acting

    config, tokenizer, model, _ = load_for_acting(options.checkpoint)
    _check_corpora(options, {corpus.kind for corpus in config.corpora})
    size = config.tokens.image_size
    documents = DocumentTokenizer(tokenizer.text, tokenizer.vocabulary, size)
    prompt = documents.prompt(_read_image(options.image, size) if options.image else None, options.text)
    try:
        ids = generate_text(
            model,
            prompt,
            patch_positions=documents.patch_positions,
            text_size=tokenizer.text.size,
            separator=tokenizer.vocabulary.separator,
            options=DecodingOptions(config.tokens.length, options.temperature),
            max_tokens=options.max_tokens,
            seed=options.seed,
        )
    except ValueError as error:
        raise InputError(f"--text: {error}") from error
    # Decoded together with the prompt: alone, a continuation inside a word would look like a new word.
    prompt_ids = [] if options.image else tokenizer.text.encode(options.text)
    return tokenizer.text.decode([*prompt_ids, *ids])


def _check_corpora(options: GenerateOptions, kinds: set[str]) -> None:
    """Raises InputError if a model that was trained on these kinds of corpora cannot continue the prompt."""
    if not kinds:
        raise InputError(f"{options.checkpoint}: was trained without corpora, and writes no text")
    if options.image and kinds == {"text"}:
        raise InputError(f"--image: {options.checkpoint} was trained on text alone, and has seen no captions")
    if not options.image and "text" not in kinds:
        raise InputError(f"--image: is missing; {options.checkpoint} writes about images alone")


def _read_image(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Returns the image as uint8 [H, W, 3]. Raises InputError if it cannot be read."""
    try:
        return decode_resized(path.read_bytes(), *size)
    except (OSError, ValueError) as error:
        raise InputError(f"--image: {path} cannot be read as an image ({error})") from error
