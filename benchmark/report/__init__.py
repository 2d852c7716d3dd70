"""Compares what the stages and other machines wrote, and shows it as data, Markdown and a page.

In: reports/ and reports/machines/. Out: comparison.json, report.md, report.html, tables and charts.
"""
