"""The Kubernetes HTTP API over a registry.

A request passes the filters (who asks, for what, may they), then one handler for its verb, whatever its kind. Nothing
here knows the rules of a kind: those are the store's.
"""
