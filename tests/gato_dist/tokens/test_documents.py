"""Documents as tokens: layouts compared with ones written by hand, loss masks, and packing without loss of tokens."""

import sys
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gato_dist.errors import InputError
from gato_dist.sequence import Kind
from gato_dist.tokens.documents import Document, DocumentTokenizer, DocumentTokens, document_shape, pack_documents
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.vocabulary import Scheme, Vocabulary

TEXT = TextTokenizer.load()
SIZE = (16, 32)
# Ids of the shipped text model; behind its 360 come 1024 values and 1024 actions.
RED, BALL, SEPARATOR = 301, 283, 360 + 2048
# "Q: red A:": a space, then bytes for the letters that the model does not know; the byte b has id b + 3.
QUESTION = [337, 0x51 + 3, 0x3A + 3, 301, 337, 0x41 + 3, 0x3A + 3]


def tokenizer(scheme: Scheme = "disjoint", text_size: int = 360, predict_question: bool = True) -> DocumentTokenizer:
    return DocumentTokenizer(TEXT, Vocabulary(text_size, scheme), SIZE, predict_question)


def png(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


PIXELS = np.random.default_rng(0).integers(256, size=(*SIZE, 3), dtype=np.uint8)
P, T, S = Kind.PATCH, Kind.TEXT, Kind.SEPARATOR


def test_tokens_of_a_caption():
    tokens = tokenizer().encode(Document("here", ("red ball",), image=png(PIXELS)))
    assert tokens.token.tolist() == [0, 0, RED, BALL, SEPARATOR]
    assert tokens.kind.tolist() == [P, P, T, T, S]
    assert tokens.local_position.tolist() == [0, 1, 0, 0, 0]
    assert tokens.loss_mask.tolist() == [False, False, True, True, True]
    assert np.array_equal(tokens.patches, [PIXELS[:, :16], PIXELS[:, 16:]])


@pytest.mark.parametrize("predict_question", [True, False])
def test_tokens_of_a_question_and_its_answer(predict_question):
    document = Document("here", ("red ball",), "red", png(PIXELS))
    tokens = tokenizer(predict_question=predict_question).encode(document)
    assert tokens.token.tolist() == [0, 0, *QUESTION, RED, BALL, SEPARATOR]
    assert tokens.kind.tolist() == [P, P, *[T] * 9, S]
    assert tokens.loss_mask.tolist() == [False, False, *[predict_question] * 7, True, True, True]
    assert TEXT.decode(tokens.token[2:-1].tolist()) == "Q: red A: red ball"


def test_a_text_begins_and_ends_with_a_separator():
    tokens = tokenizer("paper", 32000).encode(Document("here", ("red ball",)))
    assert tokens.token.tolist() == [33024, RED, BALL, 33024]
    assert tokens.loss_mask.tolist() == [False, True, True, True]
    middle = tokenizer().encode(Document("here", ("red ball",), starts_text=False, ends_text=False))
    assert middle.token.tolist() == [RED, BALL]
    assert middle.loss_mask.tolist() == [False, True]


def test_one_of_several_answers_is_selected():
    document = Document("here", ("red", "ball"))
    drawn = [tokenizer().encode(document, draw).token[1] for draw in (0.0, 0.49, 0.5, 0.99)]
    assert drawn == [RED, RED, BALL, BALL]


def test_images_are_scaled_and_a_damaged_one_is_named():
    grey = Image.new("LA", (7, 5), (10, 255))
    file = BytesIO()
    grey.save(file, "PNG")
    assert (tokenizer().encode(Document("here", ("red",), image=file.getvalue())).patches == 10).all()
    with pytest.raises(InputError, match=r"x\.tar, sample 3: its image cannot be decoded"):
        tokenizer().encode(Document("x.tar, sample 3", ("red",), image=png(PIXELS)[:90]))


def test_without_pillow_the_error_names_the_extra_to_install(monkeypatch):
    document = Document("here", ("red",), image=png(PIXELS))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r"pip install 'gato-dist\[images\]'"):
        tokenizer().encode(document)


def windows(lengths: list[int]) -> list[DocumentTokens]:
    """Returns texts whose tokens are all different; each token except the first of a text carries loss."""
    ends = np.cumsum([0, *lengths])
    made = []
    for start, end in pairwise(ends):
        token = np.arange(start, end, dtype=np.int32)
        zero = np.zeros(len(token), np.int16)
        made.append(
            DocumentTokens(
                token=token,
                kind=zero.astype(np.uint8) + T,
                local_position=zero,
                loss_mask=token > start,
                patches=np.zeros((0, 16, 16, 3), np.uint8),
            )
        )
    return made


@given(st.lists(st.integers(2, 40), min_size=1, max_size=12), st.integers(3, 20))
def test_every_text_token_carries_loss_once_and_follows_its_predecessor(lengths, length):
    documents = windows(lengths)
    sequences = pack_documents(documents, document_shape(length, 0), np.zeros((0, 2, 2), np.uint8), 7)
    predicted = sequences.token[sequences.loss_mask]
    assert sorted(predicted) == sorted(t for document in documents for t in document.token[1:])
    row, column = np.nonzero(sequences.loss_mask)
    assert (column > 0).all()
    assert (sequences.segment[row, column - 1] == sequences.segment[row, column]).all()
    assert (sequences.token[row, column - 1] == predicted - 1).all()
    # Only the last position of a row may stay empty, and the last row.
    assert ((sequences.segment[:-1] < 0).sum(1) <= 1).all()
    assert sequences.item_id.tolist() == list(range(7, 7 + len(sequences)))


def test_images_stay_with_their_texts_and_fill_sequences_with_room():
    make = tokenizer()
    words = ["red ball", "red ball " * 20, "red", "red ball red ball"]
    tokens = [make.encode(Document("here", (each,), image=png(PIXELS))) for each in words]
    assert [len(each) for each in tokens] == [5, 44, 4, 7]
    sequences = pack_documents(tokens, document_shape(12, 2), make.patch_positions, 0)
    # The second is longer than a row and loses its end; the third joins the first; the fourth finds no room.
    assert (sequences.segment >= 0).sum(1).tolist() == [9, 12, 7]
    assert sequences.segment[0].tolist() == [0] * 5 + [1] * 4 + [-1] * 3
    assert (sequences.token == SEPARATOR).sum(1).tolist() == [2, 0, 1]
    assert np.array_equal(sequences.patches[0, :4], np.concatenate([tokens[0].patches] * 2))
    assert np.array_equal(sequences.patch_positions[0, :4], np.concatenate([make.patch_positions] * 2))
    assert (sequences.weights_version == -1).all()


def test_joined_documents_share_a_segment_and_are_cut_at_the_end_of_a_sequence():
    make = tokenizer()
    tokens = [make.encode(Document("here", (each,), image=png(PIXELS))) for each in ("red", "ball", "red ball")]
    joined = DocumentTokens.join(tokens)
    assert joined.loss_mask.tolist() == [*[False] * 2, True, True] * 2 + [False] * 2 + [True] * 3
    sequences = pack_documents([joined], document_shape(9, 2), make.patch_positions, 0)
    assert sequences.token.tolist() == [[0, 0, RED, SEPARATOR, 0, 0, BALL, SEPARATOR, 0]]
    assert sequences.segment.tolist() == [[0] * 9]
    assert np.array_equal(sequences.patches[0, :5], np.concatenate([tokens[0].patches] * 3)[:5])
    assert np.array_equal(sequences.patch_positions[0, :5], make.patch_positions[[0, 1, 0, 1, 0]])
