"""What a forward pass looks like: tables, traces, pictures. Nothing is imported here.

`forwardpass.summary` and `forwardpass.trace` are the doors; `from forwardpass.view import plot`
has the pictures of weights.
"""
