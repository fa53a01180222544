"""What the pages ask of the warehouse: a module per page, functions that give a `Query`.

Each reads by the sort key of its table or is bounded otherwise, so that a page stays quick at 20
million bars (tests/bench/page_loads.py measures it).
"""
