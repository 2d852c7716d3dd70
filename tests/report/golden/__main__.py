from tests.report.golden import CASES, HERE, forms

for name in CASES:
    for suffix, text in forms(name).items():
        (HERE / f"{name}.{suffix}").write_text(text, encoding="utf-8")
