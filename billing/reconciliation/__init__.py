"""Providers' bills beside the ledger: imported as FOCUS files, compared by model and day, corrected on approval.

`bills` imports (all of a file or nothing), `mappings` say which SKU is which model and meter, `comparing` says what
differs and why, `correcting` posts rows that make good what the bill proves. Staff's alone: a bill is the platform's.
"""
