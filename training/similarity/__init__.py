"""The scale of similarities: fitted and measured on pairs of faces."""
