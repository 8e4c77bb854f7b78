"""
The static checks: parse trees in, resolved trees (`mapping.nodes`) and every diagnostic out.

    packs, declarations        items, records, lists of a document type
    mapping_file, bindings     a supplier's file: where each item is
    builds, bodies, literals   a build file: what each resource says
    sections                   the headings of a document
    expressions, calls         names, types, scopes, conversions, functions
    environment, structure     where an expression stands; the structure words

Nothing here stops at the first problem, and nothing raises for a bad file.
"""
