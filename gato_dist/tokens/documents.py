"""Text, captions and questions about images as tokens, and their rows (paper, sections 2.1 to 2.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gato_dist.errors import DamagedDocument
from gato_dist.sequence import Kind, Sequences, SequenceShape
from gato_dist.tokens.images import patch_intervals, to_patches
from gato_dist.tokens.layout import Vocabulary
from gato_dist.tokens.pictures import decode_image
from gato_dist.tokens.text import TextTokenizer


@dataclass(frozen=True)
class Document:
    """One item of a corpus as it was read.

    where: file and line, row or sample, for messages. texts: the text, captions or answers; of several, one is drawn.
    image: an encoded file. begins, ends: whether this is the first and the last piece of a longer text.
    """

    where: str
    texts: tuple[str, ...]
    question: str | None = None
    image: bytes | None = None
    begins: bool = True
    ends: bool = True


@dataclass
class DocumentTokens:
    """n tokens that see one another: token int32, kind uint8, local_position int16, loss_mask bool, all [n].

    patches uint8 [P, 16, 16, 3]: those of its images, for the positions of kind PATCH in order.
    """

    token: np.ndarray
    kind: np.ndarray
    local_position: np.ndarray
    loss_mask: np.ndarray
    patches: np.ndarray

    def __len__(self) -> int:
        return len(self.token)

    def take(self, index: slice) -> "DocumentTokens":
        """These positions, with all patches."""
        return DocumentTokens(
            self.token[index], self.kind[index], self.local_position[index], self.loss_mask[index], self.patches
        )

    @staticmethod
    def join(parts: Sequence["DocumentTokens"]) -> "DocumentTokens":
        """One behind the other, so that the later see the earlier."""
        names = ("token", "kind", "local_position", "loss_mask", "patches")
        return DocumentTokens(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def split(self, room: int) -> tuple["DocumentTokens", "DocumentTokens"]:
        """The first `room` tokens, and a window that goes on from the last of them, which carries no loss twice."""
        head, tail = self.take(slice(room)), self.take(slice(room - 1, None))
        tail.loss_mask = np.concatenate([[False], tail.loss_mask[1:]])
        return head, tail


class DocumentTokenizer:
    """Turns documents into tokens: image patches in raster order, then text, then a separator that ends it.

    Text carries loss, and so does the separator behind it: it tells a decoder that the text is over. A text without an
    image begins with a separator, so that its first token has something to be predicted from. Text has no place inside
    a time step: its local position is 0 and its order that of the sequence.
    image_size: height and width to which images are scaled. predict_question: whether questions carry loss as answers
    do, as all text does in the paper.
    """

    def __init__(
        self, text: TextTokenizer, vocabulary: Vocabulary, image_size: tuple[int, int], predict_question: bool = True
    ) -> None:
        self._text, self._vocabulary = text, vocabulary
        self._image_size, self._predict_question = image_size, predict_question
        self.places = patch_intervals(*image_size)

    def encode(self, document: Document, draw: float = 0.0) -> DocumentTokens:
        """draw in [0, 1): which of several texts. Raises DamagedDocument if the image cannot be decoded."""
        answer = document.texts[int(draw * len(document.texts))]
        asked = [] if document.question is None else self._text.encode(question_text(document.question))
        said = self._text.encode(answer)
        begin = document.image is None and document.begins
        tokens = self._layout(self._patches(document), begin, [*asked, *said], document.ends)
        tokens.loss_mask[len(tokens.patches) :] = True
        # Nothing stands before a first token; what it could learn to follow would be another document.
        tokens.loss_mask[0] = False
        if document.question is not None and not self._predict_question:
            tokens.loss_mask[: len(tokens) - len(said) - 1] = False
        return tokens

    def prompt(self, image: np.ndarray | None, text: str) -> DocumentTokens:
        """What a decoder goes on from: an image uint8 [H, W, 3], of this tokenizer's size, and how a text begins."""
        patches = _no_patches() if image is None else to_patches(image[None])[0]
        return self._layout(patches, image is None, self._text.encode(text) if text else [], False)

    def _layout(self, patches: np.ndarray, begin: bool, text: list[int], end: bool) -> DocumentTokens:
        separator = self._vocabulary.separator
        words = np.array([*[separator] * begin, *text, *[separator] * end], np.int32)
        count = len(patches)
        token = np.concatenate([np.zeros(count, np.int32), words])
        kind = np.where(token == separator, Kind.SEPARATOR, Kind.TEXT).astype(np.uint8)
        kind[:count] = Kind.PATCH
        local = np.concatenate([np.arange(count), np.zeros(len(words))]).astype(np.int16)
        return DocumentTokens(token, kind, local, np.zeros(len(token), bool), patches)

    def _patches(self, document: Document) -> np.ndarray:
        if document.image is None:
            return _no_patches()
        try:
            return to_patches(decode_image(document.image, *self._image_size)[None])[0]
        except ValueError as error:
            raise DamagedDocument(f"{document.where}: its image cannot be decoded ({error})") from error


def question_text(question: str) -> str:
    """What stands before an answer."""
    return f"Q: {question} A:"


def document_shape(length: int, patches: int) -> SequenceShape:
    """Room that any row of `length` tokens needs where a document's image has `patches` patches, 0 for text alone."""
    whole, rest = divmod(length, patches + 1)
    return SequenceShape(length, whole * patches + min(rest, patches), 0, 0)


def pack_documents(
    documents: Sequence[DocumentTokens], shape: SequenceShape, places: np.ndarray, first_item: int
) -> Sequences:
    """Rows of L tokens, each document a segment of its own. places uint8 [P, 2, 2]: of an image's patches.

    A text that meets the end of a row goes on in the next, so that each of its tokens carries loss once. A document
    with an image stays whole, in the first row that has room for it; one longer than a row loses its end.
    """
    rows: list[list[DocumentTokens]] = []
    room: list[int] = []

    def put(row: int, document: DocumentTokens) -> None:
        if row == len(rows):
            rows.append([])
            room.append(shape.length)
        rows[row].append(document)
        room[row] -= len(document)

    last = -1
    for document in documents:
        if len(document.patches):
            whole = document.take(slice(shape.length))
            put(next((row for row, left in enumerate(room) if left >= len(whole)), len(rows)), whole)
            continue
        while len(document) > 1:
            # A single position would hold a token that is predicted elsewhere, and nothing that it predicts.
            last = last if last >= 0 and room[last] > 1 else len(rows)
            left = room[last] if last < len(rows) else shape.length
            if len(document) <= left:
                put(last, document)
                break
            head, document = document.split(left)
            put(last, head)
    return _arrays(rows, shape, places, first_item)


def _arrays(rows: list[list[DocumentTokens]], shape: SequenceShape, places: np.ndarray, first_item: int) -> Sequences:
    signature = Sequences.signature(shape)
    out = {name: np.zeros((len(rows), *dims), dtype) for name, (dims, dtype) in signature.items()}
    out["segment"][:] = -1
    out["weights_version"][:] = -1
    out["item_id"] = np.arange(first_item, first_item + len(rows), dtype=np.int64)
    for row, documents in enumerate(rows):
        end = patch = 0
        for segment, document in enumerate(documents):
            start, end = end, end + len(document)
            for name in ("token", "kind", "local_position", "loss_mask"):
                out[name][row, start:end] = getattr(document, name)
            out["segment"][row, start:end] = segment
            # A document that outgrew its row may have lost positions of an image.
            seen = int(np.count_nonzero(document.kind == Kind.PATCH))
            out["patches"][row, patch : patch + seen] = document.patches[:seen]
            out["places"][row, patch : patch + seen] = places[np.arange(seen) % max(len(places), 1)]
            patch += seen
    return Sequences(**out)


def _no_patches() -> np.ndarray:
    return np.zeros((0, 16, 16, 3), np.uint8)
