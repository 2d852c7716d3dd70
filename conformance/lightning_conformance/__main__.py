"""`python -m lightning_conformance`: print the rules as a Markdown table."""

from lightning_conformance.rules import rules

if __name__ == "__main__":
    rows = [[rule.name, rule.why, f"`{rule.location}`"] for rule in rules()]
    for row in [["Rule", "Why it matters", "Test"], ["---"] * 3, *rows]:
        print(f"| {' | '.join(row)} |")
