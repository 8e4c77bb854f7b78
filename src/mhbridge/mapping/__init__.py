"""
The mapping language: YAML in, functions out.

`reader` → `expression` → `checker` → `compiler`: text, trees as written, resolved trees (`nodes`), Python. `catalogue`
holds all of it for a set of folders; `packs` is the vocabulary of a document type. Pure given the files' text.
"""
