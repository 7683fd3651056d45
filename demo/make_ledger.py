#!/usr/bin/env python3
"""Writes ledger.csv, the sample that `bailiwick demo` examines: the invoices of a company that does not exist.

Always the same bytes: everything is drawn from one seed with `Random.random()`, which does not change between versions
of Python. Among the good rows are the faults that real ledgers have: rows entered twice, one number used for two
invoices, rows with a field too many or too few, amounts and dates that are none, and empty fields.
"""

import datetime
import random
import sys

ROWS = 3600
TODAY = datetime.date(2026, 10, 31)
HEADER = "invoice_id,customer,region,department,issued,due,amount,currency,status,paid"

FIRST = "Alder Basalt Cedar Delta Ember Fjord Granite Harbour Iris Juniper Kestrel Lumen Meridian Nordic Opal".split()
SECOND = "Foods Freight Glass Instruments Logistics Optics Paper Pharma Robotics Textiles Timber Works".split()
FORMS = ["GmbH", "Ltd", "S.A.", "AB", "Inc."]
REGIONS = [("North", 0.31, 1.00), ("West", 0.27, 1.35), ("South", 0.19, 0.80), ("East", 0.14, 0.95), ("Overseas", 0.09, 2.10)]
DEPARTMENTS = [("Consulting", 0.22, 2.60), ("Hardware", 0.18, 1.80), ("Licences", 0.20, 1.20), ("Support", 0.30, 0.45), ("Training", 0.10, 0.70)]
CURRENCIES = [("EUR", 0.78), ("USD", 0.15), ("GBP", 0.07)]
TERMS = [(14, 0.2), (30, 0.6), (60, 0.2)]

draw = random.Random(20261031).random


def pick(options):
    """The first of each option's fields, as likely as its second says."""
    at = draw()
    for option in options:
        at -= option[1]
        if at < 0:
            return option
    return options[-1]


def customers():
    """Eighty names, the first far more likely than the last."""
    names = []
    while len(names) < 80:
        name = f"{FIRST[int(draw() * len(FIRST))]} {SECOND[int(draw() * len(SECOND))]} {FORMS[int(draw() * len(FORMS))]}"
        if name not in names:
            names.append(name)
    weights = [1 / (rank + 4) for rank in range(len(names))]
    return [(name, weight / sum(weights)) for name, weight in zip(names, weights)]


def invoice(number, known):
    region, department = pick(REGIONS), pick(DEPARTMENTS)
    issued = datetime.date(2025, 1, 2) + datetime.timedelta(days=int(draw() * 660))
    due = issued + datetime.timedelta(days=pick(TERMS)[0])
    # A sum of three draws squared: many small invoices, few large ones.
    cents = int(((draw() + draw() + draw()) / 3) ** 2 * 620_000 * region[2] * department[2]) + 4_900
    paid = due + datetime.timedelta(days=int((draw() - 0.62) * 45))
    late = draw()
    if late < 0.012:
        status, when = "disputed", ""
    elif late < 0.02:
        status, when = "cancelled", ""
    elif paid <= TODAY and late < 0.955:
        status, when = "paid", paid.isoformat()
    else:
        status, when = ("overdue" if due < TODAY else "open"), ""
    customer = pick(known)[0]
    return [
        f"INV-{number:06d}", customer, region[0], department[0], issued.isoformat(), due.isoformat(),
        f"{cents // 100}.{cents % 100:02d}", pick(CURRENCIES)[0], status, when,
    ]


def main():
    known = customers()
    rows = [invoice(100_000 + number, known) for number in range(ROWS)]
    somewhere = lambda: int(draw() * len(rows))
    for field, times in ((2, 31), (3, 22), (1, 7), (6, 5)):
        for _ in range(times):
            rows[somewhere()][field] = ""
    for text in ("n/a", "1.204,50", "12O.00", "see note", "-"):
        rows[somewhere()][6] = text
    for text in ("2026-02-30", "31.13.2025", "0000-00-00"):
        rows[somewhere()][4] = text
    for _ in range(14):  # entered twice
        rows.insert(somewhere(), list(rows[somewhere()]))
    for _ in range(4):  # one number for two invoices
        one, other = somewhere(), somewhere()
        rows[one][0] = rows[other][0]
    for _ in range(3):
        del rows[somewhere()][8]
    for _ in range(3):
        rows[somewhere()].insert(1, "dup")
    sys.stdout.write("\n".join([HEADER] + [",".join(row) for row in rows]) + "\n")


main()
