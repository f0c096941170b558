"""The demo: the same faults strike two planes, one that looks at the world and one that trusts what it hears.

`stage` owns both and is what the faces (terminal, page, plain text) drive. Everything that is shown has happened, and
everything that is counted is counted from the two stores.
"""
