//! What three departments wrote down, as files in a folder for each.

use std::{io, path::Path};

/// A department's folder, a file in it, and what it says.
pub(crate) const PAPERS: [(&str, &str, &str); 6] = [
    (
        "finance",
        "collections-policy.md",
        "# Collections policy\n\nAn invoice is overdue on the day after it is due.\n\n- 14 days overdue: a reminder.\n\
         - 30 days overdue: a call by whoever keeps the account.\n- 60 days overdue: deliveries to accounts rated D stop, \
         if the review decides so.\n\nReports to the auditor name regions, never customers.\n",
    ),
    (
        "finance",
        "cash-plan.md",
        "# Cash plan\n\nWe count on four fifths of what is overdue to be paid within a month.\n\
         Below that the credit line is used.\n",
    ),
    (
        "sales",
        "regional-notes.md",
        "# Notes of the regions\n\nNorth: two customers dispute their invoices; what is overdue there is overdue for a reason.\n\
         East: one big delivery waits for a signature.\nSouth and West: nothing special.\n",
    ),
    ("sales", "price-list.md", "# Prices\n\nSensors from 420.00, controllers from 1,900.00, service by the hour.\n"),
    (
        "people",
        "salary-review.md",
        "# Salary review\n\nThe review of the regional heads is overdue. Bands: R1 62,000, R2 74,000, R3 91,000.\n",
    ),
    ("people", "holidays.md", "# Holidays\n\nThirty days; five of them go over into the next year.\n"),
];

/// Writes everything below `folder`.
#[allow(clippy::disallowed_methods, reason = "the sample company's own papers, in the demonstration's folder")]
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    for (department, name, text) in PAPERS {
        let place = folder.join(department);
        std::fs::create_dir_all(&place)?;
        std::fs::write(place.join(name), text)?;
    }
    Ok(())
}
