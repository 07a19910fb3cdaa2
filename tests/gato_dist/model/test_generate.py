"""Text generation: the cache changes nothing, only text can be chosen, and a separator ends the text."""

import numpy as np
import pytest
import torch

from gato_dist.config.training_sections import ModelConfig
from gato_dist.model.decode import DecodingOptions
from gato_dist.model.gato import Gato
from gato_dist.model.generate import generate_text
from gato_dist.model.inputs import ModelInputs
from gato_dist.sequence import collate
from gato_dist.tokens.documents import DocumentTokenizer, DocumentTokens, document_shape, pack_documents
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.vocabulary import Vocabulary

TEXT = TextTokenizer.load()
VOCABULARY = Vocabulary(TEXT.size, "disjoint")
DOCUMENTS = DocumentTokenizer(TEXT, VOCABULARY, (16, 32))
CONFIG = ModelConfig(width=32, layers=2, heads=2, key_size=16, feed_forward=64, patch_channels=8, local_positions=16)
ROOM = 24


def model() -> Gato:
    torch.manual_seed(3)
    made = Gato(CONFIG, VOCABULARY.size, 0).eval()
    # So that a random model's choices differ.
    torch.nn.init.normal_(made.head.weight, std=0.5)
    return made


def prompt() -> DocumentTokens:
    image = np.random.default_rng(0).integers(256, size=(16, 32, 3), dtype=np.uint8)
    return DOCUMENTS.prompt(image, "go to the")


def go_on(gato: Gato, temperature: float = 0.0, max_tokens: int = 99, seed: int = 0) -> list[int]:
    decoding = DecodingOptions(ROOM, temperature)
    return generate_text(
        gato,
        prompt(),
        patch_positions=DOCUMENTS.patch_positions,
        text_size=TEXT.size,
        separator=VOCABULARY.separator,
        options=decoding,
        max_tokens=max_tokens,
        seed=seed,
    )


def test_generated_text_equals_that_of_passes_without_a_cache():
    gato, tokens = model(), prompt()
    written = go_on(gato)
    assert len(written) == ROOM - len(tokens), "a full window ends a text"
    for token in written:
        sequences = pack_documents([tokens], document_shape(ROOM, 2), DOCUMENTS.patch_positions, 0)
        with torch.inference_mode():
            hidden = gato(ModelInputs.from_batch(collate([(0, sequences)], 0)))[0, len(tokens) - 1]
            assert token == int(gato.logits(hidden, 0, TEXT.size).argmax())
        tokens.token, tokens.kind = np.append(tokens.token, token), np.append(tokens.kind, 1)
        tokens.local_position = np.append(tokens.local_position, 0)
        tokens.loss_mask = np.append(tokens.loss_mask, False)


def test_a_separator_ends_the_text_and_actions_are_never_generated():
    gato = model()
    with torch.no_grad():
        gato.head.weight[TEXT.size : VOCABULARY.separator] *= 100
    assert max(go_on(gato, 2.0)) < TEXT.size
    with torch.no_grad():
        gato.head.weight[VOCABULARY.separator] = 100 * gato.head.weight[go_on(gato)[0]]
    assert go_on(gato) == []


def test_sampling_depends_on_the_seed_and_stops_at_the_limit():
    gato = model()
    assert go_on(gato, 1.0, seed=1) == go_on(gato, 1.0, seed=1) != go_on(gato, 1.0, seed=2)
    assert go_on(gato, 1.0, max_tokens=3, seed=1) == go_on(gato, 1.0, seed=1)[:3]


def test_a_prompt_that_fills_the_window_is_refused():
    with pytest.raises(ValueError, match="leave no room in a window of 5"):
        generate_text(
            model(),
            prompt(),
            patch_positions=DOCUMENTS.patch_positions,
            text_size=TEXT.size,
            separator=VOCABULARY.separator,
            options=DecodingOptions(5),
            max_tokens=9,
            seed=0,
        )
