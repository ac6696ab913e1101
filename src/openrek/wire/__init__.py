"""AWS JSON 1.1 over ASGI: service model, parsing, validation, SigV4, errors, serialising. Knows no picture."""
