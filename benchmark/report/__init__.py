"""Compares the results of the stages and of other machines; writes data, Markdown and a page.

In: reports/ and reports/machines/. Out: comparison.json, report.md, report.html, tables and charts.
"""
