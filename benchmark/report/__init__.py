"""What the stages and other machines wrote, compared: as data, Markdown, a page and a gate.

In: reports/ and reports/machines/. Out: comparison.json, report.md, report.html and charts.
"""
