"""Bad input: damaged bytes, changed data, and unusual text."""

import json
from typing import Any

from hypothesis import strategies as st

NAMES = [
    "../../x", "/etc/passwd", "/tmp/escaped", "..", ".", "", "a/b", "a\0b", "a" * 5000, "<script>alert(1)</script>", "é\u202e", "con",
    "${oc.env:HOME}", "${.}", "${name}", "%s%n", "$(touch executed)", "`id`", "; rm -rf /", "nan", "inf", "-1", "None", "ale/pong",
    "ale/../pong", "gymnasium/CartPole-v1", "gymnasium/nothing", "gymnasium/os:nothing", "minari/x", "jat/x", "metaworld/*", "[", "*" * 400,
]  # fmt: skip
NUMBERS = [
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    -(2**63),
    10**30,
    10**400,
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
    0.5,
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.sampled_from(NAMES),
    st.text(max_size=20),
    st.integers(),
    st.floats(),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def deep(levels: int) -> str:
    """Returns JSON (and YAML) that is nested deeper than recursion allows."""
    return "[" * levels + "]" * levels


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """Draws bytes that were flipped, cut, doubled, overwritten or replaced."""
    kind = draw(st.sampled_from(["flip", "flip", "cut", "insert", "zero", "foreign", "empty", "twice"]))
    if kind == "flip":
        changed = bytearray(good)
        for _ in range(draw(st.integers(1, 8))):
            if changed:
                changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
        return bytes(changed)
    if kind == "cut":
        return good[: draw(st.integers(0, max(0, len(good) - 1)))]
    if kind == "insert":
        at = draw(st.integers(0, len(good)))
        return good[:at] + draw(st.binary(min_size=1, max_size=16)) + good[at:]
    if kind == "zero":
        start = draw(st.integers(0, len(good)))
        return good[:start] + bytes(min(64, len(good) - start)) + good[start + 64 :]
    if kind == "twice":
        return good + good
    return (
        b""
        if kind == "empty"
        else draw(st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode("utf-8", "replace")))
    )


@st.composite
def tampered(draw: st.DrawFn, good: Any) -> Any:
    """Draws plain data with one to three changes: another value or type, a missing key, or an additional key."""
    data = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        data = _change(draw, data)
    return data


def _change(draw: st.DrawFn, data: Any) -> Any:
    if not isinstance(data, dict | list) or not data or draw(st.integers(0, 9)) == 0:
        return draw(TREES)
    key = draw(st.sampled_from(sorted(data) if isinstance(data, dict) else list(range(len(data)))))
    action = draw(st.sampled_from(["into", "into", "into", "replace", "remove", "add"]))
    if action == "into":
        data[key] = _change(draw, data[key])
    elif action == "replace":
        data[key] = draw(TREES)
    elif action == "remove":
        del data[key]
    elif isinstance(data, dict):
        data[draw(st.sampled_from(NAMES) | st.text(max_size=8))] = draw(TREES)
    else:
        data.insert(key, draw(TREES))
    return data


@st.composite
def json_bytes(draw: st.DrawFn, good: Any) -> bytes:
    """Draws a JSON file that was changed, damaged, or is nested too deep."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return deep(draw(st.sampled_from([10, 900, 100_000]))).encode()
    if kind < 3:
        return draw(damaged(json.dumps(good).encode()))
    return json.dumps(draw(tampered(good))).encode("utf-8", "surrogatepass")
