"""Measures how fast corpora are read and tokenized on one core: `python -m tests.benchmarks.corpora`."""

import io
import json
import tarfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.tokens.documents import DocumentTokenizer
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.vocabulary import Vocabulary
from replay.corpora.chunks import CorpusChunks
from replay.corpora.corpus import open_corpus

TEXT = TextTokenizer.load()
LENGTH, SECONDS = 1024, 8.0
WORDS = ["go", "to", "the", "red", "ball", "then", "pick", "up", "a", "key", "behind", "blue", "door", "and", "open"]


def texts(count: int, words: int) -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, words)) for _ in range(count)]


def photo(seed: int) -> bytes:
    """Returns a JPEG of 320×240 pixels with as much detail as a photograph."""
    random, file = np.random.default_rng(seed), io.BytesIO()
    coarse = Image.fromarray(random.integers(256, size=(30, 40, 3), dtype=np.uint8)).resize((320, 240))
    coarse.save(file, "JPEG", quality=85)
    return file.getvalue()


def measure(name: str, paths: Path, kind: str) -> None:
    """Prints the time to index a file, and tokens per second."""
    begin = time.perf_counter()
    corpus = open_corpus(CorpusConfig(name="c", kind=kind, paths=str(paths)))
    indexed = time.perf_counter() - begin
    tokenizer = DocumentTokenizer(TEXT, Vocabulary(TEXT.size, "disjoint"), (224, 224))
    chunks = CorpusChunks(corpus, tokenizer, length=LENGTH, seed=0)
    begin, tokens, room, number = time.perf_counter(), 0, 0, 0
    while time.perf_counter() - begin < SECONDS:
        sequences = chunks(number)
        tokens, room, number = tokens + sequences.tokens, room + sequences.token.size, number + 1
    seconds = time.perf_counter() - begin
    print(
        f"{name}: {paths.stat().st_size / 2**20:.0f} MiB of {len(corpus):,} documents indexed in {indexed:.2f} s; "
        f"{tokens / seconds:,.0f} tokens/s, {1 - tokens / room:.1%} padding"
    )


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        long = texts(20_000, 100)
        with (folder / "text.jsonl").open("w") as file:
            for _ in range(20):
                file.writelines(json.dumps({"text": text}) + "\n" for text in long)
        measure("text, JSON lines", folder / "text.jsonl", "text")
        pq.write_table(pa.table({"text": long * 20}), folder / "text.parquet", row_group_size=10_000)
        measure("text, Parquet", folder / "text.parquet", "text")
        photos, captions = [photo(i) for i in range(500)] * 4, texts(2000, 10)
        pq.write_table(pa.table({"image": photos, "caption": captions}), folder / "c.parquet", row_group_size=500)
        measure("captions, Parquet", folder / "c.parquet", "caption")
        with tarfile.open(folder / "c.tar", "w") as tar:
            for index, (image, caption) in enumerate(zip(photos, captions, strict=True)):
                for extension, data in (("jpg", image), ("txt", caption.encode())):
                    info = tarfile.TarInfo(f"{index:06d}.{extension}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        measure("captions, tar", folder / "c.tar", "caption")


if __name__ == "__main__":
    main()
