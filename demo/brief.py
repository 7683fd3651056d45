#!/usr/bin/env python3
"""Turns what the books say is overdue by region into one page and a chart.

Reads overdue.csv (as the database answered: a header of name:type, rows, remarks) and notes.txt (at most three lines).
Writes outputs/brief.md and outputs/chart.svg, and ends with one line `SUMMARY {json}`. Standard library only.
"""

import csv
import decimal
import html
import json
import os

Decimal = decimal.Decimal


def main():
    rows = read("overdue.csv")
    rows.sort(key=lambda row: -row["overdue"])
    total = sum(row["overdue"] for row in rows)
    count = sum(row["invoices"] for row in rows)
    first = rows[0]
    share = first["overdue"] / total
    os.makedirs("outputs", exist_ok=True)
    with open("outputs/chart.svg", "w", encoding="utf-8") as file:
        file.write(draw(rows))
    with open("notes.txt", encoding="utf-8") as file:
        notes = [line.strip() for line in file if line.strip()][:3]
    lines = [
        f"# {first['region']}: {money(first['overdue'])} overdue",
        "",
        f"That is {share:.0%} of {money(total)} in {count} invoices.",
        "",
        "| Region | Invoices | Overdue |",
        "|---|---:|---:|",
    ]
    lines += [f"| {row['region']} | {row['invoices']} | {money(row['overdue'])} |" for row in rows]
    lines += [""] + [f"- {note}" for note in notes] + ["", "![Overdue by region](chart.svg)", ""]
    with open("outputs/brief.md", "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    for row in rows:
        print(f"{row['region']:<6} {row['invoices']:>3} invoices {money(row['overdue']):>14}")
    summary = {
        "region": first["region"],
        "largest": money(first["overdue"]),
        "share": f"{share:.0%}",
        "total": money(total),
        "invoices": count,
    }
    print("SUMMARY " + json.dumps(summary))


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    names = [name.split(":")[0] for name in lines[0]]
    good = [dict(zip(names, line)) for line in lines[1:] if len(line) == len(names)]
    return [
        {"region": row["region"], "invoices": int(row["invoices"]), "overdue": Decimal(row["overdue"])} for row in good
    ]


def money(value):
    return f"{value:,.2f}"


def draw(rows):
    most = max(row["overdue"] for row in rows)
    tall = 74 + 42 * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {tall}" font-family="sans-serif" font-size="14">',
        "<title>Overdue by region</title>",
        f'<rect width="720" height="{tall}" fill="#ffffff"/>',
        '<text x="20" y="34" font-size="20" font-weight="bold" fill="#1d2a3a">Overdue by region</text>',
    ]
    for place, row in enumerate(rows):
        top = 58 + place * 42
        long = max(float(row["overdue"] / most) * 420, 1)
        parts.append(f'<text x="88" y="{top + 20}" text-anchor="end" fill="#1d2a3a">{html.escape(row["region"])}</text>')
        parts.append(f'<rect x="100" y="{top}" width="{long:.1f}" height="30" rx="3" fill="#2f6f8f"/>')
        parts.append(f'<text x="{108 + long:.1f}" y="{top + 20}" fill="#1d2a3a">{money(row["overdue"])}</text>')
    return "\n".join(parts + ["</svg>", ""])


main()
