"""`python -m benchmark.conformance`: the rules as a Markdown table."""

from benchmark.common.formatting import table
from benchmark.conformance.rules import rules

if __name__ == "__main__":
    rows = [[rule.name, rule.why, f"`{rule.test.split('.')[-1]}`"] for rule in rules()]
    print(table(["Rule", "Why it matters", "Test"], rows))
