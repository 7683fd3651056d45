#!/usr/bin/env python3
"""Examines a CSV: what its columns are, what is wrong with its rows, what its numbers add up to.

Writes outputs/report.md and outputs/chart.svg, prints what it does, and ends with one line `SUMMARY {json}`.
Standard library only. Each start leaves a line in effects.log, so that everybody can count how often it ran.
"""

import argparse
import collections
import csv
import datetime
import decimal
import html
import io
import json
import os
import re
import time

Decimal = decimal.Decimal
MISSING = {"", "-", "n/a", "na", "nan", "none", "null"}
PLAIN = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?$")
COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+$")
DATES = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y-%m-%dT%H:%M:%S")
MOSTLY = 0.9  # a column is of a type when this share of its values is


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds to rest after each step, for who watches")
    options = parser.parse_args()
    with open("effects.log", "a") as log:
        log.write(f"{datetime.datetime.now(datetime.timezone.utc).isoformat()} profile.py started\n")

    def say(text):
        print(text, flush=True)
        time.sleep(options.pace)

    header, rows, faults, text = read(options.file)
    say(f"read {len(rows) + faults['wrong number of fields']} rows of {len(header)} columns")
    columns = []
    for place, name in enumerate(header):
        column = Column(name, [row[place].strip() for row in rows])
        columns.append(column)
        say(f"  {name}: {column.kind}, {column.distinct} different values, {column.missing} missing, {column.wrong} wrong")
    doubles = repeats(header, rows, columns)
    say(f"repeated rows: {doubles['rows']}; repeated ids: {doubles['ids']}")
    unit = next((column for column in columns if column.is_unit()), None)
    sums = totals(columns, unit)
    for total in sums:
        say(f"total of {total['column']}: {total['text']}")
    picture = chart(columns, unit)
    say(f"chart: {picture['title']}" if picture else "chart: no pair of columns is worth one")
    os.makedirs("outputs", exist_ok=True)
    if picture:
        write("outputs/chart.svg", picture["svg"])
    write("outputs/report.md", report(options.file, rows, columns, faults, doubles, sums, picture, text))
    summary = {
        "rows": len(rows),
        "columns": len(columns),
        "faulty_rows": faults["wrong number of fields"],
        "missing_values": sum(column.missing for column in columns),
        "wrong_values": sum(column.wrong for column in columns),
        "repeated_rows": doubles["rows"],
        "totals": "; ".join(f"{total['column']} {total['text']}" for total in sums) or "no column of numbers to add up",
        "finding": picture["finding"] if picture else "no grouping of the numbers stands out",
    }
    print("SUMMARY " + json.dumps(summary, ensure_ascii=True), flush=True)


def read(path):
    raw = open(path, "rb").read()
    try:
        text, coding = raw.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        text, coding = raw.decode("latin-1"), "Latin-1"
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t|", key=first.count)
    csv.field_size_limit(1 << 24)
    lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if line]
    header = [name.strip() or f"column {place + 1}" for place, name in enumerate(lines[0])]
    rows = [line for line in lines[1:] if len(line) == len(header)]
    shown = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[delimiter]
    return header, rows, {"wrong number of fields": len(lines) - 1 - len(rows)}, f"{coding}, fields between {shown}"


def number(text):
    if PLAIN.match(text):
        return Decimal(text.replace(",", ""))
    if COMMA.match(text):
        return Decimal(text.replace(".", "").replace(",", "."))
    return None


def date(text):
    for form in DATES:
        try:
            return datetime.datetime.strptime(text, form).date()
        except ValueError:
            pass
    return None


class Column:
    def __init__(self, name, values):
        self.name, self.values = name, values
        given = [value for value in values if value.lower() not in MISSING]
        self.missing = len(values) - len(given)
        self.counts = collections.Counter(given)
        self.distinct = len(self.counts)
        self.kind, self.parsed = "text", [None] * len(values)
        for kind, parse in (("number", number), ("date", date)):
            known = dict.fromkeys(self.counts)
            for value in known:
                known[value] = parse(value)
            good = sum(self.counts[value] for value, parsed in known.items() if parsed is not None)
            if given and good >= MOSTLY * len(given):
                self.kind, self.parsed = kind, [known.get(value) for value in values]
                break
        else:
            if self.distinct and self.distinct <= max(2, min(24, len(given) // 4)):
                self.kind = "category"
        if self.kind in ("number", "date"):
            self.wrong = len(given) - sum(parsed is not None for parsed in self.parsed)
        else:
            self.wrong = 0
        if self.kind == "number" and self.is_serial(len(given)):
            self.kind = "id"
        elif self.kind == "text" and given and self.distinct >= 0.95 * len(given) and not any(" " in v for v in given[:50]):
            self.kind = "id"

    def is_serial(self, given):
        """Whole numbers that hardly repeat, or that are called an id, are names and not amounts."""
        whole = all(value is None or value == value.to_integral_value() for value in self.parsed)
        called = re.search(r"(^|[_ ])(id|no|nr|number|code|zip|year)$", self.name.lower())
        return whole and bool(called or (given > 20 and self.distinct >= 0.98 * given))

    def is_unit(self):
        return self.kind == "category" and self.distinct <= 20 and all(re.match(r"[A-Z]{3}$", value) for value in self.counts)


def repeats(header, rows, columns):
    seen = collections.Counter(map(tuple, rows))
    again = sum(count - 1 for count in seen.values())
    ids = next((column for column in columns if column.kind == "id"), None)
    if ids is None:
        return {"rows": again, "ids": "there is no id column", "examples": []}
    whose = collections.defaultdict(set)
    for value, row in zip(ids.values, rows):
        whose[value].add(tuple(row))
    clash = sorted(value for value, found in whose.items() if value and len(found) > 1)
    return {"rows": again, "ids": f"{len(clash)} in {ids.name} with different contents", "examples": clash[:5]}


def money(value):
    places = min(max(-value.as_tuple().exponent, 0), 4)
    return f"{value:,.{places}f}"


def totals(columns, unit):
    found = []
    for column in columns:
        if column.kind != "number":
            continue
        sums = collections.defaultdict(Decimal)
        for place, value in enumerate(column.parsed):
            if value is not None:
                sums[unit.values[place] or "(none)" if unit else ""] += value
        ordered = sorted(sums.items(), key=lambda pair: -abs(pair[1]))
        text = ", ".join(f"{money(value)} {name}".strip() for name, value in ordered)
        good = [value for value in column.parsed if value is not None]
        found.append({"column": column.name, "sums": ordered, "text": text, "count": len(good), "least": min(good), "most": max(good)})
    return found


def chart(columns, unit):
    """The grouping that explains most of a number's spread, as bars."""
    best = None
    groups = [c for c in columns if c.kind == "category" and 2 <= c.distinct <= 12 and c is not unit]
    for amounts in (column for column in columns if column.kind == "number"):
        main_unit = unit.counts.most_common(1)[0][0] if unit else None
        for group in groups:
            sums, counts, squares = collections.defaultdict(Decimal), collections.Counter(), 0.0
            for place, value in enumerate(amounts.parsed):
                name = group.values[place]
                if value is None or not name or (unit and unit.values[place] != main_unit):
                    continue
                sums[name] += value
                counts[name] += 1
                squares += float(value) ** 2
            total, count = float(sum(sums.values())), sum(counts.values())
            if count < 2 or len(sums) < 2:
                continue
            spread = squares - total**2 / count
            between = sum(float(sums[name]) ** 2 / counts[name] for name in sums) - total**2 / count
            share = between / spread if spread > 0 else 0.0
            if best is None or share > best[0]:
                best = (share, amounts, group, sums, counts, main_unit)
    if best is None:
        return None
    share, amounts, group, sums, counts, main_unit = best
    bars = sorted(sums.items(), key=lambda pair: -pair[1])
    suffix = f" ({main_unit})" if main_unit else ""
    title = f"{amounts.name} by {group.name}{suffix}"
    whole = sum(sums.values())
    name, most = bars[0]
    finding = f"{name} has the largest {amounts.name} by {group.name}: {money(most)}{' ' + main_unit if main_unit else ''}"
    if whole > 0 and all(value >= 0 for value in sums.values()):
        finding += f", {float(most / whole):.0%} of all"
    return {"title": title, "finding": finding, "svg": draw(title, bars, counts), "share": share}


def draw(title, bars, counts):
    left, width, height, gap = 190, 460, 30, 12
    most = max(abs(value) for _, value in bars) or Decimal(1)
    tall = 70 + len(bars) * (height + gap)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 {tall}" font-family="sans-serif" font-size="14">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="820" height="{tall}" fill="#ffffff"/>',
        f'<text x="20" y="34" font-size="20" font-weight="bold" fill="#1d2a3a">{html.escape(title)}</text>',
    ]
    for place, (name, value) in enumerate(bars):
        top = 58 + place * (height + gap)
        long = max(float(abs(value) / most) * width, 1)
        colour = "#2f6f8f" if value >= 0 else "#b5533c"
        parts.append(f'<text x="{left - 12}" y="{top + 20}" text-anchor="end" fill="#1d2a3a">{html.escape(name[:24])}</text>')
        parts.append(f'<rect x="{left}" y="{top}" width="{long:.1f}" height="{height}" rx="3" fill="{colour}"/>')
        parts.append(f'<text x="{left + long + 8:.1f}" y="{top + 20}" fill="#1d2a3a">{money(value)} ({counts[name]})</text>')
    return "\n".join(parts + ["</svg>", ""])


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def report(path, rows, columns, faults, doubles, sums, picture, form):
    out = [f"# Report on {cell(os.path.basename(path))}", ""]
    out += [f"{len(rows)} good rows of {len(columns)} columns ({form}).", "", "## Totals", ""]
    for total in sums:
        out.append(f"- **{cell(total['column'])}**: {total['text']} ({total['count']} values, {money(total['least'])} to {money(total['most'])})")
    if not sums:
        out.append("There is no column of numbers to add up.")
    if picture:
        out += ["", "## What stands out", "", picture["finding"] + ".", "", f"![{cell(picture['title'])}](chart.svg)"]
    out += ["", "## Columns", "", "| Column | Kind | Different | Missing | Wrong | Most frequent |", "|---|---|---:|---:|---:|---|"]
    for column in columns:
        often = ", ".join(f"{cell(value[:30])} ({count})" for value, count in column.counts.most_common(3)) if column.kind == "category" else ""
        out.append(f"| {cell(column.name)} | {column.kind} | {column.distinct} | {column.missing} | {column.wrong} | {often} |")
    out += ["", "## Faults", ""]
    for fault, count in faults.items():
        out.append(f"- rows with a {fault}: {count} (left out everywhere)")
    out.append(f"- rows that occur more than once: {doubles['rows']} too many (counted in the totals)")
    examples = f", such as {', '.join(map(cell, doubles['examples']))}" if doubles["examples"] else ""
    out.append(f"- repeated ids: {cell(doubles['ids'])}{examples}")
    for column in columns:
        if column.wrong:
            out.append(f"- {cell(column.name)}: {column.wrong} values are no {column.kind} (left out of the totals)")
    return "\n".join(out + [""])


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"wrote {path} ({len(text.encode())} bytes)", flush=True)


main()
