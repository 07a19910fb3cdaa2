"""Turns documents (text, captions, questions about images) into tokens and sequences (paper, sections 2.1 to 2.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gato_dist.errors import DamagedDocument
from gato_dist.sequence import BlankSequences, Kind, Sequences, SequenceShape
from gato_dist.tokens.image_files import decode_resized
from gato_dist.tokens.patches import patch_intervals, to_patches
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.vocabulary import Vocabulary

_PER_TOKEN = ("token", "kind", "local_position", "loss_mask")


@dataclass(frozen=True)
class Document:
    """One item of a corpus, as it was read.

    Attributes:
        location: file and line, row or sample, for messages.
        texts: the text, or alternative captions or answers, of which one is drawn.
        question: question about the image, if any.
        image: an encoded image file, if any.
        starts_text, ends_text: whether this is the first or the last piece of a longer text.
    """

    location: str
    texts: tuple[str, ...]
    question: str | None = None
    image: bytes | None = None
    starts_text: bool = True
    ends_text: bool = True


@dataclass(kw_only=True)
class DocumentTokens:
    """The n tokens of a document. They attend to each other.

    Attributes:
        token: int32 [n], token ids.
        kind: uint8 [n], a `Kind` for each token.
        local_position: int16 [n], index of a patch in its image; 0 for text.
        loss_mask: bool [n], true if the loss is computed for this token.
        patches: uint8 [P, 16, 16, 3], in the order of the positions of kind PATCH.
    """

    token: NDArray[np.int32]
    kind: NDArray[np.uint8]
    local_position: NDArray[np.int16]
    loss_mask: NDArray[np.bool_]
    patches: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.token)

    def take(self, index: slice) -> "DocumentTokens":
        """Returns the selected tokens, with all patches."""
        return DocumentTokens(**{name: getattr(self, name)[index] for name in _PER_TOKEN}, patches=self.patches)

    @staticmethod
    def join(parts: Sequence["DocumentTokens"]) -> "DocumentTokens":
        """Concatenates documents as one, so that later tokens attend to earlier ones."""
        names = (*_PER_TOKEN, "patches")
        return DocumentTokens(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def split(self, length: int) -> tuple["DocumentTokens", "DocumentTokens"]:
        """Splits the document after `length` tokens.

        The second part repeats the last token of the first part, without loss, to predict the next token from it.
        """
        head, tail = self.take(slice(length)), self.take(slice(length - 1, None))
        tail.loss_mask = np.concatenate([[False], tail.loss_mask[1:]])
        return head, tail


class DocumentTokenizer:
    """Turns documents into tokens: image patches in raster order, then text, then a separator that ends the text.

    Text carries loss, and so does its final separator, which tells a decoder to stop. A text without an image begins
    with a separator, from which its first token is predicted. Text is not part of a time step, so its local position
    is 0.
    """

    def __init__(
        self, text: TextTokenizer, vocabulary: Vocabulary, image_size: tuple[int, int], predict_question: bool = True
    ) -> None:
        """Makes a tokenizer.

        Args:
            text: encodes text.
            vocabulary: token ids of the run.
            image_size: height and width to which images are scaled.
            predict_question: whether questions carry loss like answers. In the paper all text does.
        """
        self._text, self._vocabulary = text, vocabulary
        self._image_size, self._predict_question = image_size, predict_question
        self.patch_positions = patch_intervals(*image_size)

    def encode(self, document: Document, draw: float = 0.0) -> DocumentTokens:
        """Encodes one document.

        Args:
            document: the document.
            draw: number in [0, 1) that selects one of several texts.

        Raises:
            DamagedDocument: if the image cannot be decoded.
        """
        answer = self._text.encode(document.texts[int(draw * len(document.texts))])
        question = [] if document.question is None else self._text.encode(format_question(document.question))
        starts_with_separator = document.image is None and document.starts_text
        tokens = self._layout(
            self._patches(document), [*question, *answer], starts=starts_with_separator, ends=document.ends_text
        )
        tokens.loss_mask[len(tokens.patches) :] = True
        # Nothing precedes the first token, so nothing can predict it.
        tokens.loss_mask[0] = False
        if document.question is not None and not self._predict_question:
            tokens.loss_mask[: len(tokens) - len(answer) - 1] = False
        return tokens

    def prompt(self, image: NDArray[np.uint8] | None, text: str) -> DocumentTokens:
        """Encodes the beginning of a document that a decoder is to continue.

        Args:
            image: uint8 [H, W, 3] of this tokenizer's image size, or None.
            text: beginning of the text; may be empty.
        """
        patches = _no_patches() if image is None else to_patches(image[None])[0]
        return self._layout(patches, self._text.encode(text) if text else [], starts=image is None, ends=False)

    def _layout(self, patches: NDArray[np.uint8], text: list[int], *, starts: bool, ends: bool) -> DocumentTokens:
        """Lays out patches and text ids. starts, ends: whether the text begins or ends with a separator."""
        separator = self._vocabulary.separator
        text_ids = np.array([*[separator] * starts, *text, *[separator] * ends], np.int32)
        count = len(patches)
        token = np.concatenate([np.zeros(count, np.int32), text_ids])
        kind = np.where(token == separator, Kind.SEPARATOR, Kind.TEXT).astype(np.uint8)
        kind[:count] = Kind.PATCH
        return DocumentTokens(
            token=token,
            kind=kind,
            local_position=np.concatenate([np.arange(count), np.zeros(len(text_ids))]).astype(np.int16),
            loss_mask=np.zeros(len(token), bool),
            patches=patches,
        )

    def _patches(self, document: Document) -> NDArray[np.uint8]:
        if document.image is None:
            return _no_patches()
        try:
            image = decode_resized(document.image, *self._image_size)
        except ValueError as error:
            raise DamagedDocument(f"{document.location}: its image cannot be decoded ({error})") from error
        patches: NDArray[np.uint8] = to_patches(image[None])[0]
        return patches


def format_question(question: str) -> str:
    """Returns the text that precedes an answer."""
    return f"Q: {question} A:"


def document_shape(length: int, patches: int) -> SequenceShape:
    """Returns array sizes that are large enough for every sequence of documents.

    Args:
        length: tokens of a sequence.
        patches: patches of a document's image; 0 for text only.
    """
    whole, rest = divmod(length, patches + 1)
    return SequenceShape(length=length, patches=whole * patches + min(rest, patches))


def pack_documents(
    documents: Sequence[DocumentTokens],
    shape: SequenceShape,
    patch_positions: NDArray[np.uint8],
    first_item: int,
) -> Sequences:
    """Packs documents into sequences, each document as a separate segment.

    A text that meets the end of a sequence continues in the next one, so that each of its tokens carries loss once. A
    document with an image stays whole, in the first sequence that has room for it. If it is longer than a sequence,
    its end is lost.

    Args:
        documents: the documents, in order.
        shape: array sizes of the sequences.
        patch_positions: uint8 [P, 2, 2], of the patches of one image.
        first_item: `item_id` of the first sequence; the others count up.
    """
    contents: list[list[DocumentTokens]] = []
    room: list[int] = []

    def put(index: int, document: DocumentTokens) -> None:
        if index == len(contents):
            contents.append([])
            room.append(shape.length)
        contents[index].append(document)
        room[index] -= len(document)

    last_text = -1
    for document in documents:
        if len(document.patches):
            whole = document.take(slice(shape.length))
            put(next((index for index, left in enumerate(room) if left >= len(whole)), len(contents)), whole)
            continue
        rest = document
        # A rest of one token has no successor to predict, and was itself predicted already.
        while len(rest) > 1:
            last_text = last_text if last_text >= 0 and room[last_text] > 1 else len(contents)
            left = room[last_text] if last_text < len(contents) else shape.length
            if len(rest) <= left:
                put(last_text, rest)
                break
            head, rest = rest.split(left)
            put(last_text, head)
    return _fill_sequences(contents, shape, patch_positions, first_item)


def _fill_sequences(
    contents: list[list[DocumentTokens]],
    shape: SequenceShape,
    patch_positions: NDArray[np.uint8],
    first_item: int,
) -> Sequences:
    """Copies documents, listed for each sequence, into arrays."""
    out = BlankSequences(len(contents), shape)
    out.segment[:] = -1
    out.weights_version[:] = -1
    out.item_id[:] = np.arange(first_item, first_item + len(contents))
    for index, documents in enumerate(contents):
        end = patch = 0
        for segment, document in enumerate(documents):
            start, end = end, end + len(document)
            for name in _PER_TOKEN:
                getattr(out, name)[index, start:end] = getattr(document, name)
            out.segment[index, start:end] = segment
            # A document that was cut to the length of a sequence may have lost patches of its image.
            kept = int(np.count_nonzero(document.kind == Kind.PATCH))
            out.patches[index, patch : patch + kept] = document.patches[:kept]
            positions = patch_positions[np.arange(kept) % max(len(patch_positions), 1)]
            out.patch_positions[index, patch : patch + kept] = positions
            patch += kept
    return out


def _no_patches() -> NDArray[np.uint8]:
    return np.zeros((0, 16, 16, 3), np.uint8)
