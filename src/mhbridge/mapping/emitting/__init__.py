"""
Python functions under construction, as `ast` trees with the places of the mapping's file.

    expressions  names, places, expressions and conditions: what every function has
    bindings     what is read of a message, under the names of items
    builds       what is made of the items
"""

from mhbridge.mapping.emitting.bindings import Bindings, asked_often
from mhbridge.mapping.emitting.builds import Builds
from mhbridge.mapping.emitting.expressions import Lines

__all__ = ["Bindings", "Builds", "Lines", "asked_often"]
