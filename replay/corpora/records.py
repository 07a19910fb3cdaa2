"""Turns records of corpora, from any file format, into documents."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.errors import DamagedDocument
from gato_dist.tokens.documents import Document


def read_document(config: CorpusConfig, record: Mapping[str, Any], where: str, folder: Path) -> Document:
    """Returns the document of one record.

    Args:
        config: names the fields of the corpus.
        record: field → value.
        where: file and position of the record, for messages.
        folder: relative paths of images start here.

    Raises:
        DamagedDocument: a field is missing or wrong; the message names it and `where`.
    """
    if config.kind == "text":
        return Document(where, _texts(config, record, "text_key", where))
    image = _image(config, record, where, folder)
    if config.kind == "caption":
        return Document(where, _texts(config, record, "caption_key", where), image=image)
    question = _texts(config, record, "question_key", where)
    return Document(where, _texts(config, record, "answer_key", where), question[0], image)


def field_names(config: CorpusConfig) -> tuple[str, ...]:
    """Returns the fields that documents of this corpus need."""
    keys = {"text": ("text",), "caption": ("image", "caption"), "vqa": ("image", "question", "answer")}[config.kind]
    return tuple(getattr(config, f"{key}_key") for key in keys)


def _texts(config: CorpusConfig, record: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = _field(config, record, key, where)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        name = getattr(config, key)
        raise DamagedDocument(f"{where}: {name} must be a text or a list of texts, got {_shorten(value)}")
    return tuple(texts)


def _image(config: CorpusConfig, record: Mapping[str, Any], where: str, folder: Path) -> bytes:
    """Reads an image that is given as bytes, as a path, or as the {bytes, path} of Hugging Face datasets."""
    value = found = _field(config, record, "image_key", where)
    if isinstance(value, dict):
        found = value.get("bytes") or value.get("path")
    if isinstance(found, bytes):
        return found
    if not isinstance(found, str):
        raise DamagedDocument(
            f"{where}: {config.image_key} must be an image's bytes or its path, got {_shorten(value)}"
        )
    try:
        return (folder / found).read_bytes()
    except (OSError, ValueError) as error:
        raise DamagedDocument(
            f"{where}: its image {folder / found} cannot be read ({error.__class__.__name__})"
        ) from error


def _field(config: CorpusConfig, record: Mapping[str, Any], key: str, where: str) -> Any:
    name = getattr(config, key)
    if name not in record:
        present = ", ".join(record) or "nothing"
        key = f"corpora.{config.name}.{key}"
        raise DamagedDocument(f"{where}: no field {name!r}; it has {present}; {key} names the field")
    return record[name]


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
