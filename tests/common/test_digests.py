from benchmark.common.digests import json_digest, text_digest


def test_digests_distinguish_texts() -> None:
    assert text_digest("ab", "c") != text_digest("a", "bc")
    assert json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
