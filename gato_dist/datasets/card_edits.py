"""A card that is written again and again, and edited by people in between: what they changed is theirs.

The header's keys and the text's sections are generated one by one. A comment at the end of the card keeps a digest of
every key as it was generated, and each section begins and ends with a comment of its own. A key or section that no
longer is what was generated stays as it is; so does what stands between them, and what was deleted stays away.
"""

import hashlib
import re
from typing import Any

import yaml

from gato_dist.errors import READ_ERRORS, brief
from gato_dist.utils.typed_json import to_json

SECTION = re.compile(r"<!-- gato_dist: (\w+) ([0-9a-f]{8}); .*? -->\n(.*?)\n<!-- gato_dist: end of \1 -->", re.DOTALL)
RECORD = re.compile(r"\n*<!-- gato_dist: the header's keys as generated:([^>]*?) -->\n*")
HEADER = re.compile(r"---[ \t]*\n(.*?\n)?---[ \t]*(?:\n+|$)", re.DOTALL)
LISTED = "configs"  # grows with the dataset, whatever people change in it


def join_card(header: dict[str, Any], sections: dict[str, str], before: str = "") -> str:
    """The generated header and sections, joined with what people wrote.

    Args:
        header: values by key.
        sections: Markdown by name, in the order in which a new card has them.
        before: the card as it stands; empty for a new one.

    Returns:
        The new card's text.

    Raises:
        ValueError: the header of `before` is no YAML mapping.
    """
    text = before.removeprefix("\ufeff").replace("\r\n", "\n")
    found = HEADER.match(text)
    old, body = (found[1] or "", text[found.end() :]) if found else ("", text)
    record = RECORD.search(body)
    known = dict(re.findall(r"(\S+) ([0-9a-f]{8})", record[1])) if record else {}
    body = RECORD.sub("\n\n", body).strip("\n")
    body = SECTION.sub(lambda match: _renewed(match, sections), body)
    if not record:
        # A card that was never generated, or not in this form: all of it is people's.
        missing = [_marked(name, each) for name, each in sections.items() if name not in _names(body)]
        body = "\n\n".join([*[body] * bool(body), *missing])
    digests = ", ".join(f"{key} {_digest(value)}" for key, value in header.items())
    kept = f"<!-- gato_dist: the header's keys as generated: {digests} -->"
    return f"---\n{_joined(header, old, known)}---\n\n{body}\n\n{kept}\n"


def _names(body: str) -> set[str]:
    return {match[1] for match in SECTION.finditer(body)}


def _renewed(match: re.Match, sections: dict[str, str]) -> str:
    """A section's text: generated anew unless somebody edited it."""
    name, digest, text = match.groups()
    return _marked(name, sections[name]) if name in sections and _digest(text) == digest else match[0]


def _marked(name: str, text: str) -> str:
    start = f"<!-- gato_dist: {name} {_digest(text)}; written again until somebody edits it -->"
    return f"{start}\n{text}\n<!-- gato_dist: end of {name} -->"


def _joined(header: dict[str, Any], before: str, known: dict[str, str]) -> str:
    """The header's text: generated keys that nobody changed are renewed, all else stays word for word."""
    parts, old = [], _parse(before)
    for key, text in _pieces(before):
        if key not in known or _digest(old[key]) != known[key]:
            parts.append(_listed(text, old, header) if key == LISTED else text)
        elif key in header:
            parts.append(text if old[key] == header[key] else _dump(key, header[key]))
    parts += [_dump(key, value) for key, value in header.items() if key not in old and key not in known]
    return "".join(parts)


def _listed(text: str, old: dict[str, Any], header: dict[str, Any]) -> str:
    """People's configurations, and those of tasks that have none."""
    theirs = old[LISTED]
    if not isinstance(theirs, list) or not all(isinstance(each, dict) for each in theirs):
        return text
    held = {each.get("config_name") for each in theirs}
    new = [each for each in header.get(LISTED, []) if each["config_name"] not in held]
    return _dump(LISTED, [*theirs, *new]) if new else text


def _parse(text: str) -> dict[str, Any]:
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise ValueError("aliases (*name) cannot stand in it")
        values = yaml.safe_load(text)
    except (yaml.YAMLError, *READ_ERRORS) as error:
        raise ValueError(f"its header, between two lines of ---, is no YAML ({brief(error)})") from error
    if values is not None and not isinstance(values, dict):
        raise ValueError("its header, between two lines of ---, must hold keys and values")
    return values or {}


def _pieces(text: str) -> list[tuple[Any, str]]:
    """Each key with its lines; lines without one, such as comments, with None."""
    node, lines = yaml.compose(text), text.splitlines(keepends=True)
    if not isinstance(node, yaml.MappingNode):
        return [(None, text)] if text else []
    loader = yaml.SafeLoader("")
    starts = [(loader.construct_object(key), key.start_mark.line) for key, _ in node.value]
    if node.flow_style:
        return [(key, _dump(key, value)) for key, value in _parse(text).items()]
    pieces: list[tuple[Any, str]] = [(None, "".join(lines[: starts[0][1]]))]
    for (key, first), (_, end) in zip(starts, [*starts[1:], (None, len(lines))], strict=True):
        last = end
        while last > first + 1 and (not lines[last - 1].strip() or lines[last - 1].startswith("#")):
            last -= 1
        pieces += [(key, "".join(lines[first:last])), (None, "".join(lines[last:end]))]
    return [(key, each) for key, each in pieces if each]


def _dump(key: str, value: Any) -> str:
    return yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=120)


def _digest(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
