from tests.report.golden import CASES, FOLDER, forms

for name in CASES:
    for suffix, text in forms(name).items():
        (FOLDER / f"{name}.{suffix}").write_text(text, encoding="utf-8")
