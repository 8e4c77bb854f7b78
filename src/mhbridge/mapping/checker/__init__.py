"""
The static checks: parse trees in, resolved trees (`mapping.nodes`) and every diagnostic out.

`packs` reads items, `expressions` resolves names, types and scopes, `bindings` and `builds` read the two kinds of rules.
Nothing here stops at the first problem, and nothing raises for a bad file.
"""
