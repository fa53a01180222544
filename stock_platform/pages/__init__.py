"""The Streamlit app: one file per page, the questions in `queries/`, the pictures in `charts/`.

It reads the warehouse as its read-only user and changes nothing. What does not belong here: numbers
that a mart or `ml/` already has a definition of.
"""
