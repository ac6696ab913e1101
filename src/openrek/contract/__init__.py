"""The contract: botocore's service model, the error family made from it, and what a call is.

The ground floor beside `vision`: knows the API's names, but no HTTP, no picture and no database. `service` and
`wire` both stand on it.
"""
