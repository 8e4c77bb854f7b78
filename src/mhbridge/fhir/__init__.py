"""
FHIR R4: what it defines, whether a resource follows it, and how one is written. Plain dicts all the way.

This package does no I/O besides reading its own tables, and never serialises through model classes: they would
re-format times and decimals (`mhbridge.fhir.bundle` says how JSON is written instead).
"""
