"""The operations, one module a family: a request into calls of the floors below, and their answers back.

A handler is a plain function `(request, call, services) -> response`, registered by `@operation("DetectText")`; a new
operation touches one file. `load_operations()` imports every module of this package once.
"""
