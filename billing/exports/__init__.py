"""Files for finance: usage, costs, lines of the ledger and FOCUS 1.4, as CSV, XLSX and Parquet.

A report is a row, made by a worker that claims it (`making`), read from the ledger by PostgreSQL's own COPY and written
to disk as it comes, so that its size does not matter. Texts that a spreadsheet would run as formulas are neutralised in
CSV and XLSX. Two readers: a tenant, whose files hold what is its own, and the platform, whose files hold all tenants and
what the platform itself pays.

    cells      neutralised texts, and CSV line by line for what is small
    wanted     what can be asked for
    columns    what a column is, in SQL and in each format
    ledger     the columns of lines, of usage and of costs
    focus      the columns of FOCUS's Cost and Usage
    reading    slices of the ledger, each in one snapshot
    writing    a file from the ledger; `typed_files` those that are not CSV
    requests   reports asked for, listed, deleted
    making     reports claimed, made, recovered, expired
    links      download links that expire
    asking     what the views of both readers do; `shapes`: what they read and answer
    schedules  what makes them again each day, week or month
"""

from .cells import csv_lines, month_csv, neutralised
from .wanted import PLATFORM, Wanted
from .writing import Made, write_file

__all__ = ["PLATFORM", "Made", "Wanted", "csv_lines", "month_csv", "neutralised", "write_file"]
