"""
A month of a gateway for people who are answerable for care: figures by sender and recipient that name nobody.

    months       which month, from when until when
    groups       figures → groups of counts that add up
    suppressing  groups → what of them may be shown
    extract      … as CSV and as plain data
    page         … as one page that stands alone

This package must never show a count that `suppressing` has not let through.
"""
