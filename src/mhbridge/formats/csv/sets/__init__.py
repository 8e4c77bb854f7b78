"""
Sets of tables: several files whose rows are joined by keys into one message for each row of the root table.

    declaration   what a `source:` block says of the tables
    record        a message: rows, and how they hang together
    reading       a body to records, and what is wrong with one
    joining       large files to parts that can each be read alone
    paths         what a path finds
    places        where things are, for the field ledger
"""
