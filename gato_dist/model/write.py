"""Goes on with a text, a token at a time, with a key/value cache."""

import numpy as np
import torch

from gato_dist.model.cache import KeyValueCache
from gato_dist.model.decode import Decoding, Piece, draw, make_inputs
from gato_dist.model.gato import Gato
from gato_dist.sequence import Kind
from gato_dist.tokens.documents import DocumentTokens


@torch.inference_mode()
def write(
    model: Gato, prompt: DocumentTokens, places: np.ndarray, text_size: int, separator: int, decoding: Decoding,
    max_tokens: int, seed: int,
) -> list[int]:  # fmt: skip
    """Text ids that follow `prompt`, up to the separator that ends a text, `max_tokens`, or a full window.

    Only ids below text_size and the separator can be chosen. places uint8 [P, 2, 2]: of the patches of an image.
    Raises ValueError where the prompt leaves no room in a window of `decoding.length`.
    """
    if len(prompt) >= decoding.length:
        raise ValueError(f"{len(prompt)} tokens leave no room in a window of {decoding.length}")
    device = next(model.parameters()).device
    random, cache = np.random.default_rng(seed), KeyValueCache(model.eval().config, 1, decoding.length, device)
    patches = prompt.patches
    piece = Piece(prompt.token, prompt.kind, prompt.local_position, 0, patches, places[: len(patches)], _NO_TENSORS)
    written: list[int] = []
    while True:
        inputs, count = make_inputs([[piece]], device)
        hidden = model.extend(inputs, count, torch.zeros(1, dtype=torch.long, device=device), cache)
        logits = torch.cat([model.logits(hidden, 0, text_size), model.logits(hidden, separator, separator + 1)], -1)
        (token,) = draw(logits, decoding.temperature, [random])
        if token == text_size:
            return written
        written.append(token)
        if len(written) == max_tokens or len(prompt) + len(written) == decoding.length:
            return written
        piece = Piece(
            np.array([token]), np.array([Kind.TEXT]), np.zeros(1, np.int64), 0, patches[:0], places[:0], _NO_TENSORS
        )


_NO_TENSORS = np.zeros((0, 0), np.float32)
